//! A task that takes too much is stopped and says why, and nobody else notices.

use std::fs;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::processes::lives;
use crate::rough_tasks::{BYSTANDERS, BYSTANDERS_ROUTE, Bystanders};
use crate::world::{SOON, World};

/// A window of 3 s, the shortest, and 2 s to stop what is found: that is promised. A machine that runs many tests at
/// once gets as much again.
const STOPPED: Duration = Duration::from_secs(10);

/// Windows of 3 s, and levels that one task alone reaches on a small machine.
const LIMITS: &str = "MultiModule => {
    windows => { one_minute => '3s', five_minutes => '6s' },
    thresholds => {
        'local.cpu.one_core' => { levels => [ { name => 'failsafe', threshold => 0.5 } ], can_failsafe => 1 },
        'local.memory.vss_of_box_physical' =>
            { levels => [ { name => 'failsafe', threshold => 0.008 } ], can_failsafe => 1 },
        'local.io.disk.read_bytes' => { levels => [ { name => 'failsafe', threshold => 8000000 } ], can_failsafe => 1 },
        'local.io.disk.write_bytes' => { levels => [ { name => 'failsafe', threshold => 8000000 } ], can_failsafe => 1 },
    },
},";

fn config(entry: &str) -> String {
    format!("{{ {LIMITS} {entry} {BYSTANDERS}, Router => {{ routes => [ {BYSTANDERS_ROUTE} ] }} }}")
}

/// Starts the hog beside bystanders, and waits until it is stopped for what it does.
fn is_stopped(hog: &str, metric: &str) {
    let world = World::new();
    let daemon = world.own_daemon(&config("")).start();
    let bystanders = Bystanders::watch(&world);
    world.write_config(&config(&format!("{hog} => {{}},")));
    daemon.wait_for(&format!("{hog}: takes what it can"), SOON);
    let (begin, record) = (Instant::now(), world.process(hog));
    daemon.wait_for(&format!("{hog}: failsafe: "), 2 * STOPPED);
    world.wait_ended(&[record.keeper_identity(), record.host_identity()]);
    let stopped = begin.elapsed();
    println!("{hog} was stopped after {stopped:?}");
    assert!(stopped < STOPPED, "{hog} took {stopped:?} to be stopped");
    let why = fs::read_to_string(world.state().join(format!("{hog}.failsafe"))).expect("it says why");
    for evidence in [metric, "is failsafe", "failsafe clear", "s before: ", "takes what it can"] {
        assert!(why.contains(evidence), "no {evidence:?} in {why}");
    }
    end(&daemon, &bystanders);
}

fn end(daemon: &Daemon, bystanders: &Bystanders<'_>) {
    bystanders.are_undisturbed();
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    bystanders.have_missed_nothing();
}

#[test]
fn a_task_that_spins_is_stopped() {
    is_stopped("Spinner", "local.cpu.one_core");
}

#[test]
fn a_task_that_fills_memory_is_stopped() {
    is_stopped("Memory", "local.memory.vss_of_box_physical");
}

#[test]
fn a_task_that_leaks_descriptors_is_stopped() {
    is_stopped("Leaker", "local.handles.fh.count");
}

#[test]
fn a_task_that_makes_threads_without_end_is_stopped() {
    is_stopped("Threads", "local.handles.tasks.count");
}

#[test]
fn a_fork_bomb_is_stopped_with_all_its_processes() {
    // Its files, too, are counted over all of them.
    is_stopped("Bomb", "local.handles.");
}

#[test]
fn a_task_that_writes_without_end_is_stopped() {
    is_stopped("Writer", "local.io.disk.write_bytes");
}

#[test]
fn a_task_that_reads_without_end_is_stopped() {
    is_stopped("Reader", "local.io.disk.read_bytes");
}

#[test]
fn a_task_within_the_daemon_that_is_stopped_is_taken_out_and_its_messages_wait() {
    let world = World::new();
    let limits = "MultiModule => {
        windows => { one_minute => '3s', five_minutes => '6s' },
        thresholds => { 'local.admin.task_message_failure' =>
            { levels => [ { name => 'failsafe', threshold => 0.5 } ], can_failsafe => 1 } },
    },";
    let daemon = world.own_daemon(&format!("{{ {limits} Counter => {{ is_external => 0 }} }}")).start();
    daemon.wait_for("Counter: started", SOON);
    let begin = Instant::now();
    while !world.state().join("Counter.failsafe").exists() {
        assert!(begin.elapsed() < STOPPED, "it fails without end and goes on");
        world.send("{from => 'a', n => 1, fail => 1}", "Counter");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    daemon.wait_for("Counter: failsafe: ", SOON);
    let why = fs::read_to_string(world.state().join("Counter.failsafe")).unwrap();
    assert!(why.contains("local.admin.task_message_failure") && why.contains("is_external"), "{why}");
    world.send("{from => 'b', n => 2}", "Counter");
    world.wait_for("messages that wait", || world.queue("Counter").filter(|queue| queue.consumer.is_none()));
    fs::remove_file(world.state().join("Counter.failsafe")).unwrap();
    daemon.wait_for("Counter: its failsafe is cleared, it runs again", SOON);
    world.wait_for("an empty queue", || world.queue("Counter").filter(|queue| queue.messages == 0));
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}

#[test]
fn what_is_stopped_stays_so_until_a_person_clears_it_and_old_readings_do_not_stop_it_again() {
    let world = World::new();
    let daemon = world.own_daemon(&config("Leaker => {},")).start();
    daemon.wait_for("Leaker: failsafe: ", 2 * STOPPED);
    daemon.wait_for("Leaker: parked", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    // Another daemon leaves it as it is.
    let daemon = world.own_daemon(&config("Leaker => {},")).start();
    daemon.wait_for("Leaker: parked", SOON);
    let record = world.record("Leaker");
    assert!(!record.as_ref().is_some_and(|record| lives(&record.host_identity())));
    let begin = Instant::now();
    fs::remove_file(world.state().join("Leaker.failsafe")).unwrap();
    daemon.wait_for("Leaker: takes what it can", SOON);
    // By new readings alone, and those take their time.
    daemon.wait_for("Leaker: failsafe: ", 2 * STOPPED);
    assert!(begin.elapsed() > Duration::from_secs(2));
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}
