//! Programs that misbehave, and queues that vanish: each is told by name, and nobody else notices.

use std::fs;
use std::time::{Duration, Instant};

use multimodule::process::{How, ProcessIdentity, end_marked};

use crate::daemon::Daemon;
use crate::processes::lives;
use crate::rough_tasks::{BYSTANDERS, BYSTANDERS_ROUTE, Bystanders};
use crate::world::{SOON, World};

/// How long a thousand starts may take where tests share a slow machine.
const LONG: Duration = Duration::from_secs(180);
/// What a keeper gives to what it ends.
const GRACE: Duration = Duration::from_secs(2);

fn config(entry: &str) -> String {
    format!("{{ {entry} {BYSTANDERS}, Router => {{ routes => [ {BYSTANDERS_ROUTE} ] }} }}")
}

/// A daemon with bystanders, and with a task that misbehaves.
fn start<'world>(world: &'world World, entry: &str) -> (Daemon, Bystanders<'world>) {
    let daemon = world.own_daemon(&config("")).start();
    let bystanders = Bystanders::watch(world);
    world.write_config(&config(entry));
    (daemon, bystanders)
}

fn end(daemon: &Daemon, bystanders: &Bystanders<'_>) {
    bystanders.are_undisturbed();
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    bystanders.have_missed_nothing();
}

#[test]
fn a_program_that_exits_at_once_a_thousand_times_is_parked_by_name_after_that() {
    let world = World::new();
    let restart = "{ max => 1000, within => 3600, backoff => 0.001, max_backoff => 0.001 }";
    // On a slow machine so many starts take longer than a rate of them needs to be judged.
    let any_rate = "MultiModule => { thresholds => { 'local.admin.start.external' => { levels => [] } } }";
    let (daemon, bystanders) = start(&world, &format!("Quitter => {{ restart => {restart} }}, {any_rate},"));
    let begin = Instant::now();
    daemon.wait_for("Quitter: parked", LONG);
    println!("1001 starts in {:?}", begin.elapsed());
    let record = world.record("Quitter").expect("it was started");
    assert_eq!(record.starts, 1001);
    assert!(!lives(&record.keeper_identity()) && !lives(&record.host_identity()));
    let why = fs::read_to_string(world.state().join("Quitter.failsafe")).unwrap();
    assert!(why.contains("exited with 3"), "{why}");
    end(&daemon, &bystanders);
}

#[test]
fn a_program_that_ignores_term_is_killed_after_its_grace() {
    let world = World::new();
    let (daemon, bystanders) = start(&world, "Stubborn => {},");
    daemon.wait_for("Stubborn: ignores TERM", SOON);
    let record = world.process("Stubborn");
    let begin = Instant::now();
    world.write_config(&config(""));
    world.wait_ended(&[record.keeper_identity(), record.host_identity()]);
    assert!(begin.elapsed() >= GRACE, "{:?}", begin.elapsed());
    bystanders.are_undisturbed();
    world.write_config(&config("Stubborn => {},"));
    world.wait_for("another one", || world.record("Stubborn").filter(|new| lives(&new.host_identity())));
    let record = world.process("Stubborn");
    end(&daemon, &bystanders);
    assert!(!lives(&record.keeper_identity()) && !lives(&record.host_identity()));
}

#[test]
fn what_a_program_left_behind_when_it_forked_itself_away_is_ended_with_it() {
    let world = World::new();
    let (daemon, bystanders) = start(&world, "Runaway => { restart => { max => 3, within => 60, backoff => 0.01 } },");
    daemon.wait_for("Runaway: parked", SOON);
    let record = world.record("Runaway").expect("it was started");
    assert_eq!(world.log("Runaway").matches("Runaway: is away").count(), 4);
    assert!(!lives(&record.keeper_identity()));
    let left = end_marked(&record.nonce, Duration::ZERO).unwrap();
    assert_eq!((left.terminated, left.killed), (0, 0), "nothing of it is left");
    end(&daemon, &bystanders);
}

#[test]
fn what_a_program_left_behind_while_it_stays_away_is_ended_by_an_end_of_all() {
    let world = World::new();
    let (daemon, bystanders) = start(&world, "Runaway => { restart => 'never' },");
    daemon.wait_for("Runaway: is away", SOON);
    world.wait_for("its end", || world.end("Runaway").filter(|end| end.how == How::Exited(0)));
    let record = world.record("Runaway").expect("it was started");
    end(&daemon, &bystanders);
    let left = end_marked(&record.nonce, Duration::ZERO).unwrap();
    assert_eq!((left.terminated, left.killed), (0, 0), "nothing of it is left");
}

#[test]
fn a_queue_that_is_removed_under_an_external_task_is_told_and_messages_arrive_again() {
    let world = World::new();
    let (daemon, bystanders) = start(&world, "Counter => {},");
    daemon.wait_for("Counter: started", SOON);
    let host: ProcessIdentity = world.process("Counter").host_identity();
    for round in 1..=3 {
        world.send(&format!("{{from => 'a', n => {round}}}"), "Counter");
        daemon.wait_for(&format!("Counter: has heard {round}."), SOON);
        fs::remove_dir_all(world.transit().join("Counter")).unwrap();
    }
    world.send("{from => 'a', n => 4}", "Counter");
    daemon.wait_for("Counter: has heard 4.", SOON);
    daemon.wait_for("queue Counter: its directory was removed or replaced", SOON);
    assert!(lives(&host));
    end(&daemon, &bystanders);
    assert_eq!(world.saved_state("Counter"), "({\"a\":[1,2,3,4]})");
}
