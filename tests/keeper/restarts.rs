//! When a host is started again, and when it is not.

use std::fs;
use std::time::{Duration, Instant};

use multimodule::process::{Failsafe, How, Intent, Pidfd, SpawnError, read_record, write_record};
use multimodule::restart::{Backoff, Budget, Policy, When};
use nix::sys::signal::Signal;

use crate::world::{World, argument, ended, new_spawner, policy, signal, wait_for};

/// Waits for the record of start `starts`, and gives the host.
fn start(world: &World, starts: u64) -> multimodule::process::ProcessIdentity {
    let record = wait_for(&format!("start {starts}"), || Some(world.record()).filter(|record| record.starts >= starts));
    assert_eq!(record.starts, starts);
    record.host_identity()
}

#[test]
fn a_host_that_exits_at_once_is_parked_after_its_budget() {
    let mut world = World::new();
    let order = world.order("echo \"nothing \\\"works\\\"\"; exit 3", policy(When::Always, 3));
    let keeper = world.spawn(&order).unwrap();
    ended(&keeper);
    assert_eq!(world.record().starts, 4);
    assert_eq!(world.end().unwrap().how, How::Exited(3));
    let failsafe = Failsafe::read(&world.files().failsafe()).unwrap().unwrap();
    assert!(failsafe.reason.contains("4 ends that nobody asked for"), "{failsafe:?}");
    assert_eq!(failsafe.ends.len(), 4);
    assert!(failsafe.ends.iter().all(|end| end.ends_with("Z: exited with 3")), "{failsafe:?}");
    assert!(failsafe.log.iter().any(|line| line == "nothing \"works\""), "{failsafe:?}");
    assert!(failsafe.log.last().unwrap().contains("it is parked"), "{failsafe:?}");
    // It stays so until a person removes the file; then it has its budget again.
    assert!(matches!(world.spawn(&order), Err(SpawnError::Parked(_))));
    fs::remove_file(world.files().failsafe()).unwrap();
    let keeper = world.spawn(&order).unwrap();
    ended(&keeper);
    assert_eq!(world.record().starts, 4);
}

#[test]
fn the_budget_counts_on_under_the_next_keeper() {
    let mut world = World::new();
    let order = world.order("[ -e $DIR/third ] || { echo >>$DIR/n; [ $(wc -l <$DIR/n) = 3 ] && echo >$DIR/third && exec sleep 600; }; exit 1", policy(When::Always, 3));
    let keeper = world.spawn(&order).unwrap();
    let host = start(&world, 3);
    world.lines("third", 1);
    signal(&keeper, Signal::SIGKILL);
    ended(&keeper);
    signal(&host, Signal::SIGKILL);
    ended(&host);
    let keeper = world.spawn(&order).unwrap();
    ended(&keeper);
    assert_eq!(world.record().starts, 2, "two ends before, two now: {}", world.log());
    assert!(world.files().failsafe().exists());
}

#[test]
fn a_host_is_started_again_also_while_nobody_else_is_there() {
    let mut world = World::new();
    world.keep("exec sleep 600", policy(When::Always, 3));
    let first = start(&world, 1);
    drop(std::mem::replace(&mut world.spawner, new_spawner()));
    signal(&first, Signal::SIGKILL);
    let second = start(&world, 2);
    assert_ne!(first, second);
    assert_eq!(world.end().unwrap().how, How::Signaled { signal: 9, core: false });
    world.wait_for_log("ended by SIGKILL; it is started again");
}

#[test]
fn a_keeper_goes_on_with_its_program_when_the_file_is_replaced() {
    let mut world = World::new();
    let (program, new) = (world.file("program"), world.file("new"));
    fs::copy("/bin/sh", &program).unwrap();
    fs::copy("/bin/true", &new).unwrap();
    // Not replaced by the shell: what is looked at is the host's own program.
    let order = world.order("trap 'kill $!; exit 0' TERM; sleep 600 & wait; :", policy(When::Always, 3));
    world.spawn_program(&order, &program).unwrap();
    fs::rename(&new, &program).unwrap();
    signal(&start(&world, 1), Signal::SIGKILL);
    let second = start(&world, 2);
    let exe = wait_for("the program", || {
        let exe = fs::read_link(format!("/proc/{}/exe", second.pid)).unwrap().display().to_string();
        exe.contains("/program").then_some(exe)
    });
    assert!(exe.ends_with("/program (deleted)"), "{exe}");
}

#[test]
fn a_rewritten_intent_holds_from_the_next_start_on() {
    let mut world = World::new();
    world.keep("exec sleep 600", policy(When::Always, 3));
    let host = start(&world, 1);
    let path = world.files().intent();
    let mut intent = read_record::<Intent>(&path).unwrap().unwrap();
    intent.arguments = ["sh", "-c", "echo changed; exec sleep 600"].map(argument).to_vec();
    write_record(&path, &intent).unwrap();
    signal(&host, Signal::SIGKILL);
    let host = start(&world, 2);
    world.wait_for_log("changed");
    // One that cannot be read changes nothing.
    fs::write(&path, "garbage").unwrap();
    signal(&host, Signal::SIGKILL);
    start(&world, 3);
    world.wait_for_log("T.intent: this is no record of kind `intent`; it is kept as before");
}

#[test]
fn an_end_that_is_asked_for_during_the_backoff_needs_no_waiting() {
    let mut world = World::new();
    let slow = Backoff { first_ms: 3_600_000, max_ms: 3_600_000 };
    let restart = Policy::new(When::Always, slow, Budget::default()).unwrap();
    let keeper = world.keep("exit 1", restart);
    world.wait_for_log("it is started again in");
    assert!(!world.end().unwrap().asked);
    signal(&keeper, Signal::SIGTERM);
    ended(&keeper);
    let end = world.end().unwrap();
    assert_eq!((end.how, end.asked), (How::Exited(1), true));
}

#[test]
fn a_host_that_exits_at_once_a_hundred_times_costs_its_budget_and_no_more() {
    let mut world = World::new();
    let begin = Instant::now();
    let keeper = world.keep("exit 1", policy(When::Always, 119));
    let handle = Pidfd::open(&keeper).unwrap().unwrap();
    assert!(handle.wait(Duration::from_secs(120)).unwrap());
    println!("120 starts and ends in {:?}", begin.elapsed());
    assert_eq!(world.record().starts, 120);
    let failsafe = Failsafe::read(&world.files().failsafe()).unwrap().unwrap();
    assert!(failsafe.reason.starts_with("120 ends"), "{failsafe:?}");
    assert_eq!((failsafe.ends.len(), failsafe.log.len()), (100, 20));
}
