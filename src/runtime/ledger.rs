//! What a stateful task has under way outside its own activations, and the lane it writes.
//!
//! Copies for stateless tasks of this process are listed here until they are handled; a commit takes the list into
//! its record. Everything emitted in the task's course goes through here into the lane `task:NAME`, tagged.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::Message;
use crate::name::{LaneName, QueueName, TaskName};
use crate::store::{OutputMark, PendingEntry};
use crate::transit::{AppendError, Outgoing, Sender, Tag, Transit};

/// One stateful task's list and lane.
pub(super) struct Ledger {
    transit: Transit,
    lane: LaneName,
    listed: Mutex<Listed>,
    output: Mutex<Output>,
}

#[derive(Default)]
struct Listed {
    next: u64,
    entries: BTreeMap<u64, (TaskName, Message)>,
}

/// Invariant: tags are given and records appended under one lock, so a lane's tags ascend.
struct Output {
    epoch: u64,
    n: u64,
    index: u64,
    senders: HashMap<QueueName, Sender>,
    /// What the last record said of queues that were not written to since.
    marks: BTreeMap<QueueName, OutputMark>,
}

/// One listed copy.
pub(super) struct Listing {
    ledger: Arc<Ledger>,
    id: u64,
}

impl Ledger {
    pub(super) fn new(transit: Transit, task: TaskName, epoch: u64, n: u64, marks: Vec<OutputMark>) -> Self {
        let marks = marks.into_iter().map(|mark| (mark.queue.clone(), mark)).collect();
        let output = Output { epoch, n, index: 0, senders: HashMap::new(), marks };
        let (listed, output) = (Mutex::new(Listed::default()), Mutex::new(output));
        Self { transit, lane: LaneName::Task(task), listed, output }
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a copy for `task`.
    pub(super) fn list(self: &Arc<Self>, task: TaskName, message: Message) -> Listing {
        let mut listed = self.listed();
        let id = listed.next;
        listed.next += 1;
        listed.entries.insert(id, (task, message));
        Listing { ledger: self.clone(), id }
    }

    /// What is listed, for a record. A message that cannot be encoded was refused before it was listed.
    pub(super) fn pending(&self) -> Vec<PendingEntry> {
        let listed = self.listed();
        let entry = |(task, message): &(TaskName, Message)| {
            let body = message.encoded().ok()?.clone();
            Some(PendingEntry { task: task.clone(), stamp: message.stamp(), body })
        };
        listed.entries.values().filter_map(entry).collect()
    }

    /// Record `n` is written: tags from now on name it. Never the coming one: what goes out before a record is
    /// written must not be taken for what that record holds.
    pub(super) fn set_record(&self, n: u64) {
        let mut output = self.output();
        if output.n != n {
            (output.n, output.index) = (n, 0);
        }
    }

    /// How much this task has appended to each queue.
    pub(super) fn marks(&self) -> Vec<OutputMark> {
        let mut output = self.output();
        let Output { senders, marks, .. } = &mut *output;
        for (queue, sender) in senders.iter() {
            let (_, count) = sender.written();
            marks.insert(queue.clone(), OutputMark { queue: queue.clone(), lane: sender.lane_id().0, count });
        }
        marks.values().cloned().collect()
    }

    /// Appends a message to the task's lane of `queue`.
    pub(super) fn append(&self, queue: &QueueName, message: &Message, body: &[u8]) -> Result<(), AppendError> {
        let mut output = self.output();
        if !output.senders.contains_key(queue) {
            let sender = self.transit.sender(queue, &self.lane)?;
            output.senders.insert(queue.clone(), sender);
        }
        let tag = Tag { epoch: output.epoch, n: output.n, index: output.index + 1 };
        let sender = &output.senders[queue];
        sender.append(&Outgoing { stamp: message.stamp(), tag: Some(tag), body })?;
        output.index += 1;
        Ok(())
    }

    /// Gives the lanes back.
    pub(super) fn release(&self) {
        self.output().senders.clear();
    }
}

impl Listing {
    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(super) fn done(self) {
        self.ledger.listed().entries.remove(&self.id);
    }
}
