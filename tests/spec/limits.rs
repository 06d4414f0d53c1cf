//! A task that takes too much is stopped and says why, and nobody else notices.

use std::fs;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::processes::lives;
use crate::rough_tasks::{BYSTANDERS_ROUTE, Bystanders};
use crate::world::{SOON, World};

/// A window of 3 s, the shortest, and 2 s to stop what is found: that is promised.
const PROMISED: Duration = Duration::from_secs(5);
/// The longest that is waited for it on a machine of which far more is wanted than it has.
const STOPPED: Duration = Duration::from_secs(30);

/// What the bystanders are offered each second, and in which time all but one of a hundred must be delivered.
const OFFERED: u32 = 1000;
const PROMPTLY_MS: usize = 100;

/// Windows of 3 s, and levels that one task alone reaches on a small machine.
const LIMITS: &str = "MultiModule => {
    windows => { one_minute => '3s', five_minutes => '6s' },
    thresholds => {
        'local.cpu.one_core' => { levels => [ { name => 'failsafe', threshold => 0.2 } ], can_failsafe => 1 },
        'local.memory.vss_of_box_physical' =>
            { levels => [ { name => 'failsafe', threshold => 0.008 } ], can_failsafe => 1 },
        'local.io.disk.read_bytes' => { levels => [ { name => 'failsafe', threshold => 8000000 } ], can_failsafe => 1 },
        'local.io.disk.write_bytes' => { levels => [ { name => 'failsafe', threshold => 8000000 } ], can_failsafe => 1 },
        'local.queue.bytes_of_max' => { levels => [ { name => 'failsafe', threshold => 0.95 } ], can_failsafe => 1 },
        'local.admin.task_message_failure' =>
            { levels => [ { name => 'failsafe', threshold => 0.5 } ], can_failsafe => 1 },
    },
},";

fn config(entries: &str, routes: &str) -> String {
    format!(
        "{{ {LIMITS} {entries} Pulse => {{ rate => {OFFERED} }}, Witness => {{}}, \
         Router => {{ routes => [ {BYSTANDERS_ROUTE}, {routes} ] }} }}"
    )
}

/// One that takes too much.
struct Trial {
    name: &'static str,
    metric: &'static str,
    entries: &'static str,
    routes: &'static str,
    /// Waits until it takes too much.
    begins: fn(&World, &Daemon, &str),
    /// Goes on with it.
    goes_on: fn(&World),
}

/// A program that takes what it can.
const fn program(name: &'static str, metric: &'static str, entries: &'static str) -> Trial {
    let begins = |_: &World, daemon: &Daemon, name: &str| {
        daemon.wait_for(&format!("{name}: takes what it can"), SOON);
    };
    Trial { name, metric, entries, routes: "", begins, goes_on: |_| {} }
}

/// All that the promise names.
const TRIALS: [Trial; 10] = [
    program("Spinner", "local.cpu.one_core", "Spinner => {},"),
    program("Memory", "local.memory.vss_of_box_physical", "Memory => {},"),
    program("Leaker", "local.handles.fh.count", "Leaker => {},"),
    program("Threads", "local.handles.tasks.count", "Threads => {},"),
    // Its files, too, are counted over all of its processes.
    program("Bomb", "local.handles.", "Bomb => {},"),
    program("Writer", "local.io.disk.write_bytes", "Writer => {},"),
    program("Reader", "local.io.disk.read_bytes", "Reader => {},"),
    Trial {
        begins: |world, _, name| drop(world.wait_for("its first start", || world.record(name))),
        ..program("Quitter", "local.admin.start.external", "Quitter => { restart => { max => 1000, backoff => 0.3 } },")
    },
    // It never takes anything off its queue, which another one fills.
    Trial {
        routes: "{ match => { source => 'Filler' }, forwards => [ { qname => 'Stubborn' } ] },",
        begins: |world, _, name| world.wait_for("a full queue", || (world.waiting(name) >= 100).then_some(())),
        ..program(
            "Stubborn",
            "local.queue.bytes_of_max",
            "Stubborn => { queue => { max_messages => 100, block_timeout => 3600 } }, Filler => { rate => 100 },",
        )
    },
    Trial {
        begins: |_, daemon, name| {
            daemon.wait_for(&format!("{name}: started"), SOON);
        },
        goes_on: |world| world.send("{from => 'a', n => 1, fail => 1}", "Other"),
        ..program("Other", "local.admin.task_message_failure", "Other => { is_external => 0 },")
    },
];

