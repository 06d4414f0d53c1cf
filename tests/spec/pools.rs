//! Pools: several processes that share the work of one task.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use multimodule::value::Map;

use crate::processes::{kill, lives};
use crate::world::{SOON, World};

/// The deadline of what takes several restarts of a process.
const LATER: Duration = Duration::from_secs(30);

/// The pause between two messages: they flow at every moment, and the queues stay short.
const PAUSE: Duration = Duration::from_millis(1);

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
    let gate = world.path().join("gate");
    (0..300).for_each(|n| world.send(&format!("{{from => 'a', n => {n}, gate => '{}'}}", gate.display()), "Mill"));
    world.wait_for("sixteen for each", || (world.waiting("Mill") == 252).then_some(()));
    std::fs::write(&gate, "").unwrap();
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
fn a_pool_of_as_many_workers_as_there_are_processors_has_so_many_processes() {
    let cpus = thread::available_parallelism().expect("the kernel tells").get();
    let world = World::new();
    let _daemon = world.own_daemon(&config("workers => 'cpus'")).start();
    (1..=cpus).for_each(|worker| drop(world.process(&format!("Mill.{worker}"))));
    world.send("{from => 'a', n => 1}", "Mill");
    wait_for_sink(&world, 1);
    assert_eq!(world.record(&format!("Mill.{}", cpus + 1)), None);
}

/// Sent to a pool that is parked: far more than its queues hold.
const FLOOD: u64 = 1000;

#[test]
fn a_pool_whose_workers_are_all_parked_blocks_nobody_and_goes_on_with_what_its_queues_hold() {
    let world = World::new();
    let daemon = world.own_daemon(
        "{ Mill => { workers => 2, restart => { max => 1, backoff => 0.01 }, \
         queue => { max_messages => 50, block_timeout => 3600 } }, Counter => {}, \
         Router => { routes => [ { match => { source => 'Counter' }, forwards => [ { qname => 'Mill' } ] }, \
         { match => { source => 'Mill' }, forwards => [ { qname => 'Sink', outside => 1 } ] } ] } }",
    );
    let daemon = daemon.start();
    for name in ["Mill.1", "Mill.2"] {
        for _ in 0..2 {
            let record = world.process(name);
            kill(&record.host_identity());
            world.wait_for("its end", || world.end(name).filter(|end| end.host == Some(record.host)));
        }
        daemon.wait_for(&format!("{name}: parked"), SOON);
    }
    (0..FLOOD).for_each(|n| world.send(&format!("{{from => 'a', n => {n}}}"), "Counter"));
    daemon.wait_for(&format!("Counter: has heard {FLOOD}."), LATER);
    let waiting = || ["Mill", "Mill.1", "Mill.2"].iter().map(|queue| world.waiting(queue)).sum::<u64>();
    world.wait_for("place for all", || (waiting() + world.waiting("dead") == FLOOD).then_some(()));
    assert!(waiting() > 0 && world.waiting("dead") > 0, "{} wait", waiting());
    let dead = world.waiting("dead");
    // One worker is enough for the pool to go on.
    std::fs::remove_file(world.state().join("Mill.1.failsafe")).expect("it is parked");
    wait_for_sink(&world, FLOOD - dead);
    wait_drained(&world);
    assert_eq!((world.waiting("Sink"), world.waiting("dead")), (FLOOD - dead, dead));
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
    let rest = || (world.waiting("Mill"), world.waiting("Mill.1"), world.waiting("Mill.2"));
    world.wait_for("end of what was handed out", || (rest() == (68, 0, 0)).then_some(()));
    let _daemon = world.own_daemon(&config("workers => 2")).start();
    wait_for_sink(&world, 100);
    assert_eq!(sorted(&world), [("a".to_owned(), (0..100).collect())]);
}

