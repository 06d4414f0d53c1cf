//! A stateless task that moves: what it sent before is heard before what it sends from its new place.

use std::time::Instant;

use multimodule::fields;
use multimodule::message::{Message, Stamp};
use multimodule::name::{LaneName, QueueName};
use multimodule::transit::{Outgoing, Transit};
use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::own_tasks::Heard;
use crate::processes::{kill, lives, signal};
use crate::world::{SOON, World};

/// The line about a move that did not wait until everything was handled.
const OVERTAKES: &str = "may overtake";

/// `Mill` passes on what it hears to `Counter`.
fn config(mill_is_external: bool, counter_is_external: bool) -> String {
    let [mill, counter] = [mill_is_external, counter_is_external].map(u8::from);
    format!(
        "{{ Mill => {{ is_external => {mill} }}, Counter => {{ is_external => {counter} }}, Router => {{ routes => [ {{ \
         match => {{ source => 'Mill' }}, forwards => [ {{ qname => 'Counter' }} ] }} ] }} }}"
    )
}

/// Appends numbers to a queue by a lane that nobody writes now.
pub(crate) fn append(world: &World, queue: &str, lane: &LaneName, numbers: std::ops::Range<i64>) {
    let transit = Transit::open(&world.transit()).expect("the transit is there");
    let queue = QueueName::new(queue).expect("a name of ours");
    let sender = transit.sender(&queue, lane).expect("nobody writes this lane");
    for n in numbers {
        let message = Message::new(fields! { from: "a", n: n });
        let body = message.encoded().expect("it is small");
        sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body }).expect("there is room");
    }
}

/// The lane of `queue` in which the daemon writes what its stateless tasks send.
fn lane_of_the_daemon(world: &World, queue: &str) -> LaneName {
    let lanes = world.queue(queue).expect("it was sent to").lanes;
    let ours = |name: &LaneName| name.to_string().starts_with("process:main");
    lanes.into_iter().map(|lane| lane.name).find(ours).expect("the daemon has sent to it")
}

fn overtakes(daemon: &Daemon) -> bool {
    daemon.lines().iter().any(|line| line.text.contains(OVERTAKES))
}

fn heard(world: &World) -> Vec<i64> {
    let heard: Heard = ron::from_str(&world.saved_state("Counter")).expect("the counter's state");
    heard.0["a"].clone()
}

#[test]
fn a_move_waits_for_no_process_that_only_the_move_keeps_from_being_started() {
    let world = World::new();
    let daemon = world.own_daemon(&config(false, true)).start();
    daemon.wait_for("Counter: started", SOON);
    let record = world.process("Counter");
    world.send("{from => 'a', n => 0}", "Mill");
    daemon.wait_for("Counter: has heard 1.", SOON);
    daemon.kill();
    daemon.exit(SOON);
    kill(&record.keeper_identity());
    kill(&record.host_identity());
    let lane = lane_of_the_daemon(&world, "Counter");
    append(&world, "Counter", &lane, 1..2);
    let begin = Instant::now();
    let daemon = world.own_daemon(&config(true, true)).start();
    daemon.wait_for("Counter: has heard 2.", SOON);
    daemon.wait_for("tasks by", SOON);
    assert!(!overtakes(&daemon), "{daemon:?} after {:?}", begin.elapsed());
}

#[test]
fn a_receiver_that_moves_together_with_a_stateless_task_hears_it_in_order_too() {
    const EACH: i64 = 1500;
    let world = World::new();
    let daemon = world.own_daemon(&config(false, false)).start();
    daemon.wait_for("Counter: started", SOON);
    world.send("{from => 'a', n => 0}", "Mill");
    daemon.wait_for("Counter: has heard 1.", SOON);
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    // What the daemon's Mill had sent, and what it had not handled yet.
    let lane = lane_of_the_daemon(&world, "Counter");
    append(&world, "Counter", &lane, 1..EACH);
    append(&world, "Mill", &"process:sender".parse().expect("a name of ours"), EACH..2 * EACH);
    let daemon = world.own_daemon(&config(true, true)).start();
    daemon.wait_for(&format!("Counter: has heard {}.", 2 * EACH), SOON);
    assert!(!overtakes(&daemon), "{daemon:?}");
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    assert!(heard(&world).into_iter().eq(0..2 * EACH), "{:?}", heard(&world));
}

