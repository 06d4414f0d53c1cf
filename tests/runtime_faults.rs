//! A node whose surroundings misbehave: queues that are full or cannot be read, tasks that take long, reloads
//! meanwhile. Whatever waits goes on when its cause has gone, and nothing is lost or sent elsewhere.
#![expect(clippy::unwrap_used, reason = "a panic is a test's verdict")]

#[path = "runtime_faults/world.rs"]
mod world;

use std::path::Path;
use std::time::Duration;

use multimodule::message::Message;
use multimodule::sdk::View;
use multimodule::transit::{Consumer, Settings, Transit};

use world::{World, queue, send, side};

#[tokio::test]
async fn a_task_that_is_held_up_holds_up_no_reload_and_no_end() {
    let mut world = World::new(&[("HeldUp", false)]).await;
    let side = side("HeldUp");
    world.apply("(HeldUp: (waits: true))").await;
    world.send("HeldUp", 1);
    side.hear().await;
    for word in 0..10 {
        world.apply(&format!("(HeldUp: (waits: true, word: \"{word}\"))")).await;
    }
    let stop = world.stop();
    side.gate.add_permits(1);
    stop.await;
}

#[tokio::test]
async fn of_many_changes_that_met_a_busy_task_the_last_one_holds() {
    let mut world = World::new(&[("Busy", false)]).await;
    let side = side("Busy");
    world.apply("(Busy: (waits: true))").await;
    world.send("Busy", 1);
    side.hear().await;
    for word in 0..10 {
        world.apply(&format!("(Busy: (word: \"{word}\"))")).await;
    }
    side.gate.add_permits(1);
    // The change comes before the message that is sent after it.
    world.send("Busy", 2);
    assert_eq!(side.hear().await, ("9".to_owned(), 2));
    world.stop().await;
}

#[tokio::test]
async fn a_task_that_was_slow_to_leave_leaves_its_queue_to_its_successor() {
    let mut world = World::new(&[("Slow", false)]).await;
    let side = side("Slow");
    world.apply("(Slow: (waits: true, word: \"first\"))").await;
    world.send("Slow", 1);
    side.hear_word("first").await;
    // Another queue setting means another actor, and the old one is busy for longer than a reload waits.
    world.apply("(Slow: (word: \"second\", queue: (max_messages: 5000)))").await;
    side.gate.add_permits(1);
    world.send("Slow", 2);
    assert_eq!(side.hear_word("second").await, 2);
    world.stop().await;
}

#[tokio::test]
async fn a_task_that_waited_for_its_queue_starts_with_the_newest_config() {
    let mut world = World::new(&[("Late", true)]).await;
    let side = side("Late");
    let elsewhere = world.consume("Late");
    world.apply("(Late: (word: \"old\"))").await;
    everyone_s_turn().await;
    world.apply("(Late: (word: \"new\"))").await;
    everyone_s_turn().await;
    drop(elsewhere);
    world.send("Late", 1);
    assert_eq!(side.hear_word("new").await, 1);
    world.stop().await;
}

/// On one thread: whoever can do something has done so.
async fn everyone_s_turn() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Puts a link where a lane's first segment is: it is refused, and the segment is whole.
fn hide_segment(place: &Path, name: &str) -> impl FnOnce() + use<> {
    let segment = place.join("transit").join(name).join("lane.1/0000000000000000.seg");
    let hidden = segment.with_extension("hidden");
    std::fs::rename(&segment, &hidden).unwrap();
    std::os::unix::fs::symlink(&hidden, &segment).unwrap();
    move || std::fs::rename(&hidden, &segment).unwrap()
}

