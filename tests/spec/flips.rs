//! A stateful task that moves between daemon and process of its own while messages flow.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::own_tasks::Heard;
use crate::world::{SOON, World};

/// How often it moves, each way.
const FLIPS: usize = 100;
/// The pause between two messages of a sender: messages flow at every moment, and the queue stays short.
const PAUSE: Duration = Duration::from_millis(1);
const SENDERS: [&str; 2] = ["a", "b"];
/// How long one move may take where tests share a slow machine.
const MOVE: Duration = Duration::from_secs(30);

fn config(delivery: &str, external: bool, label: usize) -> String {
    format!(
        "{{ Counter => {{ label => '{label}', is_external => {}, delivery => '{delivery}', \
         intervals => {{ save_state => 0.05 }} }}, Router => {{ routes => [ {{ match => {{ source => 'Counter' }}, \
         forwards => [ {{ qname => 'Sink', outside => 1 }} ] }} ] }} }}",
        u8::from(external)
    )
}

/// Sends numbers until nobody wants more; how many.
fn send_until(world: &World, sender: &str, ended: &Receiver<()>) -> i64 {
    let mut n = 0;
    while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        world.send(&format!("{{from => '{sender}', n => {n}}}"), "Counter");
        n += 1;
    }
    n
}

fn flip(delivery: &str) {
    let world = World::new();
    let daemon = world.own_daemon(&config(delivery, false, 0)).start();
    daemon.wait_for("Counter: started 0", SOON);
    let mut took = [Vec::new(), Vec::new()];
    let sent = thread::scope(|scope| {
        let world = &world;
        // Each sends until its end of a channel goes, also when this thread fails.
        let flows = SENDERS.map(|sender| {
            let (flows, ended) = mpsc::channel();
            (flows, scope.spawn(move || send_until(world, sender, &ended)))
        });
        let (mut line, mut begin) = (0, Instant::now());
        for label in 1..=2 * FLIPS {
            world.write_config(&config(delivery, label % 2 == 1, label));
            line = daemon.wait_for_after(line, &format!("Counter: started {label}"), MOVE);
            took[label % 2].push(begin.elapsed());
            begin = Instant::now();
        }
        flows.map(|(flows, thread)| {
            drop(flows);
            thread.join().expect("it sends")
        })
    });
    daemon.wait_for(&format!("Counter: has heard {}.", sent[0] + sent[1]), MOVE);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    took.iter_mut().for_each(|took| took.sort_unstable());
    let [back, out] = took.map(|took| [took[took.len() / 2], took[took.len() - 1]]);
    println!(
        "{delivery}: {} messages; median and longest of {FLIPS} moves out {out:?}, back {back:?}",
        sent[0] + sent[1]
    );
    let heard: Heard = ron::from_str(&world.saved_state("Counter")).expect("the counter's state");
    let emitted = world.emitted("Sink");
    for (sender, sent) in SENDERS.into_iter().zip(sent) {
        // Each move is orderly: what goes out again after a crash goes out once here, whatever the delivery.
        assert!(heard.0[sender].iter().copied().eq(0..sent), "{sender}: {:?}", heard.0[sender]);
        assert!(emitted[sender].iter().copied().eq(0..sent), "{sender}: {:?}", emitted[sender]);
    }
    assert_eq!((world.waiting("Counter"), world.waiting("dead")), (0, 0));
}

#[test]
fn moved_a_hundred_times_each_way_under_flow_a_task_loses_doubles_and_reorders_nothing() {
    flip("at_least_once");
}

#[test]
fn moved_a_hundred_times_each_way_under_flow_with_exactly_once_it_is_the_same() {
    flip("exactly_once");
}