#[test]
fn a_process_that_hangs_and_is_not_wanted_any_more_is_ended_before_its_task_is_somewhere_else() {
    let world = World::new();
    let daemon = world.own_daemon(&config(true, true)).start();
    daemon.wait_for("Mill: started", SOON);
    daemon.wait_for("Counter: started", SOON);
    world.send("{from => 'a', n => 0}", "Mill");
    daemon.wait_for("Counter: has heard 1.", SOON);
    let host = world.process("Mill").host_identity();
    signal(&host, Signal::SIGSTOP);
    world.send("{from => 'a', n => 1}", "Mill");
    let before = daemon.lines().len();
    world.write_config(&config(false, true));
    daemon.wait_for_after(before, "Mill: started", SOON);
    assert!(!lives(&host), "what it would send now may be overtaken");
    daemon.wait_for("Counter: has heard 2.", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    assert_eq!(heard(&world), [0, 1]);
}

#[test]
fn a_host_that_hangs_while_what_it_sends_to_moves_is_named_and_loses_nothing() {
    const ALL: i64 = 21;
    let world = World::new();
    let config = |external: u8| {
        format!(
            "{{ Mill => {{ is_external => {external} }}, Counter => {{}}, Other => {{}}, Router => {{ routes => [ \
             {{ match => {{ source => 'Mill' }}, forwards => [ {{ qname => 'Counter' }} ] }}, \
             {{ match => {{ source => 'Other' }}, forwards => [ {{ qname => 'Mill' }} ] }} ] }} }}"
        )
    };
    let daemon = world.own_daemon(&config(0)).start();
    ["Counter: started", "Other: started"].iter().for_each(|text| _ = daemon.wait_for(text, SOON));
    world.send("{from => 'a', n => 0}", "Other");
    daemon.wait_for("Counter: has heard 1.", SOON);
    let host = world.process("Other").host_identity();
    signal(&host, Signal::SIGSTOP);
    append(&world, "Other", &"process:sender".parse().expect("a name of ours"), 1..ALL);
    world.write_config(&config(1));
    daemon.wait_for("Other has not taken the config within 5 s, and Mill moves without it", SOON);
    daemon.wait_for("Mill: started", SOON);
    signal(&host, Signal::SIGCONT);
    daemon.wait_for(&format!("Counter: has heard {ALL}."), SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    // Their order is what such a host may lose.
    let mut heard = heard(&world);
    heard.sort_unstable();
    assert!(heard.iter().copied().eq(0..ALL), "{heard:?}");
}

#[test]
fn a_move_says_who_does_not_get_on_and_why() {
    let world = World::new();
    let daemon = world.own_daemon(&config(false, true)).start();
    daemon.wait_for("Counter: started", SOON);
    let record = world.process("Counter");
    signal(&record.host_identity(), Signal::SIGSTOP);
    world.send("{from => 'a', n => 0}", "Mill");
    daemon.wait_for("Mill: passed on 0.", SOON);
    world.write_config(&config(true, true));
    let line = daemon.wait_for(OVERTAKES, SOON);
    let text = daemon.lines()[line].text.clone();
    let pid = format!("pid {}", record.host.pid);
    for part in ["Mill moves", "1 of lane process:main", "queue Counter, read by Counter", &pid] {
        assert!(text.contains(part), "{part}: {text}");
    }
    signal(&record.host_identity(), Signal::SIGCONT);
    daemon.wait_for("Counter: has heard 1.", SOON);
}
