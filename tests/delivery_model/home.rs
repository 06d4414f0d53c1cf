//! The home of a task without state that a transit queue feeds: S, and its slow neighbours U and V in the process.
//!
//! ```text
//! queue S ─► S ─┬─► U (even numbers) ─┬─► tail
//!               └─► V (odd numbers)  ─┘
//! ```
//!
//! There is no record. What S passed on is listed with its place in the queue until the neighbour has handled it, and
//! `finished` moves up to the lowest such place: a crash takes those inputs again, so they may come out twice.

use std::collections::{BTreeMap, VecDeque};

use crate::lane::{Lane, LaneId, Message, Queue, Writer};
use crate::rules::Rule;
use crate::world::{MAILBOX, World};

/// An input of S that a neighbour has not handled yet.
#[derive(Debug, Clone, Copy)]
struct Listed {
    lane: LaneId,
    position: usize,
    number: u32,
}

/// The memory of the process.
#[derive(Debug)]
pub(crate) struct Home {
    /// How far each lane was read.
    taken: BTreeMap<LaneId, usize>,
    /// The mailboxes of U and V.
    mailboxes: [VecDeque<Listed>; 2],
    /// A broken rule: how far each lane was handled at its farthest.
    handled: BTreeMap<LaneId, usize>,
}

impl Home {
    /// Starts the process; the queue's finished positions are all that it goes on from.
    pub(crate) fn start() -> Self {
        Self { taken: BTreeMap::new(), mailboxes: Default::default(), handled: BTreeMap::new() }
    }

    pub(crate) fn step(&mut self, world: &mut World) {
        match world.random.below(5) {
            0 | 1 => self.take(world),
            2 => self.run(world, 0),
            3 => self.run(world, 1),
            _ => self.publish(world),
        }
    }

    /// All inputs are finished.
    pub(crate) fn is_quiet(&self, world: &World) -> bool {
        world.transit.of(Queue::S).all(|lane| lane.finished == lane.records.len())
            && self.mailboxes.iter().all(VecDeque::is_empty)
    }

    fn take(&mut self, world: &mut World) {
        let unread = |lane: &&Lane| self.position(lane) < lane.records.len();
        let Some(lane) = world.transit.of(Queue::S).find(unread) else { return };
        let position = self.position(lane);
        let number = lane.records[position].message.number().expect("B sends numbers only");
        let mailbox = &mut self.mailboxes[usize::from(number % 2 == 1)];
        if mailbox.len() < MAILBOX {
            mailbox.push_back(Listed { lane: lane.id, position, number });
            self.taken.insert(lane.id, position + 1);
        }
    }

    /// A neighbour handles one message and passes it on.
    fn run(&mut self, world: &mut World, neighbour: usize) {
        if let Some(listed) = self.mailboxes[neighbour].pop_front() {
            let lane = world.transit.open(Writer::Home, Queue::Tail);
            world.transit.append(lane, None, Message::Number(listed.number));
            let handled = self.handled.entry(listed.lane).or_default();
            *handled = (listed.position + 1).max(*handled);
        }
    }

    fn publish(&mut self, world: &mut World) {
        for (lane, taken) in &self.taken {
            let listed = self.mailboxes.iter().flatten().filter(|listed| listed.lane == *lane);
            let lowest = listed.map(|listed| listed.position).min().unwrap_or(*taken);
            let highest = self.handled.get(lane).copied().unwrap_or_default();
            world.transit.finish(*lane, if world.has(Rule::LowWatermark) { lowest } else { highest });
        }
    }

    fn position(&self, lane: &Lane) -> usize {
        self.taken.get(&lane.id).copied().unwrap_or(lane.finished)
    }
}
