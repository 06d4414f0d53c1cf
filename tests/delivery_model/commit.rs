//! The commit: the one record of a stateful task that a crash leaves whole.

use std::collections::BTreeMap;

use crate::lane::{LaneId, Message, Queue, Writer};

/// Under what a position is recorded: the lane's id, or, when that rule is left out, who wrote the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LaneKey {
    Id(LaneId),
    Writer(Writer),
}

/// One message that goes out, in the order in which it was emitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The queue that it was emitted to.
    pub(crate) queue: Queue,
    /// The queue that it is appended to, as the newest written record says: the same, or `dead`.
    pub(crate) target: Queue,
    /// The same as the record says that is being written.
    pub(crate) coming_target: Queue,
    pub(crate) message: Message,
    /// Its place in the outbox of the newest written record, counted from 1; 0 before one holds it.
    pub(crate) index: u32,
    /// Its place in the outbox of the record that is being written.
    pub(crate) coming: u32,
}

/// How often each number was handed to the task, by number: its state, of which every promise can be read.
pub(crate) type Counts = Vec<u32>;

/// One record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commit {
    pub(crate) epoch: u64,
    pub(crate) n: u32,
    pub(crate) state: Counts,
    pub(crate) positions: BTreeMap<LaneKey, usize>,
    pub(crate) outbox: Vec<Entry>,
    pub(crate) pending: Vec<u32>,
    /// For the judge, not for the protocol: the true positions, which no rule can confuse.
    pub(crate) true_positions: BTreeMap<LaneId, usize>,
}

impl Commit {
    pub(crate) fn first(epoch: u64, numbers: u32) -> Self {
        Self { epoch, state: vec![0; numbers as usize], ..Self::default() }
    }
}
