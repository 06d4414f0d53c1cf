//! What a stateful task has under way outside its own activations: copies not yet handled, output not yet appended.
//!
//! ```text
//!   activation ──► copies for stateless tasks here:  listed ──► handled, done
//!              └─► output to the transit:  appended at once (at least once), or
//!                                          outbox ──snapshot──► sealed in record n ──written──► appended
//! ```
//!
//! Invariants: an activation enters with all it emitted, and leaves the list, in one step: a snapshot sees all of it
//! or nothing. Tags are given and records appended under one lock, so a lane's tags ascend. A sealed entry is
//! appended only between two writes, so a record that carries it over holds what its lane lacks. Nobody waits in
//! here: output that finds no room goes to the outbox, and a commit goes on.

mod way;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::delivery::{Delivery as Copy, Origin};
use super::neighbour::Neighbour;
use super::office::AppendRefusal;
use super::sent::Sent;
use super::switchboard::Destination;
use crate::config::Delivery;
use crate::message::Message;
use crate::name::{LaneName, QueueName, TaskName};
use crate::store::{OutboxEntry, OutputMark, PendingEntry, Record};
use crate::transit::{AppendError, Outgoing, Sender, Tag, Transit};

/// More than this in the outbox, and the task takes no input until a commit made room: some thousand messages keep
/// a sender busy while a record is written, and a record stays small.
const OUTBOX_MESSAGES: usize = 4096;
/// The same in bytes of bodies.
const OUTBOX_BYTES: usize = 8 << 20;

/// One stateful task's list, outbox and lanes.
pub(super) struct Ledger {
    lane: LaneName,
    inner: Mutex<Inner>,
    /// Wakes the task's own actor: what a neighbour handled is to be committed.
    owner: Arc<Notify>,
}

struct Inner {
    transit: Transit,
    /// Raised by a rollback: listings of before are void.
    generation: u64,
    next: u64,
    listed: BTreeMap<u64, (TaskName, Message)>,
    delivery: Delivery,
    epoch: u64,
    /// The newest written record, and the last index given with it.
    n: u64,
    index: u64,
    senders: HashMap<QueueName, Sender>,
    /// Stateless tasks of this process to which copies go through memory: neither the outbox nor our lane in their
    /// queue held anything for them when that began.
    memory: HashMap<QueueName, Arc<Neighbour>>,
    /// The one of these that was sent to last: nearly always the next, too.
    latest: Option<Arc<Neighbour>>,
    /// What the last record said of queues that were not written to since.
    marks: BTreeMap<QueueName, OutputMark>,
    /// Entries of the newest written record, then what came since its snapshot.
    outbox: VecDeque<OutboxEntry>,
    /// How many at the front are sealed in the newest written record.
    sealed: usize,
    /// How many at the front are in the record that is being written.
    snapshot: usize,
    /// From a snapshot until its record is written. A write that failed may have left its record all the same, so
    /// nothing sealed is appended until one succeeds, also across a rollback.
    unsure: bool,
    bytes: usize,
    /// Neighbours have handled something since the owner looked.
    changed: bool,
}

/// One listed copy.
pub(super) struct Listing {
    ledger: Arc<Ledger>,
    id: u64,
    generation: u64,
}

/// What an activation emitted, and where that goes by the routes: the lane and the outbox have a say, too.
pub(super) struct Emitted {
    pub(super) to: Destination,
    pub(super) message: Message,
}

/// What became of an activation that entered.
pub(super) struct Entered {
    /// Its copies for tasks of this process, in order; none if the activation was void.
    pub(super) copies: Vec<(Arc<Neighbour>, Copy)>,
    /// Output that its queue refuses for good, with the reason.
    pub(super) refused: Vec<Refused>,
}

/// A message that its queue refuses for good, and why.
pub(super) struct Refused {
    pub(super) queue: QueueName,
    pub(super) message: Message,
    pub(super) reason: String,
}

/// What became of what was sealed.
#[derive(Default)]
pub(super) struct Appended {
    /// Why something is left, if it is.
    pub(super) waits: Option<AppendRefusal>,
    /// Output that its queue refuses for good, with the reason.
    pub(super) refused: Vec<(OutboxEntry, String)>,
}