#[test]
fn a_daemon_that_is_killed_again_and_again_deals_every_message_once() {
    const KILLS: u64 = 20;
    let world = World::new();
    let sent = under_flow(&world, &["a"], || {
        for kill in 1..=KILLS {
            let daemon = world.own_daemon(&config("workers => 3")).start();
            let before = world.waiting("Sink");
            wait_for_sink(&world, before + 50 * (kill % 4));
            daemon.kill();
            daemon.exit(SOON);
        }
    });
    let _daemon = world.own_daemon(&config("workers => 3")).start();
    wait_drained(&world);
    println!("{sent} messages over {KILLS} kills of the daemon");
    assert_eq!(sorted(&world), [("a".to_owned(), (0..sent).collect())]);
    assert_eq!(world.waiting("dead"), 0);
}

#[test]
fn the_number_of_workers_changes_under_flow_and_nothing_is_lost_or_doubled() {
    let world = World::new();
    let daemon = world.own_daemon(&config("workers => 3")).start();
    let sent = under_flow(&world, &["a"], || {
        for workers in [1, 4, 2, 5, 3] {
            let before = world.waiting("Sink");
            world.write_config(&config(&format!("workers => {workers}")));
            world.process(&format!("Mill.{workers}"));
            wait_for_sink(&world, before + 100);
        }
    });
    let is_gone = || world.record("Mill.5").is_none_or(|record| !lives(&record.host_identity()));
    world.wait_for("an end of the fifth", || is_gone().then_some(()));
    wait_drained(&world);
    assert_eq!(sorted(&world), [("a".to_owned(), (0..sent).collect())]);
    assert_eq!(world.waiting("dead"), 0);
    drop(daemon);
}

#[test]
fn a_pool_that_becomes_a_task_of_the_daemon_and_a_pool_again_loses_nothing() {
    let world = World::new();
    let daemon = world.own_daemon(&config("workers => 3")).start();
    world.process("Mill.3");
    let sent = under_flow(&world, &["a"], || {
        for entry in ["", "workers => 2", "is_external => 1", "workers => 3", "queue => { max_messages => 90000 }"] {
            let before = world.waiting("Sink");
            world.write_config(&config(entry));
            wait_for_sink(&world, before + 200);
        }
    });
    wait_drained(&world);
    assert_eq!(sorted(&world), [("a".to_owned(), (0..sent).collect())]);
    assert_eq!(world.waiting("dead"), 0);
    drop(daemon);
}

#[test]
fn a_sticky_pool_keeps_the_order_of_each_key_whatever_happens_to_its_workers() {
    let sticky = |workers: u32| config(&format!("workers => {workers}, balance => 'sticky(from)'"));
    let world = World::new();
    let daemon = world.own_daemon(&sticky(3)).start();
    (1..=3).for_each(|worker| drop(world.process(&format!("Mill.{worker}"))));
    let keys = ["a", "b", "c", "d", "e", "f"];
    let sent = under_flow(&world, &keys, || {
        for worker in ["Mill.1", "Mill.2", "Mill.3", "Mill.1"] {
            let before = world.waiting("Sink");
            kill(&world.process(worker).host_identity());
            wait_for_sink(&world, before + 100);
        }
        for workers in [5, 2] {
            let before = world.waiting("Sink");
            world.write_config(&sticky(workers));
            wait_for_sink(&world, before + 300);
        }
    });
    wait_drained(&world);
    let passed = passed_on(&world);
    for key in keys {
        assert_eq!(in_order(&passed, key), sent, "{key}");
    }
    assert_eq!(world.waiting("dead"), 0);
    drop(daemon);
}

/// Sends numbers for each of `keys` while `work` is done; how many each.
fn under_flow(world: &World, keys: &[&str], work: impl FnOnce()) -> i64 {
    let (flows, ended) = channel::<()>();
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            // It ends with `work`, also when that panics.
            let numbers = (0_i64..).take_while(|_| ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout));
            let sent = numbers.inspect(|n| {
                keys.iter().for_each(|key| world.send(&format!("{{from => '{key}', n => {n}}}"), "Mill"));
            });
            i64::try_from(sent.count()).expect("64 bits")
        });
        work();
        drop(flows);
        sender.join().expect("the sender has sent")
    })
}