/// How long it may take to stop something now: longer by as much as others want of this machine.
fn allowed() -> Duration {
    let load = fs::read_to_string("/proc/loadavg").expect("the kernel tells its load");
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).expect("a number");
    let cpus = std::thread::available_parallelism().expect("the kernel tells").get();
    PROMISED.mul_f64((load / cpus as f64).max(1.0)).min(STOPPED)
}

/// Waits until it is stopped for what it does, and says why; how long that took.
fn is_stopped(world: &World, daemon: &Daemon, trial: &Trial) -> Duration {
    let Trial { name, metric, begins, goes_on, .. } = trial;
    begins(world, daemon, name);
    let (begin, file) = (Instant::now(), world.state().join(format!("{name}.failsafe")));
    while !file.exists() {
        assert!(begin.elapsed() < STOPPED, "{name} is not stopped\n{}", daemon.stdout());
        goes_on(world);
        std::thread::park_timeout(Duration::from_millis(20));
    }
    if let Some(record) = world.record(name) {
        world.wait_ended(&[record.keeper_identity(), record.host_identity()]);
    }
    let stopped = begin.elapsed();
    let allowed = allowed();
    assert!(stopped < allowed, "{name} took {stopped:?} of {allowed:?} to be stopped");
    let why = fs::read_to_string(file).expect("it says why");
    for evidence in [metric, "is failsafe", "failsafe clear", "s before: "] {
        assert!(why.contains(evidence), "no {evidence:?} in {why}");
    }
    daemon.wait_for(&format!("{name}:{metric}"), SOON);
    stopped
}

#[test]
fn whatever_takes_too_much_is_stopped_while_bystanders_deliver_a_thousand_messages_a_second_in_time() {
    let world = World::new();
    let daemon = world.own_daemon(&config("", "")).start();
    let (begin, bystanders) = (Instant::now(), Bystanders::watch(&world));
    let (mut entries, mut routes) = (String::new(), String::new());
    for trial in &TRIALS {
        let said = bystanders.said();
        entries += trial.entries;
        routes += trial.routes;
        world.write_config(&config(&entries, &routes));
        let stopped = is_stopped(&world, &daemon, trial);
        let slowest = bystanders.slowest_ms(said);
        let (name, allowed) = (trial.name, allowed());
        println!(
            "{name}: stopped after {stopped:.1?} of {allowed:.1?}, the slowest message meanwhile took {slowest} ms"
        );
    }
    let dead = world.waiting("dead");
    world.wait_for("more that does not fit: its sender goes on", || (world.waiting("dead") > dead + 100).then_some(()));
    bystanders.are_undisturbed();
    let lasted = begin.elapsed();
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    let numbers = bystanders.have_missed_nothing();
    let offered: i64 = world.saved_state("Pulse").parse().expect("a number");
    let [p50, p99, p999] = [500, 990, 999].map(|permille| numbers.percentile_ms(permille));
    println!("{offered} messages in {lasted:.1?}: p50 {p50} ms, p99 {p99} ms, p999 {p999} ms");
    let waiting = i64::try_from(world.waiting("Witness")).expect("64 bits");
    assert_eq!(numbers.next + waiting, offered, "all are delivered");
    assert!(offered as f64 > 0.9 * f64::from(OFFERED) * lasted.as_secs_f64(), "{offered} in {lasted:?}");
    assert!(p99 <= PROMPTLY_MS, "p99 {p99} ms");
}

