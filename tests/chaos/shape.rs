//! The config of the torture: what a flip and a reload change, and its text.

use std::fmt::Write;

use crate::tasks::{COUNT, RING, STATELESS};

/// How often output may go out that a kill has interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    AtLeastOnce,
    ExactlyOnce,
}

impl Delivery {
    /// Its name in a config.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at_least_once",
            Self::ExactlyOnce => "exactly_once",
        }
    }
}

/// Who is flipped: the ring's tasks, and a stateless one.
pub(crate) const FLIPPED: [&str; 4] = [RING[0], RING[1], RING[2], STATELESS[0]];
/// The bound of each queue. More than what can be on the way at once, so that a circle of full queues cannot be.
pub(crate) const QUEUE_BYTES: u64 = 16 << 20;
/// Nobody is ever parked: no kill of ours is asked for.
const RESTART: &str = "(max: 1000, within: \"1s\", backoff: \"1ms\", max_backoff: \"20ms\")";

/// What a storm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) name: &'static str,
    pub(crate) delivery: Delivery,
    /// Whether anything is killed, beside what moves and changes.
    pub(crate) kills: bool,
    /// Whether a stateless task moves too.
    ///
    /// Not with exactly_once where it may be killed: what an external stateless task was emitting then, it emits again.
    pub(crate) stateless_moves: bool,
}

/// All of them.
pub(crate) const TRIALS: [Trial; 4] = {
    let (kills, stateless_moves) = (true, false);
    [
        Trial { name: "exactly_once", delivery: Delivery::ExactlyOnce, kills, stateless_moves },
        Trial { name: "at_least_once", delivery: Delivery::AtLeastOnce, kills, stateless_moves },
        Trial { name: "all_move", delivery: Delivery::AtLeastOnce, kills, stateless_moves: true },
        Trial {
            name: "all_move_and_nobody_kills",
            delivery: Delivery::ExactlyOnce,
            kills: false,
            stateless_moves: true,
        },
    ]
};

/// A config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) delivery: Delivery,
    /// Whether each of [`FLIPPED`] is external.
    pub(crate) external: [bool; FLIPPED.len()],
    /// Counts the reloads: a setting that changes with each.
    pub(crate) label: u64,
    /// How many numbers Count sends at once; 0 stops it.
    pub(crate) burst: u32,
}

impl Shape {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self { delivery, external: [true, true, true, false], label: 0, burst: 400 }
    }

    /// The text, in RON.
    pub(crate) fn text(&self) -> String {
        let queue = format!("(max_bytes: {QUEUE_BYTES}, max_messages: 60000)");
        let frame = format!("restart: {RESTART}, queue: {queue}");
        let mut text = String::from("(\n");
        let burst = self.burst;
        let often =
            format!("intervals: {{\"save_state\": {}}}", if self.label.is_multiple_of(2) { "0.01" } else { "0.02" });
        writeln!(
            text,
            "    {COUNT}: (burst: {burst}, window: 12288, delivery: \"exactly_once\", intervals: {{\"save_state\": 0.01}}, {frame}),"
        )
        .unwrap();
        for (name, external) in FLIPPED.iter().zip(self.external).take(RING.len()) {
            let (delivery, label) = (self.delivery.name(), self.label);
            writeln!(
                text,
                "    {name}: (is_external: {external}, delivery: \"{delivery}\", {often}, label: {label}, {frame}),"
            )
            .unwrap();
        }
        writeln!(text, "    {}: (is_external: {}, {frame}),", STATELESS[0], self.external[3]).unwrap();
        writeln!(text, "    {}: (queue: {queue}),", STATELESS[1]).unwrap();
        writeln!(text, "    Router: (routes: [{}]),\n)", routes()).unwrap();
        text
    }
}

fn routes() -> String {
    let mut routes = Vec::new();
    let mut add = |criteria: &str, to: &str| {
        let outside = if to == "exit" { ", outside: true" } else { "" };
        routes.push(format!("(match: ({criteria}), forwards: [(qname: \"{to}\"{outside})])"));
    };
    for (from, to) in [(COUNT, RING[0]), ("Pass", "RingB"), ("RingB", "Slow"), ("Slow", "RingC"), ("RingC", "RingA")] {
        add(&format!("source: \"{from}\""), to);
    }
    add("source: \"RingA\", lap: 0", "Pass");
    add("source: \"RingA\", lap: 1", "exit");
    add("source: \"RingA\", lap: 1, back: 1", COUNT);
    routes.join(", ")
}
