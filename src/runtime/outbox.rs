//! A stateful task's output to the transit: what waits, for a record or for room, and its lanes.
//!
//! ```text
//!   put ──► at least once, and nothing waits: appended at once, or diverted to `dead`
//!      └──► waits ──snapshot──► sealed in record n ──written──► appended to the queue that the record names
//!                      └─ no room there, and its queue diverts; or refused for good: the record names `dead`
//! ```
//!
//! Invariant: only a record diverts. Where an entry goes is settled when its record is formed, never at an append, so
//! for each queue that a record names the last tag in our lane there tells what of it was sent. An entry that is
//! refused at its append waits for the next record, and what follows it to the same queue waits behind it.
//!
//! Invariant: a sealed entry is appended only between two writes, so a record that carries it over holds what its
//! lane lacks. Tags of a lane ascend.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::dead;
use super::lanes::Lanes;
use super::neighbour::Neighbour;
use super::office::AppendRefusal;
use super::sent::Sent;
use super::succession::Rest;
use crate::config::Delivery;
use crate::message::{Message, Stamp};
use crate::name::{LaneName, QueueName, TaskName};
use crate::store::{OutboxEntry, OutputMark, Record};
use crate::transit::{AppendError, Outgoing, Room, Sender, Tag, Transit};
use crate::value::Map;

/// More than this in the outbox, and the task takes no input until a commit made room: some thousand messages keep
/// a sender busy while a record is written, and a record stays small.
const MOST_MESSAGES: usize = 4096;
/// The same in bytes of bodies.
const MOST_BYTES: usize = 8 << 20;

/// The output of one task.
pub(super) struct Outbox {
    transit: Transit,
    task: TaskName,
    lane: LaneName,
    delivery: Delivery,
    epoch: u64,
    /// The newest written record, and the last index given with it.
    n: u64,
    index: u64,
    lanes: Lanes,
    /// What the last record said of queues that were not written to since.
    marks: BTreeMap<QueueName, OutputMark>,
    /// Entries of the newest written record, then what came since its snapshot.
    entries: VecDeque<Entry>,
    /// How many at the front are sealed in the newest written record.
    sealed: usize,
    /// How many at the front are in the record that is being written.
    snapshot: usize,
    /// From a snapshot until its record is written. A write that failed may have left its record all the same, so
    /// nothing sealed is appended until one succeeds, also across a rollback.
    unsure: bool,
    bytes: usize,
    /// How many entries wait for the next record to name `dead` for them.
    refused: usize,
}

/// What waits.
struct Entry {
    kept: OutboxEntry,
    /// Why its queue refused it: the next record names `dead`.
    refused: Option<String>,
}

/// What became of output.
pub(super) enum Put {
    /// It is in its queue, or in `dead`, or was dropped as the queue's overflow says.
    Settled,
    /// It waits for a record, or for room.
    Waits,
    /// Not even `dead` takes it, for this reason.
    Never(String),
}

/// What became of what was sealed.
#[derive(Default)]
pub(super) struct Appended {
    /// Whether it was tried; else what was full may still be.
    pub(super) tried: bool,
    /// The queues without room, and whether some went there before that.
    pub(super) full: BTreeMap<QueueName, bool>,
    /// Why something is left, if it is.
    pub(super) waits: Option<AppendRefusal>,
    /// Letters that `dead` refuses for good, with the reason.
    pub(super) refused: Vec<(OutboxEntry, String)>,
}

impl Outbox {
    /// The output of a task that goes on from `record`; what of its outbox is not in the lanes yet is sealed.
    pub(super) fn open(transit: Transit, task: TaskName, record: &Record, sent: &Sent) -> Self {
        let left = record.outbox.iter().filter(|entry| !sent.contains(entry));
        let entries: VecDeque<_> = left.map(|kept| Entry { kept: kept.clone(), refused: None }).collect();
        Self {
            transit,
            lane: LaneName::Task(task.clone()),
            task,
            delivery: Delivery::default(),
            epoch: record.epoch,
            n: record.n,
            index: record.outbox.len() as u64,
            lanes: Lanes::new(Instant::now()),
            marks: record.outputs.iter().map(|mark| (mark.queue.clone(), mark.clone())).collect(),
            sealed: entries.len(),
            snapshot: 0,
            unsure: false,
            bytes: entries.iter().map(|entry| entry.kept.body.len()).sum(),
            refused: 0,
            entries,
        }
    }

    pub(super) fn set_delivery(&mut self, delivery: Delivery) {
        self.delivery = delivery;
    }

