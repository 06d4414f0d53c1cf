//! Two nodes on one transit, as two processes have them: tasks move between them while messages flow. Whoever sends
//! is heard in order, and nothing is lost or heard twice.
#![expect(clippy::unwrap_used, reason = "a panic is a test's verdict")]

#[path = "runtime_places/world.rs"]
mod world;

use std::time::Duration;

use multimodule::runtime::Role::{Copy, Home};
use world::{Place, Random, World, each_once_and_in_order};

/// T's places in one config: what each of the two nodes is to it.
const PLACES: [[Option<multimodule::runtime::Role>; 2]; 5] =
    [[Some(Home), None], [None, Some(Home)], [Some(Home), Some(Copy)], [Some(Copy), Some(Home)], [None, None]];

const ROUTES: &str = "(match: (to: \"T\"), forwards: [(qname: \"T\")])";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateless_task_that_changes_its_place_hears_each_sender_in_order_and_once() {
    let mut random = Random::new();
    let mut world = World::new("flips").await;
    let senders = ["SourceA", "SourceB", "StateA", "StateB"];
    let mut at = PLACES[0];
    for flip in 0..120 {
        let config = |node: usize, at: [Option<_>; 2]| {
            let mine = [["SourceA", "StateA"], ["SourceB", "StateB"]][node];
            let mut places: Vec<Place> = mine.iter().map(|name| (*name, Home)).collect();
            places.extend(at[node].map(|role| ("T", role)));
            places
        };
        let [first, second] = if random.below(2) == 0 { [0, 1] } else { [1, 0] };
        for node in [first, second] {
            world.apply(node, &config(node, at), ROUTES).await;
        }
        at = PLACES[usize::try_from(random.below(PLACES.len() as u64)).unwrap()];
        // What is tried is what a place that lasts so long meets.
        tokio::time::sleep(Duration::from_micros(random.below(if flip % 10 == 0 { 60_000 } else { 8_000 }))).await;
    }
    world.quiet();
    world.apply(1, &[("StateB", Home)], ROUTES).await;
    world.apply(0, &[("StateA", Home), ("T", Home)], ROUTES).await;
    for sender in senders {
        world.until_heard(sender).await;
        let heard = world.heard(sender);
        println!("{sender}: {} messages", heard.len());
        assert!(heard.len() > 100, "{sender} was heard {} times only, seed {}", heard.len(), random.seed);
        each_once_and_in_order(sender, &heard, random.seed);
    }
    world.stop().await;
}

