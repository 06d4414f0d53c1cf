//! Reloads while all that they change is busy, or waits for room.

use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use multimodule::config::parse_message;
use multimodule::message::Message;
use multimodule::name::QueueName;
use multimodule::transit::{AppendError, Outgoing, Transit};

use crate::world::{SOON, World};

/// How often the config changes under load.
const RELOADS: usize = 24;
/// How long a reload may take where tests share a slow machine: it waits for those who leave for 2 s, and for what a task
/// that moves has sent.
const RELOAD: Duration = Duration::from_secs(30);
/// After this long without anything in a queue nobody has anything left for it.
const QUIET: Duration = Duration::from_secs(3);
/// The same where a queue is full: a move waits 3 s for receivers that finish nothing, and 2 s for who is busy.
const HELD_UP: Duration = Duration::from_secs(15);
/// How long that may take to be handled what was sent until the end.
const WORKED_OFF: Duration = Duration::from_secs(120);

/// Asks for a reload of this config; how long it took.
fn reload(world: &World, config: &str) -> Duration {
    world.write_config(config);
    let begin = Instant::now();
    let outcome = world.ask(&["reload"]);
    let took = begin.elapsed();
    assert!(outcome.code == 0 && took < RELOAD, "{took:?}: {outcome:?}");
    took
}

/// Sends numbers as fast as a queue takes them, until nobody wants more; how many.
fn flood(world: &World, from: &str, queue: &str, ended: &Receiver<()>) -> i64 {
    let transit = Transit::open(&world.transit()).expect("the world's transit can be opened");
    let name = QueueName::new(queue).expect("a spec's queue has a name");
    let mut n = 0;
    while ended.try_recv() == Err(TryRecvError::Empty) {
        let fields = parse_message("a spec's message", &format!("{{from => '{from}', n => {n}}}")).expect("a message");
        let message = Message::new(fields);
        let body = message.encoded().expect("a spec's message is flat");
        match transit.append_once(&name, &Outgoing { stamp: message.stamp(), tag: None, body }, SOON) {
            Ok(()) => n += 1,
            // As who sends does: wait for room.
            Err(AppendError::Full { .. }) => thread::park_timeout(Duration::from_millis(1)),
            Err(refusal) => panic!("{refusal}"),
        }
    }
    n
}

/// Waits until these queues have been empty for a while: one that waited for room may put more there.
fn work_off(world: &World, queues: &[&str]) {
    let (begin, mut empty) = (Instant::now(), Instant::now());
    while empty.elapsed() < QUIET {
        let waiting: u64 = queues.iter().map(|queue| world.waiting(queue)).sum();
        assert!(begin.elapsed() < WORKED_OFF, "{waiting} wait still");
        if waiting > 0 {
            empty = Instant::now();
        }
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Who is where in this round: stateless and stateful tasks change places and settings; one comes and goes.
fn busy(round: usize, more: &str) -> String {
    // In every other round tasks that talk to each other move at once.
    let outside = |bit: usize| round >> bit & 1;
    let ledger = format!("Ledger => {{ label => '{round}', is_external => {} }},", outside(1));
    format!(
        "{{ {more} {} Relay => {{ label => '{round}', is_external => {}, queue => {{ max_messages => 2000 }} }},
            Witness => {{ label => '{}', is_external => {}, queue => {{ max_messages => 2000 }} }},
            Crowd{round} => {{}},
            Router => {{ routes => [
                {{ match => {{ source => 'Pulse' }}, forwards => [ {{ qname => 'Relay' }} ] }},
                {{ match => {{ source => 'Relay' }}, forwards => [ {{ qname => 'Witness' }} ] }},
                {{ match => {{ source => 'Ledger' }}, forwards => [ {{ qname => 'Witness' }} ] }},
            ] }} }}",
        if round % 4 == 3 { "" } else { &ledger },
        outside(0),
        round / 2,
        1 - outside(2),
    )
}

#[test]
fn reloads_under_full_load_lose_and_double_nothing() {
    let world = World::new();
    let pulse = |round: usize| format!("Pulse => {{ rate => 500, is_external => {} }},", round >> 2 & 1);
    let daemon = world.own_daemon(&busy(0, &pulse(0))).start();
    daemon.wait_for("Witness: started", SOON);
    let mut took = Vec::new();
    let begin = Instant::now();
    let [a, b] = thread::scope(|scope| {
        let world = &world;
        let flows = [("a", "Relay"), ("b", "Ledger")].map(|(from, queue)| {
            let (flows, ended) = mpsc::channel();
            (flows, scope.spawn(move || flood(world, from, queue, &ended)))
        });
        took.extend((1..=RELOADS).map(|round| reload(world, &busy(round, &pulse(round)))));
        flows.map(|(flows, thread)| {
            drop(flows);
            thread.join().expect("it sends")
        })
    });
    let lasted = begin.elapsed();
    // The one that sends by itself is quiet from now on; the rest is worked off.
    reload(&world, &busy(0, "Pulse => { rate => 0 },"));
    work_off(&world, &["Relay", "Ledger", "Witness"]);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    took.sort_unstable();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    let pulses: i64 = world.saved_state("Pulse").parse().expect("a number");
    println!(
        "{RELOADS} reloads in {lasted:.1?}, median {median:.1?}, longest {longest:.1?}; {a} + {b} + {pulses} messages"
    );
    let (ledger, witness) = (world.seen("Ledger"), world.seen("Witness"));
    let overtaken = daemon.lines().iter().any(|line| line.text.contains("may overtake it"));
    let heard = [("a", &witness["a"], a), ("pulse", &witness["pulse"], pulses), ("Ledger-b", &witness["Ledger-b"], b)];
    for (from, numbers, sent) in heard.into_iter().chain([("b", &ledger["b"], b)]) {
        println!("{from}: {sent} sent, {} heard, {} out of turn", numbers.count, numbers.wrong);
    }
    for (from, numbers, sent) in heard.into_iter().chain([("b", &ledger["b"], b)]) {
        assert!(numbers.are_all_below(sent), "{from}: each number once");
        // A move that does not wait for receivers that are far behind says so.
        assert!(numbers.wrong == 0 || overtaken, "{from}: in order");
    }
    assert_eq!(world.waiting("dead"), 0);
}