impl Ledger {
    /// The ledger of a task that goes on from `record`; what of its outbox is not in the lanes yet is sealed.
    pub(super) fn open(transit: Transit, task: TaskName, record: &Record, sent: &Sent, owner: Arc<Notify>) -> Self {
        let outbox: VecDeque<_> = record.outbox.iter().filter(|entry| !sent.contains(entry)).cloned().collect();
        let inner = Inner {
            transit,
            generation: 0,
            next: 0,
            listed: BTreeMap::new(),
            delivery: Delivery::default(),
            epoch: record.epoch,
            n: record.n,
            index: record.outbox.len() as u64,
            senders: HashMap::new(),
            memory: HashMap::new(),
            latest: None,
            marks: record.outputs.iter().map(|mark| (mark.queue.clone(), mark.clone())).collect(),
            sealed: outbox.len(),
            snapshot: 0,
            unsure: false,
            bytes: outbox.iter().map(|entry| entry.body.len()).sum(),
            outbox,
            changed: false,
        };
        Self { lane: LaneName::Task(task), inner: Mutex::new(inner), owner }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters all that one activation emitted, and takes the copy that it handled (`done`) off the list.
    pub(super) fn enter(self: &Arc<Self>, done: Option<&Listing>, emitted: impl Iterator<Item = Emitted>) -> Entered {
        let mut inner = self.lock();
        let mut entered = Entered { copies: Vec::new(), refused: Vec::new() };
        if done.is_some_and(|listing| listing.generation != inner.generation) {
            // What it emitted goes with it.
            emitted.for_each(drop);
            return entered;
        }
        for Emitted { to, message } in emitted {
            match inner.way(&self.lane, to) {
                Destination::Neighbour(neighbour) => {
                    let listing = inner.list(self, &neighbour.task, &message);
                    entered.copies.push((neighbour, Copy { message, origin: Some(Origin::Task(listing)) }));
                }
                Destination::Transit(queue) => {
                    if let Err(reason) = inner.put(&self.lane, &queue, &message) {
                        entered.refused.push(Refused { queue, message, reason });
                    }
                }
            }
        }
        if let Some(done) = done {
            inner.strike_off(done, &self.owner);
        }
        entered
    }

    /// A listed copy that its task leaves unhandled goes to the task's queue, before all that is sent there later.
    pub(super) fn send_on(&self, listing: &Listing, queue: &QueueName, message: &Message) -> Result<(), String> {
        let mut inner = self.lock();
        if listing.generation != inner.generation {
            return Ok(());
        }
        let sent = inner.put(&self.lane, queue, message);
        inner.strike_off(listing, &self.owner);
        sent
    }

    /// How output is delivered; holds for what is emitted after this, behind what waits already.
    pub(super) fn set_delivery(&self, delivery: Delivery) {
        self.lock().delivery = delivery;
    }

    /// Whether the task should take no more input before a commit.
    pub(super) fn is_full(&self) -> bool {
        let inner = self.lock();
        inner.outbox.len() >= OUTBOX_MESSAGES || inner.bytes >= OUTBOX_BYTES
    }

    /// Whether something sealed waits for room in its queue.
    pub(super) fn has_sealed(&self) -> bool {
        let inner = self.lock();
        inner.sealed > 0 && !inner.unsure
    }

    /// Whether there is something that the next commit should hold, since the last call or still.
    pub(super) fn take_changed(&self) -> bool {
        let mut inner = self.lock();
        std::mem::take(&mut inner.changed) || inner.outbox.len() > inner.sealed
    }

    /// Whether every copy was handled.
    pub(super) fn is_clear(&self) -> bool {
        self.lock().listed.is_empty()
    }

    /// Fills the ledger's part of record `n`: from here until it is written, nothing sealed is appended.
    pub(super) fn snapshot(&self, record: &mut Record) {
        self.lock().snapshot(record);
    }

    /// The same for the last record of a run. What it lists is void from here on: it is handled after the next start.
    pub(super) fn snapshot_last(&self, record: &mut Record) {
        let mut inner = self.lock();
        inner.snapshot(record);
        inner.generation += 1;
    }

    /// Record `n` is written: its outbox may be appended now. Tags name it from now on, never the coming one: what
    /// goes out before a record is written must not be taken for what that record holds.
    pub(super) fn seal(&self, n: u64) {
        let mut inner = self.lock();
        if inner.n != n {
            (inner.n, inner.sealed) = (n, inner.snapshot);
            inner.index = inner.snapshot as u64;
            (inner.snapshot, inner.unsure) = (0, false);
        }
    }

    /// Appends what is sealed, as far as there is room.
    pub(super) fn append_sealed(&self) -> Appended {
        self.lock().append_sealed(&self.lane)
    }

    /// Back to the newest written record: what was entered since is void.
    pub(super) fn roll_back(&self) {
        let mut inner = self.lock();
        inner.generation += 1;
        inner.listed.clear();
        let sealed = inner.sealed;
        inner.outbox.truncate(sealed);
        inner.snapshot = 0;
        inner.bytes = inner.outbox.iter().map(|entry| entry.body.len()).sum();
    }

    /// Gives the lanes back. What is handled after this is void: the last record lists it, or the inputs are taken
    /// again.
    pub(super) fn release(&self) {
        let mut inner = self.lock();
        inner.generation += 1;
        inner.senders.clear();
        inner.memory.clear();
        inner.latest = None;
    }
}

impl Inner {
    fn snapshot(&mut self, record: &mut Record) {
        for (entry, index) in self.outbox.iter_mut().zip(1..) {
            entry.index = index;
        }
        (self.snapshot, self.unsure) = (self.outbox.len(), true);
        record.outbox = self.outbox.iter().cloned().collect();
        record.outputs = self.marks();
        let entry = |(task, message): &(TaskName, Message)| {
            // What cannot be encoded was refused before it was listed.
            let body = message.encoded().ok()?.clone();
            Some(PendingEntry { task: task.clone(), stamp: message.stamp(), body })
        };
        record.pending = self.listed.values().filter_map(entry).collect();
    }

