//! What a record holds: plain data.

use bytes::Bytes;

use crate::message::Stamp;
use crate::name::{QueueName, TaskName};

/// All of a stateful task at one moment, between two activations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Which history this is: random, made with the first record, and anew when a newer record was lost.
    /// With `n` it names what the task emitted.
    pub epoch: u64,
    /// Counts the task's records from 1 on; a new epoch goes on counting.
    pub n: u64,
    /// The task's state: RON text.
    pub state: String,
    /// How far each lane of the task's queue was read.
    pub positions: Vec<Position>,
    /// How much the task had emitted to each queue.
    pub outputs: Vec<OutputMark>,
    /// With `delivery: exactly_once`: what is emitted, to be appended when this record is written.
    pub outbox: Vec<OutboxEntry>,
    /// What was emitted to stateless tasks of the same process, and is not handled yet.
    pub pending: Vec<PendingEntry>,
    /// The input whose handling had begun when this record was made, where one is suspected of ending processes.
    pub under_way: Option<UnderWay>,
}

/// How far one lane was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The lane's random id.
    pub lane: u64,
    /// The lane's name as text, for people and for messages.
    pub name: String,
    /// Where the first message stands that is not in the state yet.
    pub position: u64,
    /// How many messages of this lane the state has counted.
    pub count: u64,
}

/// How much a task had emitted to one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputMark {
    /// The queue.
    pub queue: QueueName,
    /// The task's own lane in that queue: its random id.
    pub lane: u64,
    /// How many messages the task had appended to that lane when the record was made.
    pub count: u64,
}

/// A message that is to be appended once its record is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Where it goes.
    pub queue: QueueName,
    /// Its place among what this record emits; with epoch and `n` its tag.
    pub index: u64,
    /// The message's id and time.
    pub stamp: Stamp,
    /// The message's encoded body.
    pub body: Bytes,
}

/// A message that a stateless task of the same process has still to handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEntry {
    /// Who has to handle it.
    pub task: TaskName,
    /// The message's id and time.
    pub stamp: Stamp,
    /// The message's encoded body.
    pub body: Bytes,
}

/// An input whose handling had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// The random id of its lane.
    pub lane: u64,
    /// Where it stands in that lane.
    pub position: u64,
    /// How many processes have ended on it.
    pub ended: u32,
}

/// A random number for a new epoch. Without the kernel's random numbers the clock and the pid stand in.
#[must_use]
pub fn new_epoch() -> u64 {
    getrandom::u64().unwrap_or_else(|_| Stamp::now().time_ns ^ (u64::from(std::process::id()) << 40))
}
