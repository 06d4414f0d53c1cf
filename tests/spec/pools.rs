//! Pools: several processes that share the work of one task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::processes::{kill, lives};
use crate::world::{SOON, World};

/// The deadline of what takes several restarts of a process.
const LATER: Duration = Duration::from_secs(30);

fn config(entry: &str) -> String {
    format!(
        "{{ Mill => {{ {entry} }}, Router => {{ routes => [ {{ match => {{ source => 'Mill' }}, \
         forwards => [ {{ qname => 'Sink', outside => 1 }} ] }} ] }} }}"
    )
}

/// Waits until the sink has at least `count` messages.
fn wait_for_sink(world: &World, count: u64) {
    world.wait_for(&format!("{count} messages in the sink"), || (world.waiting("Sink") >= count).then_some(()));
}

/// Waits until nothing is under way.
fn wait_drained(world: &World) {
    let queues = || world.queues().into_iter().filter(|queue| queue.starts_with("Mill"));
    world.wait_for("empty queues", || queues().all(|queue| world.waiting(&queue) == 0).then_some(()));
}

/// What came out, by sender; each list sorted.
fn sorted(world: &World) -> Vec<(String, Vec<i64>)> {
    let emitted = world.emitted("Sink").into_iter();
    emitted
        .map(|(from, mut numbers)| {
            numbers.sort_unstable();
            (from, numbers)
        })
        .collect()
}

#[test]
fn a_pools_workers_are_processes_and_share_its_messages() {
    let world = World::new();
    let daemon = world.own_daemon(&config("workers => 3")).start();
    let workers = ["Mill.1", "Mill.2", "Mill.3"].map(|name| world.process(name));
    (0..300).for_each(|n| world.send(&format!("{{from => 'a', n => {n}}}"), "Mill"));
    wait_for_sink(&world, 300);
    assert_eq!(sorted(&world), [("a".to_owned(), (0..300).collect())]);
    for name in ["Mill.1", "Mill.2", "Mill.3"] {
        assert!(world.log(name).contains("Mill: passed on"), "{name} had nothing to do: {}", world.logs());
    }
    assert!(workers.iter().all(|record| lives(&record.host_identity())));
    assert_eq!((world.waiting("Mill"), world.waiting("dead")), (0, 0));
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    world.wait_ended(&workers.map(|record| record.host_identity()));
}

#[test]
fn what_a_killed_worker_has_not_finished_is_handled_by_others() {
    let world = World::new();
    let daemon = world.own_daemon(&config("workers => 2, restart => { backoff => 60, max_backoff => 60 }")).start();
    let first = ["Mill.1", "Mill.2"].map(|name| world.process(name))[0].clone();
    let gate = world.path().join("gate");
    (0..24).for_each(|n| world.send(&format!("{{from => 'a', n => {n}, gate => '{}'}}", gate.display()), "Mill"));
    let both_begin = || ["Mill.1", "Mill.2"].iter().all(|name| world.log(name).contains("Mill: begins"));
    world.wait_for("work at both", || both_begin().then_some(()));
    let begun = world.log("Mill.1");
    // It comes back after a minute, which is too late for this test.
    kill(&first.host_identity());
    std::fs::write(&gate, "").unwrap();
    wait_for_sink(&world, 24);
    assert_eq!(sorted(&world), [("a".to_owned(), (0..24).collect())]);
    let number = begun.split("Mill: begins ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert!(world.log("Mill.2").contains(&format!("Mill: begins {number}")), "{}", world.logs());
    assert_eq!((world.waiting("Mill"), world.waiting("Mill.1"), world.waiting("dead")), (0, 0, 0));
    drop(daemon);
}

#[test]
fn a_message_on_which_three_workers_ended_goes_to_dead_and_the_others_are_handled() {
    let world = World::new();
    let _daemon = world.own_daemon(&config("workers => 2")).start();
    world.process("Mill.1");
    world.process("Mill.2");
    (0..5).for_each(|n| world.send(&format!("{{from => 'a', n => {n}}}"), "Mill"));
    world.send("{from => 'a', n => 5, die => 1}", "Mill");
    (6..40).for_each(|n| world.send(&format!("{{from => 'a', n => {n}}}"), "Mill"));
    let letters = world.take("dead", 1, LATER);
    assert_eq!(letters[0].get("n").and_then(|n| n.view().as_i64()), Some(5), "{letters:?}");
    wait_drained(&world);
    let [(_, numbers)] = &sorted(&world)[..] else { panic!("one sender") };
    let mut once = numbers.clone();
    once.dedup();
    assert!(once.into_iter().eq((0..40).filter(|n| *n != 5)), "{numbers:?}");
    assert_eq!(world.logs().matches("Mill: begins 5.").count(), 3, "{}", world.logs());
    assert_eq!((world.waiting("Mill"), world.waiting("dead")), (0, 0));
}

#[test]
fn while_the_daemon_is_away_what_was_handed_out_is_worked_off_and_the_rest_waits() {
    let world = World::new();
    let daemon = world.own_daemon(&config("workers => 2")).start();
    world.process("Mill.1");
    world.process("Mill.2");
    let gate = world.path().join("gate");
    (0..100).for_each(|n| world.send(&format!("{{from => 'a', n => {n}, gate => '{}'}}", gate.display()), "Mill"));
    world.wait_for("sixteen for each", || (world.waiting("Mill") == 68).then_some(()));
    daemon.kill();
    daemon.exit(SOON);
    std::fs::write(&gate, "").unwrap();
    wait_for_sink(&world, 32);
    assert_eq!((world.waiting("Mill"), world.waiting("Mill.1"), world.waiting("Mill.2")), (68, 0, 0));
    let _daemon = world.own_daemon(&config("workers => 2")).start();
    wait_for_sink(&world, 100);
    assert_eq!(sorted(&world), [("a".to_owned(), (0..100).collect())]);
}

#[test]
fn a_daemon_that_is_killed_again_and_again_deals_every_message_once() {
    const KILLS: i64 = 20;
    let world = World::new();
    let flows = AtomicBool::new(true);
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            (0_i64..)
                .take_while(|_| flows.load(Ordering::Relaxed))
                .inspect(|n| {
                    world.send(&format!("{{from => 'a', n => {n}}}"), "Mill");
                })
                .count()
        });
        for kill in 1..=KILLS {
            let daemon = world.own_daemon(&config("workers => 3")).start();
            let before = world.waiting("Sink");
            wait_for_sink(&world, before + 50 * u64::try_from(kill % 4).unwrap());
            daemon.kill();
            daemon.exit(SOON);
        }
        flows.store(false, Ordering::Relaxed);
        sender.join().unwrap()
    });
    let _daemon = world.own_daemon(&config("workers => 3")).start();
    wait_drained(&world);
    println!("{sent} messages over {KILLS} kills of the daemon");
    assert_eq!(sorted(&world), [("a".to_owned(), (0..i64::try_from(sent).unwrap()).collect())]);
    assert_eq!(world.waiting("dead"), 0);
}