/// A program that ends at once, again and again, is stopped in time, and says by what.
fn crash_loop(restart: &str, reason: &str) {
    let world = World::new();
    let daemon = world.own_daemon(&format!("{{ {LIMITS} Quitter => {{ {restart} }} }}")).start();
    world.wait_for("its first start", || world.record("Quitter"));
    let (begin, file) = (Instant::now(), world.state().join("Quitter.failsafe"));
    while !file.exists() {
        assert!(begin.elapsed() < STOPPED, "{daemon:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let starts = world.record("Quitter").map_or(0, |record| record.starts);
    println!("{restart}: stopped after {:.1?} and {starts} starts", begin.elapsed());
    daemon.wait_for("Quitter: parked", SOON);
    let why = fs::read_to_string(file).expect("it says why");
    assert!(why.contains(reason) && why.contains("failsafe clear"), "{why}");
}

#[test]
fn a_crash_loop_is_stopped_by_its_budget_or_by_its_rate_whichever_is_broken_first_and_says_which() {
    crash_loop("", "4 ends that nobody asked for");
    crash_loop("restart => { max => 1000, backoff => 0.3, max_backoff => 0.3 }", "local.admin.start.external");
}

#[test]
fn of_a_queue_that_is_full_its_task_is_told_and_stopped_and_who_fills_it_goes_on() {
    let world = World::new();
    let entries = "Mill => { is_external => 1, queue => { max_messages => 50, block_timeout => 3600 } }, \
                   Filler => { rate => 200 },";
    let route = "{ match => { source => 'Filler' }, forwards => [ { qname => 'Mill' } ] }";
    // It waits for a gate that nobody opens.
    world.send("{n => 1, gate => './gate'}", "Mill");
    let daemon = world.own_daemon(&format!("{{ {LIMITS} {entries} Router => {{ routes => [ {route} ] }} }}")).start();
    daemon.wait_for("Mill: begins 1", SOON);
    world.wait_for("a full queue", || (world.waiting("Mill") >= 50).then_some(()));
    let begin = Instant::now();
    daemon.wait_for("one_minute: Mill:local.queue.bytes_of_max: ", STOPPED);
    daemon.wait_for("Mill: failsafe: one_minute: Mill:local.queue.bytes_of_max: ", STOPPED);
    println!("the task of a full queue was stopped after {:.1?}", begin.elapsed());
    world.wait_for("letters: its sender goes on", || (world.waiting("dead") > 300).then_some(()));
    assert!(lives(&world.process("Filler").host_identity()) && !world.state().join("Filler.failsafe").exists());
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    let sent: u64 = world.saved_state("Filler").parse().expect("a number");
    let kept = world.waiting("dead") + world.waiting("Mill");
    assert_eq!(kept, sent + 1, "what does not fit is in `dead`");
}

#[test]
fn with_fast_one_reading_stops_a_task_however_long_the_windows_are() {
    let world = World::new();
    let limits = "MultiModule => { thresholds => { 'local.handles.fh.count' => { fast => 1 } } }";
    let daemon = world.own_daemon(&format!("{{ {limits}, Leaker => {{}} }}")).start();
    daemon.wait_for("Leaker: takes what it can", SOON);
    let begin = Instant::now();
    daemon.wait_for("Leaker: failsafe: reading: Leaker:local.handles.fh.count: ", SOON);
    println!("it was stopped after {:.1?}, with a window of a minute", begin.elapsed());
}

#[test]
fn with_for_a_task_is_stopped_only_for_what_it_did_all_that_time() {
    const FOR: Duration = Duration::from_secs(6);
    let world = World::new();
    let config = |rule: &str| {
        let limits = format!("MultiModule => {{ thresholds => {{ 'local.handles.fh.count' => {{ {rule} }} }} }}");
        format!("{{ {limits}, Leaker => {{}}, Spiky => {{}} }}")
    };
    let daemon = world.own_daemon(&config("fast => 1, for => '6s'")).start();
    daemon.wait_for("Leaker: takes what it can", SOON);
    daemon.wait_for("Spiky: takes what it can", SOON);
    let begin = Instant::now();
    daemon.wait_for("Leaker: failsafe: ", FOR + STOPPED);
    let stopped = begin.elapsed();
    println!("it was stopped after {stopped:.1?}");
    // It may have begun a moment before its word was heard.
    assert!(stopped > FOR - Duration::from_secs(1), "{stopped:?}");
    assert!(lives(&world.process("Spiky").host_identity()) && !world.state().join("Spiky.failsafe").exists());
    // The rule is another one from the next reading on.
    world.write_config(&config("fast => 1"));
    daemon.wait_for("Spiky: failsafe: reading: ", SOON);
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
    let daemon = world.own_daemon(&config("Leaker => {},", "")).start();
    daemon.wait_for("Leaker: failsafe: ", STOPPED);
    daemon.wait_for("Leaker: parked", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    // Another daemon leaves it as it is.
    let daemon = world.own_daemon(&config("Leaker => {},", "")).start();
    daemon.wait_for("Leaker: parked", SOON);
    let record = world.record("Leaker");
    assert!(!record.as_ref().is_some_and(|record| lives(&record.host_identity())));
    let begin = Instant::now();
    fs::remove_file(world.state().join("Leaker.failsafe")).unwrap();
    daemon.wait_for("Leaker: takes what it can", SOON);
    // By new readings alone, and those take their time.
    daemon.wait_for("Leaker: failsafe: ", STOPPED);
    assert!(begin.elapsed() > Duration::from_secs(2));
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}