#[test]
fn a_full_queue_and_who_waits_for_room_in_it_hold_up_no_reload() {
    let world = World::new();
    let mill = |most: u32| {
        format!(
            "Mill => {{ is_external => 1, queue => {{ max_messages => {most}, block_timeout => 3600, overflow => 'block' }} }},"
        )
    };
    let sender =
        |name: &str, rate: u32, external: u8| format!("{name} => {{ rate => {rate}, is_external => {external} }},");
    let config = |entries: &[&str]| {
        format!(
            "{{ {} Router => {{ routes => [
                {{ match => {{ source => 'Filler' }}, forwards => [ {{ qname => 'Mill' }} ] }},
                {{ match => {{ source => 'Pulse' }}, forwards => [ {{ qname => 'Mill' }} ] }},
                {{ match => {{ source => 'Mill' }}, forwards => [ {{ qname => 'Sink', outside => 1 }} ] }},
            ] }} }}",
            entries.join(" ")
        )
    };
    let gate = world.path().join("gate");
    world.send(&format!("{{n => 1, gate => '{}'}}", gate.display()), "Mill");
    let (outside, inside) = (sender("Filler", 200, 1), sender("Pulse", 200, 0));
    let first = config(&[&mill(50), &outside, &inside, "Echo => { label => '0' },"]);
    let daemon = world.own_daemon(&first).start();
    daemon.wait_for("Mill: begins 1", SOON);
    let waits = |task: &str| {
        let status = world.ask(&["status", "Mill", "--json"]).stdout;
        status.contains(task).then_some(())
    };
    world.wait_for("a full queue", || (world.waiting("Mill") >= 50).then_some(()));
    world.wait_for("a sender that waits", || waits("Pulse"));
    let steps = [
        ("another task changes", config(&[&mill(50), &outside, &inside, "Echo => { label => '1' },"])),
        ("another task comes", config(&[&mill(50), &outside, &inside, "Echo => { label => '1' }, Second => {},"])),
        ("another task moves", config(&[&mill(50), &outside, &inside, "Echo => { label => '1', is_external => 1 },"])),
        (
            "who waits changes",
            config(&[&mill(50), &sender("Filler", 100, 1), &sender("Pulse", 100, 0), "Echo => { label => '2' },"]),
        ),
        (
            "who waits moves",
            config(&[&mill(50), &sender("Filler", 100, 0), &sender("Pulse", 100, 1), "Echo => { label => '3' },"]),
        ),
        ("the queue gets another bound", config(&[&mill(60), &sender("Pulse", 100, 1), "Echo => { label => '4' },"])),
        ("its task goes", config(&[&sender("Pulse", 100, 1), "Echo => { label => '5' },"])),
        ("its task comes back", config(&[&mill(50), &sender("Pulse", 100, 1), "Echo => { label => '6' },"])),
    ];
    for (step, config) in &steps {
        let took = reload(&world, config);
        println!("{step}: {took:.1?}");
        assert!(took < HELD_UP, "{step} took {took:?}");
    }
    // Who waited goes on when there is room, and nothing of theirs is lost.
    std::fs::write(&gate, "").expect("the world is writable");
    reload(&world, &config(&[&mill(50), &outside, "Echo => { label => '7' },"]));
    world.wait_for("a sender that goes on", || (world.waiting("Sink") > 200).then_some(()));
    // What one that was ended has not put on the queue stands in its record, and goes out when it runs again.
    reload(&world, &config(&[&mill(50), &sender("Filler", 0, 1), &sender("Pulse", 0, 0)]));
    work_off(&world, &["Mill"]);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    let sent = ["Filler", "Pulse"].map(|task| world.saved_state(task).parse::<u64>().expect("a number"));
    let (sink, dead) = (world.waiting("Sink"), world.waiting("dead"));
    println!("{sent:?} sent; {sink} passed on, {dead} in dead");
    assert_eq!(sink + dead, 1 + sent.iter().sum::<u64>(), "nothing is lost or doubled");
}