#[test]
fn when_a_worker_of_a_sticky_pool_stays_away_its_messages_go_to_others_in_their_order() {
    let world = World::new();
    let entry = "workers => 2, balance => 'sticky(from)', restart => { backoff => 60, max_backoff => 60 }";
    let _daemon = world.own_daemon(&config(entry)).start();
    let first = world.process("Mill.1");
    world.process("Mill.2");
    let (keys, gate) = (["a", "b", "c", "d", "e", "f"], world.path().join("gate"));
    for n in 0..20 {
        keys.iter().for_each(|key| {
            world.send(&format!("{{from => '{key}', n => {n}, gate => '{}'}}", gate.display()), "Mill");
        });
    }
    world.wait_for("work at the first", || world.log("Mill.1").contains("Mill: begins").then_some(()));
    kill(&first.host_identity());
    std::fs::write(&gate, "").unwrap();
    wait_for_sink(&world, 120);
    let passed = passed_on(&world);
    keys.iter().for_each(|key| assert_eq!(in_order(&passed, key), 20, "{key}"));
    assert_eq!((passed.len(), world.waiting("Mill.1"), world.waiting("dead")), (120, 0, 0));
}

#[test]
fn whatever_is_killed_and_when_no_message_of_a_pool_is_lost() {
    const KILLS: usize = 8;
    let world = World::new();
    let start = || world.own_daemon(&config("workers => 3, restart => { max => 100, backoff => 0.01 }")).start();
    let mut daemon = start();
    world.process("Mill.3");
    let sent = under_flow(&world, &["a"], || {
        for number in 0..KILLS {
            let before = world.waiting("Sink");
            let worker = world.process(&format!("Mill.{}", number % 3 + 1));
            match number % 4 {
                0 => kill(&worker.host_identity()),
                // A host without its keeper goes on; the daemon starts both anew.
                1 => [worker.keeper_identity(), worker.host_identity()].iter().for_each(kill),
                _ => {
                    kill(&worker.host_identity());
                    daemon.kill();
                    daemon.exit(SOON);
                    daemon = start();
                }
            }
            wait_for_sink(&world, before + 50);
        }
    });
    wait_drained(&world);
    let (from, mut numbers) = sorted(&world).remove(0);
    let all = numbers.len();
    numbers.dedup();
    println!("{sent} messages over {KILLS} kills, {} of them handled again", all - numbers.len());
    assert_eq!((from.as_str(), numbers), ("a", (0..sent).collect()));
    // What a worker had finished is never handled again: only what it had not, sixteen at most each time.
    assert!(all - usize::try_from(sent).unwrap() <= KILLS * 16);
    assert_eq!(world.waiting("dead"), 0);
}

/// What was passed on, in the order in which it was: when, of which key, which number.
fn passed_on(world: &World) -> Vec<(i64, String, i64)> {
    let count = usize::try_from(world.waiting("Sink")).expect("64 bits");
    let number = |message: &Map, key: &str| message.get(key).and_then(|n| n.view().as_i64()).expect("a number");
    let line = |message: &Map| {
        let from = message.get("from").and_then(|from| from.view().as_text().map(str::to_owned)).expect("a text");
        (number(message, "at_ns"), from, number(message, "n"))
    };
    let mut passed: Vec<_> = world.take("Sink", count, SOON).iter().map(line).collect();
    passed.sort();
    passed
}

/// How many numbers of `key` there are, after a look that each came first after the one before it.
fn in_order(passed: &[(i64, String, i64)], key: &str) -> i64 {
    passed.iter().filter(|(_, from, _)| from == key).fold(0, |next, (_, _, n)| {
        assert!(*n <= next, "{key}: {n} came before {next}");
        next.max(n + 1)
    })
}