    fn list(&mut self, ledger: &Arc<Ledger>, task: &TaskName, message: &Message) -> Listing {
        let id = self.next;
        self.next += 1;
        self.listed.insert(id, (task.clone(), message.clone()));
        Listing { ledger: ledger.clone(), id, generation: self.generation }
    }

    fn strike_off(&mut self, done: &Listing, owner: &Notify) {
        self.listed.remove(&done.id);
        if !std::mem::replace(&mut self.changed, true) {
            owner.notify_one();
        }
    }

    fn put(&mut self, lane: &LaneName, queue: &QueueName, message: &Message) -> Result<(), String> {
        let body = message.encoded().map_err(|error| error.to_string())?.clone();
        let stamp = message.stamp();
        if self.delivery == Delivery::AtLeastOnce && self.outbox.is_empty() {
            let tag = Tag { epoch: self.epoch, n: self.n, index: self.index + 1 };
            let sent = self.append(lane, queue, &Outgoing { stamp, tag: Some(tag), body: &body });
            match sent.map_err(AppendRefusal::from) {
                Ok(()) => {
                    self.index += 1;
                    return Ok(());
                }
                Err(AppendRefusal::Dropped(_)) => return Ok(()),
                Err(AppendRefusal::Never(reason)) => return Err(reason),
                Err(AppendRefusal::NotNow { .. }) => {}
            }
        }
        self.bytes += body.len();
        self.outbox.push_back(OutboxEntry { queue: queue.clone(), index: 0, stamp, body });
        Ok(())
    }

    fn append(&mut self, lane: &LaneName, queue: &QueueName, out: &Outgoing<'_>) -> Result<(), AppendError> {
        if !self.senders.contains_key(queue) {
            let sender = self.transit.sender(queue, lane)?;
            self.senders.insert(queue.clone(), sender);
        }
        self.senders[queue].append(out)
    }

    fn append_sealed(&mut self, lane: &LaneName) -> Appended {
        let mut appended = Appended::default();
        // A record that is being written counts on what its lanes lack.
        if self.unsure || self.sealed == 0 {
            return appended;
        }
        let (mut left, mut blocked) = (VecDeque::new(), HashSet::new());
        for _ in 0..self.sealed {
            let Some(entry) = self.outbox.pop_front() else { break };
            let tag = Tag { epoch: self.epoch, n: self.n, index: entry.index };
            let out = Outgoing { stamp: entry.stamp, tag: Some(tag), body: &entry.body };
            // Each queue keeps its order; one that is full holds up no other.
            if blocked.contains(&entry.queue) {
                left.push_back(entry);
                continue;
            }
            match self.append(lane, &entry.queue, &out).map_err(AppendRefusal::from) {
                Ok(()) | Err(AppendRefusal::Dropped(_)) => self.bytes -= entry.body.len(),
                Err(AppendRefusal::Never(reason)) => {
                    self.bytes -= entry.body.len();
                    appended.refused.push((entry, reason));
                }
                Err(waits) => {
                    blocked.insert(entry.queue.clone());
                    appended.waits = Some(waits);
                    left.push_back(entry);
                }
            }
        }
        self.sealed = left.len();
        for entry in left.into_iter().rev() {
            self.outbox.push_front(entry);
        }
        appended
    }

    fn marks(&mut self) -> Vec<OutputMark> {
        for (queue, sender) in &self.senders {
            let (_, count) = sender.written();
            self.marks.insert(queue.clone(), OutputMark { queue: queue.clone(), lane: sender.lane_id().0, count });
        }
        self.marks.values().cloned().collect()
    }
}

impl Listing {
    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Whether the activation that made this copy still counts.
    pub(super) fn is_void(&self) -> bool {
        self.ledger.lock().generation != self.generation
    }

    /// The copy is done and emitted nothing.
    pub(super) fn done(self) {
        self.ledger.enter(Some(&self), std::iter::empty());
    }
}