async fn hand_back_and_forth(name: &'static str, delivery: &'static str) {
    let mut world = World::new(name).await;
    world.delivery(delivery);
    let routes = "(match: (source: \"SourceA\"), forwards: [(qname: \"Moves\")]), \
                  (match: (source: \"Moves\"), forwards: [(qname: \"T\"), (qname: \"Last\")]), \
                  (match: (source: \"T\"), forwards: [(qname: \"Last\")])";
    let rest: [&[Place]; 2] = [&[("SourceA", Home), ("T", Copy)], &[("Last", Home), ("T", Home)]];
    world.apply(0, rest[0], routes).await;
    world.apply(1, rest[1], routes).await;
    for turn in 0..200 {
        let (from, to) = (turn % 2, 1 - turn % 2);
        world.apply(from, rest[from], routes).await;
        let with: Vec<Place> = rest[to].iter().copied().chain([("Moves", Home)]).collect();
        world.apply(to, &with, routes).await;
        world.something().await;
    }
    world.quiet();
    world.until_heard("SourceA by Moves").await;
    world.until_heard("SourceA by T").await;
    for sender in ["SourceA by Moves", "SourceA by T"] {
        each_once_and_in_order(sender, &world.heard(sender), 0);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_task_is_handed_back_and_forth_and_loses_nothing_with_exactly_once() {
    hand_back_and_forth("exactly", "exactly_once").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_task_is_handed_back_and_forth_and_loses_nothing_with_at_least_once() {
    hand_back_and_forth("atleast", "at_least_once").await;
}

#[tokio::test]
async fn a_copy_handles_messages_and_is_neither_started_nor_ticked_nor_served() {
    let mut world = World::new("copy").await;
    let routes = "(match: (source: \"SourceA\"), forwards: [(qname: \"Shy\")])";
    world.apply(0, &[("Shy", Copy), ("SourceA", Home)], routes).await;
    while world.heard("SourceA by Shy").len() < 20 {
        world.something().await;
    }
    assert_eq!(world.heard("starts of Shy"), [0_i64; 0]);
    assert_eq!(world.heard("ticks of Shy"), [0_i64; 0]);
    assert!(world.consumer_of("Shy").is_none(), "nobody consumes the queue of a copy");
    world.stop().await;
    assert_eq!(world::recorded("copy", "stops of Shy"), [0_i64; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_task_has_caused_before_it_moves_is_not_caused_again() {
    let mut world = World::new("caused").await;
    let routes = "(match: (source: \"T\"), forwards: [(qname: \"Slow\")])";
    world.apply(0, &[("T", Home), ("Slow", Home)], routes).await;
    world.append("T", "outside", 200);
    while world.heard("outside by T").len() < 10 {
        world.something().await;
    }
    // What T has sent on waits before Slow.
    world.apply(0, &[("Slow", Home)], routes).await;
    world.apply(1, &[("T", Home)], routes).await;
    world.until_finished("T").await;
    world.until_finished("Slow").await;
    let heard = world.heard("outside by T");
    assert_eq!(heard.len(), 200, "{heard:?}");
    each_once_and_in_order("outside by T", &heard, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_task_with_a_full_queue_can_move() {
    let mut world = World::new("full").await;
    world.queue("queue: (max_messages: 10)");
    let routes = "(match: (source: \"SourceA\"), forwards: [(qname: \"Slow\")])";
    world.apply(0, &[("SourceA", Home), ("Slow", Home)], routes).await;
    while world.heard("SourceA").len() < 50 {
        world.something().await;
    }
    world.apply(0, &[("SourceA", Home)], routes).await;
    world.apply(1, &[("Slow", Home)], routes).await;
    world.quiet();
    world.until_heard("SourceA").await;
    each_once_and_in_order("SourceA", &world.heard("SourceA"), 0);
    world.stop().await;
}

/// T's home is node A, where others also have its copy; who uses memory there and then the queue, and memory again,
/// is heard behind T in order. What a move of the home adds is in `daemon::places`, and in the torture.
async fn heard_in_order_behind_a_task_that_returns_to_memory(name: &'static str, delivery: &'static str) {
    let mut world = World::new(name).await;
    world.delivery(delivery);
    let routes = "(match: (source: \"StateB\"), forwards: [(qname: \"Moves\")]), \
                  (match: (source: \"Moves\"), forwards: [(qname: \"T\")]), \
                  (match: (source: \"T\"), forwards: [(qname: \"Counts\")])";
    let away: [&[Place]; 2] = [&[("Counts", Home)], &[("StateB", Home), ("Moves", Home)]];
    let home: &[Place] = &[("Counts", Home), ("T", Home)];
    let copy: &[Place] = &[("StateB", Home), ("Moves", Home), ("T", Copy)];
    world.apply(1, away[1], routes).await;
    for _ in 0..25 {
        world.apply(0, home, routes).await;
        while world.unfinished("Counts", "process:nodeA") < 20 {
            world.something().await;
        }
        world.apply(1, copy, routes).await;
        while world.unfinished("Counts", "task:Moves") < 20 {
            world.something().await;
        }
        world.apply(0, away[0], routes).await;
        world.apply(1, away[1], routes).await;
        world.until_finished("Counts").await;
    }
    world.apply(0, home, routes).await;
    world.quiet();
    world.until_heard("StateB by T").await;
    each_once_and_in_order("StateB by T", &world.heard("StateB by T"), 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_returns_to_memory_is_heard_in_order_behind_the_task_at_least_once() {
    heard_in_order_behind_a_task_that_returns_to_memory("behind", "at_least_once").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_returns_to_memory_is_heard_in_order_behind_the_task_exactly_once() {
    heard_in_order_behind_a_task_that_returns_to_memory("behind exactly", "exactly_once").await;
}