    /// Whether the task should take no more input before a commit.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MOST_MESSAGES || self.bytes >= MOST_BYTES
    }

    /// Whether something sealed may find room in its queue without another record.
    pub(super) fn has_sealed(&self) -> bool {
        self.sealed > self.refused && !self.unsure
    }

    /// Whether anything waits.
    pub(super) fn holds_some(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Whether nothing of what is sealed waits.
    pub(super) fn has_appended_all(&self) -> bool {
        self.sealed == 0 && !self.unsure
    }

    /// Whether a commit should come soon: what was refused waits for it, and what follows waits behind that.
    pub(super) fn wants_commit(&self) -> bool {
        self.refused > 0
    }

    /// Whether there is something that the next record should hold.
    pub(super) fn has_new(&self) -> bool {
        self.entries.len() > self.sealed || self.wants_commit()
    }

    /// Takes output: appends it at once where the delivery says so, and nothing waits before it.
    pub(super) fn put(&mut self, queue: &QueueName, stamp: Stamp, body: &[u8]) -> Put {
        if self.delivery == Delivery::AtLeastOnce && self.entries.is_empty() {
            match self.append_directly(queue, stamp, body) {
                Ok(()) | Err(AppendRefusal::Dropped(_)) => return Put::Settled,
                // No record names it yet, so it may go elsewhere.
                Err(AppendRefusal::Never(reason)) => return self.put_into_dead(Entry::new(queue, stamp, body), reason),
                Err(AppendRefusal::NotNow { .. }) => {}
            }
        }
        self.keep(Entry::new(queue, stamp, body))
    }

    fn put_into_dead(&mut self, mut entry: Entry, reason: String) -> Put {
        if !entry.divert(&self.task, &reason) {
            return Put::Never(reason);
        }
        match self.append_directly(&entry.kept.queue, entry.kept.stamp, &entry.kept.body) {
            Ok(()) | Err(AppendRefusal::Dropped(_)) => Put::Settled,
            Err(AppendRefusal::Never(reason)) => Put::Never(reason),
            Err(AppendRefusal::NotNow { .. }) => self.keep(entry),
        }
    }

    fn keep(&mut self, entry: Entry) -> Put {
        self.bytes += entry.kept.body.len();
        self.entries.push_back(entry);
        Put::Waits
    }

    fn append_directly(&mut self, queue: &QueueName, stamp: Stamp, body: &[u8]) -> Result<(), AppendRefusal> {
        let tag = Tag { epoch: self.epoch, n: self.n, index: self.index + 1 };
        self.append(queue, &Outgoing { stamp, tag: Some(tag), body })?;
        self.index += 1;
        Ok(())
    }

    fn append(&mut self, queue: &QueueName, out: &Outgoing<'_>) -> Result<(), AppendRefusal> {
        Ok(self.sender(queue).and_then(|sender| sender.append(out))?)
    }

    fn sender(&mut self, queue: &QueueName) -> Result<&Sender, AppendError> {
        Ok(self.lanes.sender(queue, || self.transit.sender(queue, &self.lane))?)
    }

    /// Fills the outbox's part of a record: from here until it is written, nothing sealed is appended.
    pub(super) fn snapshot(&mut self, record: &mut Record) {
        self.settle_targets();
        for (entry, index) in self.entries.iter_mut().zip(1..) {
            entry.kept.index = index;
        }
        (self.snapshot, self.unsure) = (self.entries.len(), true);
        record.outbox = self.entries.iter().map(|entry| entry.kept.clone()).collect();
        record.outputs = self.marks();
    }

    /// What was refused, and what finds no room in a queue that diverts, goes to `dead` in the record being formed.
    fn settle_targets(&mut self) {
        let (mut entries, mut rooms) = (std::mem::take(&mut self.entries), HashMap::new());
        for entry in &mut entries {
            let before = entry.kept.body.len();
            let reason = entry.refused.take().or_else(|| {
                let queue = &entry.kept.queue;
                let look = || self.sender(queue).ok().and_then(Sender::diverting_room);
                let room: &mut Option<Room> = rooms.entry(queue.clone()).or_insert_with(look);
                let room = room.as_mut()?;
                (!room.takes(&entry.kept.body)).then(|| room.refusal().to_string())
            });
            if reason.is_some_and(|reason| entry.divert(&self.task, &reason)) {
                self.bytes = self.bytes - before + entry.kept.body.len();
            }
        }
        (self.entries, self.refused) = (entries, 0);
    }

    /// Record `n` is written: its outbox may be appended now. Tags name it from now on, never the coming one: what
    /// goes out before a record is written must not be taken for what that record holds.
    pub(super) fn seal(&mut self, n: u64) {
        if self.n != n {
            (self.n, self.sealed) = (n, self.snapshot);
            self.index = self.snapshot as u64;
            (self.snapshot, self.unsure) = (0, false);
        }
    }

    /// Appends what is sealed, as far as there is room.
    pub(super) fn append_sealed(&mut self) -> Appended {
        let mut appended = Appended::default();
        // A record that is being written counts on what its lanes lack.
        if self.unsure {
            return appended;
        }
        appended.tried = true;
        if self.sealed == 0 {
            return appended;
        }
        let (mut left, mut blocked, mut moved) = (VecDeque::new(), HashSet::new(), HashSet::new());
        for _ in 0..self.sealed {
            let Some(mut entry) = self.entries.pop_front() else { break };
            // Each queue keeps its order; one that is full holds up no other.
            if blocked.contains(&entry.kept.queue) || entry.refused.is_some() {
                blocked.insert(entry.kept.queue.clone());
                left.push_back(entry);
                continue;
            }
            let tag = Tag { epoch: self.epoch, n: self.n, index: entry.kept.index };
            let OutboxEntry { queue, stamp, body, .. } = &entry.kept;
            match self.append(queue, &Outgoing { stamp: *stamp, tag: Some(tag), body }) {
                Ok(()) | Err(AppendRefusal::Dropped(_)) => {
                    self.bytes -= entry.kept.body.len();
                    moved.insert(entry.kept.queue);
                    failpoint!("commit.entry_appended");
                }
                Err(AppendRefusal::Never(reason)) if entry.kept.queue == dead::queue() => {
                    self.bytes -= entry.kept.body.len();
                    appended.refused.push((entry.kept, reason));
                }
                Err(refusal) => {
                    blocked.insert(entry.kept.queue.clone());
                    if let AppendRefusal::Never(reason) = &refusal {
                        entry.refused = Some(reason.clone());
                        self.refused += 1;
                    } else if matches!(refusal, AppendRefusal::NotNow { fault: false, .. }) {
                        appended.full.insert(entry.kept.queue.clone(), moved.contains(&entry.kept.queue));
                    }
                    appended.waits = Some(refusal);
                    left.push_back(entry);
                }
            }
        }
        failpoint!("commit.outbox_appended");
        self.sealed = left.len();
        for entry in left.into_iter().rev() {
            self.entries.push_front(entry);
        }
        appended
    }

    /// Back to the newest written record.
    pub(super) fn roll_back(&mut self) {
        self.entries.truncate(self.sealed);
        self.snapshot = 0;
        self.bytes = self.entries.iter().map(|entry| entry.kept.body.len()).sum();
    }

    /// Whether copies for a neighbour may go through memory from now on: everything that the task ever sent to its queue
    /// has been handled, and what came of that comes first.
    pub(super) fn hands_over_to(&self, neighbour: &Arc<Neighbour>) -> bool {
        let queue = neighbour.task.queue();
        let look = || Rest::look(&self.transit, &queue, &self.lane);
        let rest = self.lanes.get(&queue).map_or_else(look, Rest::of);
        self.entries.iter().rev().all(|entry| entry.kept.queue != queue) && neighbour.takes_over(&self.lane, rest)
    }

    /// Gives the lanes back.
    pub(super) fn release(&mut self) {
        self.lanes.clear();
    }

    fn marks(&mut self) -> Vec<OutputMark> {
        for (queue, sender) in self.lanes.iter() {
            self.marks.insert(queue.clone(), mark(queue, sender));
        }
        self.marks.values().cloned().collect()
    }

    /// Once a second: gives back lanes that are idle.
    pub(super) fn tidy(&mut self, now: Instant) {
        for (queue, sender) in self.lanes.sweep(now) {
            self.marks.insert(queue.clone(), mark(&queue, &sender));
        }
    }
}

fn mark(queue: &QueueName, sender: &Sender) -> OutputMark {
    OutputMark { queue: queue.clone(), lane: sender.lane_id().0, count: sender.written().1 }
}

impl Entry {
    fn new(queue: &QueueName, stamp: Stamp, body: &[u8]) -> Self {
        let kept = OutboxEntry { queue: queue.clone(), index: 0, stamp, body: Bytes::copy_from_slice(body) };
        Self { kept, refused: None }
    }

    /// Makes it a letter for `dead`, if it is not one.
    fn divert(&mut self, task: &TaskName, reason: &str) -> bool {
        let dead = dead::queue();
        if self.kept.queue == dead {
            return false;
        }
        let stamp = self.kept.stamp;
        // What cannot be read, or is too large with its reason, is told of without what it said.
        let nothing = || Message::stamped(stamp, Map::new());
        let message = Message::from_encoded(stamp, self.kept.body.clone()).unwrap_or_else(|_| nothing());
        let letters = [message, nothing()].map(|message| dead::letter(&message, task.as_str(), reason));
        let Some(body) = letters.iter().find_map(|letter| letter.encoded().ok()) else { return false };
        (self.kept.queue, self.kept.body) = (dead, body.clone());
        true
    }
}