async fn until_consumed(transit: &Transit, name: &str) {
    while transit.status(&queue(name)).unwrap().is_none_or(|status| status.consumer.is_none()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_queue_that_could_not_be_read_for_a_while_is_read_on() {
    for (name, stateful) in [("Unread", false), ("UnreadState", true)] {
        let mut world = World::new(if stateful { &[("UnreadState", true)] } else { &[("Unread", false)] }).await;
        world.send(name, 1);
        let show_segment = hide_segment(world.place.path(), name);
        world.apply(&format!("({name}: (word: \"read\"))")).await;
        until_consumed(&world.transit, name).await;
        show_segment();
        assert_eq!(side(name).hear_word("read").await, 1);
        world.stop().await;
    }
}

fn thread_time() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

#[tokio::test]
async fn a_stateful_task_whose_queue_cannot_be_read_does_not_spin() {
    let mut world = World::new(&[("Spins", true)]).await;
    world.send("Spins", 1);
    let show_segment = hide_segment(world.place.path(), "Spins");
    world.apply("(Spins: (word: \"read\"))").await;
    until_consumed(&world.transit, "Spins").await;
    // What is measured is a span of time; the node runs on this thread.
    let before = thread_time();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let used = thread_time() - before;
    assert!(used < Duration::from_millis(100), "{used:?} of 300 ms went into looking at a queue that cannot be read");
    show_segment();
    side("Spins").hear_word("read").await;
    world.stop().await;
}

#[tokio::test]
async fn what_reaches_a_task_while_it_leaves_goes_to_its_successor() {
    let mut world = World::new(&[("Sends", false), ("Leaves", false)]).await;
    let (sends, leaves) = (side("Sends"), side("Leaves"));
    world.transit.set_settings(&queue("full"), &Settings { max_messages: 1, ..Settings::default() }).unwrap();
    world.send("full", 0);
    let config = |queue: &str, end: &str| {
        format!(
            "(Sends: (word: \"go\", emits: 1), Leaves: (word: \"got\", {end} queue: (max_messages: {queue})), \
             Router: (routes: [(match: (n: 70000), forwards: [(qname: \"full\"), (qname: \"Leaves\")])]))"
        )
    };
    world.apply(&config("1000", "waits_at_stop: true,")).await;
    world.send("Sends", 7);
    assert_eq!(sends.hear_word("go").await, 7);
    let mut full = world.consume("full");
    let (transit, changed) = (world.transit.clone(), config("2000", ""));
    tokio::join!(world.apply(&changed), async {
        leaves.hear_word("stop").await;
        let mut batch = Vec::new();
        while full.take(&mut batch).unwrap() > 0 {}
        batch.iter().for_each(|taken| full.finish(taken.lane, taken.end, taken.count));
        // It handles the next message when all copies of the one before have been sent.
        send(&transit, "Sends", 8);
        assert_eq!(sends.hear_word("go").await, 8);
        leaves.gate.add_permits(1);
    });
    assert_eq!(leaves.hear_word("got").await, 70_000);
    world.stop().await;
}

#[tokio::test]
async fn what_is_emitted_behind_a_backlog_goes_where_the_new_routes_say() {
    let mut world = World::new(&[("Emits", true), ("OldTarget", false), ("NewTarget", false)]).await;
    let (old, new) = (side("OldTarget"), side("NewTarget"));
    let config = |emits: &str, to: &str| {
        format!(
            "(Emits: ({emits}), OldTarget: (waits: true, word: \"old\"), NewTarget: (word: \"new\"), \
             Router: (routes: [(match: (source: \"Emits\"), forwards: [(qname: \"{to}\")])]))"
        )
    };
    world.apply(&config("emits: 4000", "OldTarget")).await;
    world.send("Emits", 1);
    old.hear_word("old").await;
    world.apply(&config("start_emits: true", "NewTarget")).await;
    assert_eq!(new.hear_word("new").await, 1);
    old.gate.add_permits(4000);
    world.stop().await;
}

#[tokio::test]
async fn a_task_that_cannot_be_made_holds_up_nobody_who_sends_to_it() {
    let mut world = World::new(&[("Sender", false)]).await;
    let routes = "Router: (routes: [(match: (source: \"Sender\"), forwards: [(qname: \"Unmade\")])])";
    world.apply(&format!("(Sender: (word: \"sent\", emits: 3000), Unmade: (), {routes})")).await;
    world.send("Sender", 1);
    world.send("Sender", 2);
    assert_eq!(side("Sender").hear_word("sent").await, 1);
    assert_eq!(side("Sender").hear_word("sent").await, 2);
}

fn numbers(consumer: &mut Consumer) -> Vec<i64> {
    let mut batch = Vec::new();
    while consumer.take(&mut batch).unwrap() > 0 {}
    let messages = batch.into_iter().map(|taken| Message::from_encoded(taken.stamp, taken.body).unwrap());
    messages.map(|message| message.get("n").and_then(View::as_i64).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_panics_in_between_each_message_goes_to_dead_once_or_out_once_and_in_order() {
    let mut world = World::new(&[("Panics", true)]).await;
    let routes = "Router: (routes: [(match: (source: \"Panics\"), forwards: [(qname: \"out\")])])";
    let entry = "word: \"ok\", panics: 5, emits: 1, delivery: \"exactly_once\", intervals: (save_state: 0.001)";
    world.apply(&format!("(Panics: ({entry}), {routes})")).await;
    for n in 1..=499 {
        world.send("Panics", n);
    }
    while side("Panics").hear().await.1 != 499 {}
    let (mut dead, mut out) = (world.consume("dead"), world.consume("out"));
    let _place = world.stop().await;
    let mut dead = numbers(&mut dead);
    dead.sort_unstable();
    assert!(dead.iter().copied().eq((5..500).step_by(5)), "{dead:?}");
    let out = numbers(&mut out);
    assert!(out.iter().copied().eq((1..500).filter(|n| n % 5 != 0).map(|n| n * 10_000)), "{out:?}");
}

#[tokio::test]
async fn a_sender_that_could_not_ring_leaves_nobody_asleep() {
    let mut world = World::new(&[("Deaf", false), ("DeafState", true)]).await;
    world.apply("(Deaf: (word: \"heard\"), DeafState: (word: \"heard\"))").await;
    for name in ["Deaf", "DeafState"] {
        until_consumed(&world.transit, name).await;
    }
    everyone_s_turn().await;
    std::fs::remove_dir_all(world.place.path().join("transit/.bells")).unwrap();
    for name in ["Deaf", "DeafState"] {
        for n in 1..=2 {
            world.send(name, n);
            assert_eq!(side(name).hear_word("heard").await, n);
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn nobody_waits_for_a_parked_queue_and_what_does_not_fit_is_in_dead() {
    let mut world = World::new(&[("Parks", false), ("ParksState", true)]).await;
    for target in ["parked", "parked_state"] {
        let settings = Settings { max_messages: 1, ..Settings::default() };
        world.transit.set_settings(&queue(target), &settings).unwrap();
    }
    let route = |from: &str, to: &str| format!("(match: (source: \"{from}\"), forwards: [(qname: \"{to}\")])");
    let routes = [route("Parks", "parked"), route("ParksState", "parked_state")].join(", ");
    let entry = "word: \"sent\", emits: 3";
    let save = "delivery: \"exactly_once\", intervals: (save_state: 0.001)";
    world.apply(&format!("(Parks: ({entry}), ParksState: ({entry}, {save}), Router: (routes: [{routes}]))")).await;
    // Both wait for room by now: the queue is parked under way.
    world.send("Parks", 1);
    world.send("ParksState", 2);
    side("Parks").hear_word("sent").await;
    side("ParksState").hear_word("sent").await;
    let mut dead = world.consume("dead");
    for target in ["parked", "parked_state"] {
        while world.transit.status(&queue(target)).unwrap().is_none_or(|status| status.messages == 0) {
            tokio::task::yield_now().await;
        }
        world.transit.set_parked(&queue(target), true).unwrap();
    }
    let mut letters = Vec::new();
    while letters.len() < 4 {
        letters.extend(numbers(&mut dead));
        tokio::task::yield_now().await;
    }
    letters.sort_unstable();
    assert_eq!(letters, [10_001, 10_002, 20_001, 20_002]);
    assert_eq!(numbers(&mut world.consume("parked")), [10_000]);
    assert_eq!(numbers(&mut world.consume("parked_state")), [20_000]);
    world.stop().await;
}

#[tokio::test]
async fn who_waits_for_room_is_known_with_where_until_there_is_room() {
    let mut world = World::new(&[("Waits", false), ("WaitsState", true), ("Busy", false)]).await;
    for target in ["full", "full_state"] {
        world.transit.set_settings(&queue(target), &Settings { max_messages: 1, ..Settings::default() }).unwrap();
    }
    let route = |from: &str, to: &[&str]| {
        let to: Vec<_> = to.iter().map(|to| format!("(qname: \"{to}\")")).collect();
        format!("(match: (source: \"{from}\"), forwards: [{}])", to.join(", "))
    };
    let routes = [route("Waits", &["full"]), route("WaitsState", &["full_state", "Busy"])].join(", ");
    let busy = "Busy: (waits: true, word: \"busy\")";
    let save = "intervals: (save_state: 0.001)";
    world
        .apply(&format!("(Waits: (emits: 2), WaitsState: (emits: 4000, {save}), {busy}, Router: (routes: [{routes}]))"))
        .await;
    world.send("Waits", 1);
    world.send("WaitsState", 1);
    let expected = [("Waits", "full"), ("WaitsState", "Busy"), ("WaitsState", "full_state")];
    let expected = expected.map(|(task, queue)| (task.to_owned(), queue.to_owned()));
    let began = std::time::Instant::now();
    loop {
        let mut waits = world.waits();
        waits.sort();
        if waits == expected {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{waits:?}");
        tokio::task::yield_now().await;
    }
    side("Busy").gate.add_permits(4000);
    for target in ["full", "full_state"] {
        world.transit.set_settings(&queue(target), &Settings::default()).unwrap();
    }
    while !world.waits().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", world.waits());
        tokio::task::yield_now().await;
    }
    world.stop().await;
}

#[tokio::test]
async fn dead_drops_its_oldest() {
    let world = World::new(&[]).await;
    let settings = world.transit.settings(&queue("dead")).unwrap().unwrap();
    assert_eq!(settings.overflow, multimodule::transit::Overflow::DropOldest);
    world.stop().await;
}
