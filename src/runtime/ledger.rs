//! What a stateful task has under way outside its own activations: copies not yet handled, output not yet appended.
//!
//! ```text
//!   activation ──► copies for stateless tasks here:  listed ──► handled, done
//!              └─► output to the transit:  appended at once (at least once), or
//!                                          outbox ──snapshot──► sealed in record n ──written──► appended
//! ```
//!
//! Invariants: an activation enters with all it emitted, and leaves the list, in one step: a snapshot sees all of it
//! or nothing. Tags are given and records appended under one lock, so a lane's tags ascend. Nobody waits in here:
//! output that finds no room goes to the outbox (`outbox`), and a commit goes on.

mod course;
mod way;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use self::course::Course;
use super::dead;
use super::delivery::{Delivery as Copy, Origin};
use super::neighbour::Neighbour;
use super::outbox::{Appended, Outbox, Put};
use super::sent::Sent;
use super::switchboard::Destination;
use crate::config::Delivery;
use crate::message::Message;
use crate::name::{QueueName, TaskName};
use crate::store::{PendingEntry, Record};
use crate::transit::{Consequence, Consequences, LaneId, Transit};

/// One stateful task's list, outbox and lanes.
pub(super) struct Ledger {
    inner: Mutex<Inner>,
    /// Where it is noted which listed copies are being handled.
    consequences: Option<Consequences>,
    /// What its owner's activation is caused by; see `course`.
    cause: AtomicU64,
    /// Wakes the task's own actor: what a neighbour handled is to be committed.
    owner: Arc<Notify>,
}

struct Inner {
    /// Raised by a rollback: listings of before are void.
    generation: u64,
    next: u64,
    listed: BTreeMap<u64, (TaskName, Message)>,
    outbox: Outbox,
    /// Stateless tasks of this process to which copies go through memory: neither the outbox nor our lane in their
    /// queue held anything for them when that began.
    memory: HashMap<QueueName, Arc<Neighbour>>,
    /// The one of these that was sent to last: nearly always the next, too.
    latest: Option<Arc<Neighbour>>,
    /// Neighbours have handled something since the owner looked.
    changed: bool,
    /// The activation of the owner that enters next.
    course: Course,
    /// What is put out is encoded here: nearly always its bytes are needed once.
    scratch: Vec<u8>,
}

/// One listed copy.
pub(super) struct Listing {
    ledger: Arc<Ledger>,
    id: u64,
    generation: u64,
    /// Which copy it is, also when the process has ended on it and it is made again.
    key: u64,
}

/// What an activation emitted, and where that goes by the routes: the lane and the outbox have a say, too.
pub(super) struct Emitted {
    pub(super) to: Destination,
    pub(super) message: Message,
}

/// What became of an activation that entered.
#[derive(Default)]
pub(super) struct Entered {
    /// Its copies for tasks of this process, in order; none if the activation was void.
    pub(super) copies: Vec<(Arc<Neighbour>, Copy)>,
    /// Whether some of its output waits for a record, or for room.
    pub(super) waits: bool,
    /// Output that not even `dead` takes, with the reason.
    pub(super) refused: Vec<Refused>,
}

/// A message that not even `dead` takes, and why.
pub(super) struct Refused {
    pub(super) queue: QueueName,
    pub(super) message: Message,
    pub(super) reason: String,
}

impl Ledger {
    /// The ledger of a task that goes on from `record`; what of its outbox is not in the lanes yet is sealed.
    pub(super) fn open(transit: Transit, task: TaskName, record: &Record, sent: &Sent, owner: Arc<Notify>) -> Self {
        let outbox = Outbox::open(transit, task, record, sent);
        let (listed, memory) = (BTreeMap::new(), HashMap::new());
        let inner = Inner {
            generation: 0,
            next: 0,
            listed,
            outbox,
            memory,
            latest: None,
            changed: false,
            course: Course::default(),
            scratch: Vec::new(),
        };
        Self { inner: Mutex::new(inner), consequences: None, cause: AtomicU64::new(0), owner }
    }

    /// Counts the processes that end on a copy.
    pub(super) fn counting(mut self, consequences: Consequences) -> Self {
        self.consequences = Some(consequences);
        self
    }

    /// Whose consequences are entered from now on, but for those of copies: the owner's at this input, or, without one,
    /// those of no input.
    pub(super) fn set_course(&self, input: Option<(LaneId, u64)>) {
        self.cause.store(input.map_or(0, course::cause_of), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters all that one activation emitted, and takes the copy that it handled (`done`) off the list.
    pub(super) fn enter(self: &Arc<Self>, done: Option<&Listing>, emitted: impl Iterator<Item = Emitted>) -> Entered {
        let mut inner = self.lock();
        let mut entered = Entered::default();
        if done.is_some_and(|listing| listing.generation != inner.generation) {
            // What it emitted goes with it.
            emitted.for_each(drop);
            return entered;
        }
        let mut of_copy = done.map(|listing| Course::of(listing.key));
        let cause = self.cause.load(Ordering::Relaxed);
        for Emitted { to, message } in emitted {
            let course = *of_copy.as_mut().unwrap_or_else(|| inner.course.follow(cause)).one_more();
            let neighbour = match inner.way(to) {
                Destination::Neighbour(neighbour) => neighbour,
                Destination::Transit(queue) => {
                    inner.put_in(queue, message, &mut entered);
                    continue;
                }
            };
            let key = course.key(&neighbour.task, &message);
            if self.is_poison(key) {
                inner.put_in(dead::queue(), poisonous(&neighbour.task, &message), &mut entered);
                continue;
            }
            let listing = inner.list(self, &neighbour.task, &message, key);
            entered.copies.push((neighbour, Copy { message, origin: Some(Origin::Task(listing)) }));
        }
        if let Some(done) = done {
            inner.strike_off(done, &self.owner);
        }
        entered
    }

    fn is_poison(&self, key: u64) -> bool {
        self.consequences.as_ref().is_some_and(|known| known.is_poison(key))
    }

    /// A listed copy that its task leaves unhandled goes to the task's queue, before all that is sent there later.
    pub(super) fn send_on(&self, listing: &Listing, queue: &QueueName, message: &Message) -> Result<(), String> {
        let mut inner = self.lock();
        if listing.generation != inner.generation {
            return Ok(());
        }
        let put = inner.put(queue, message);
        inner.strike_off(listing, &self.owner);
        if let Put::Never(reason) = put { Err(reason) } else { Ok(()) }
    }

    /// Enters a letter for `dead` about what was not handled, and takes the copy of which it tells off the list.
    pub(super) fn bury(self: &Arc<Self>, done: Option<&Listing>, letter: Message) -> Entered {
        let to = Destination::Transit(dead::queue());
        self.enter(done, std::iter::once(Emitted { to, message: letter }))
    }

    /// How output is delivered; holds for what is emitted after this, behind what waits already.
    pub(super) fn set_delivery(&self, delivery: Delivery) {
        self.lock().outbox.set_delivery(delivery);
    }

    /// Whether the task should take no more input before a commit.
    pub(super) fn is_full(&self) -> bool {
        self.lock().outbox.is_full()
    }

    /// Whether something waits for the next record, and holds up what follows.
    pub(super) fn wants_commit(&self) -> bool {
        self.lock().outbox.wants_commit()
    }

    /// Whether something sealed waits for room in its queue.
    pub(super) fn has_sealed(&self) -> bool {
        self.lock().outbox.has_sealed()
    }

    /// Whether output waits for a record, or for room.
    pub(super) fn holds_output(&self) -> bool {
        self.lock().outbox.holds_some()
    }

    /// Whether all that records hold is in its queues.
    pub(super) fn has_appended_all(&self) -> bool {
        self.lock().outbox.has_appended_all()
    }

    /// Whether there is something that the next commit should hold, since the last call or still.
    pub(super) fn take_changed(&self) -> bool {
        let mut inner = self.lock();
        std::mem::take(&mut inner.changed) || inner.outbox.has_new()
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
        self.lock().outbox.seal(n);
    }

    /// Appends what is sealed, as far as there is room.
    pub(super) fn append_sealed(&self) -> Appended {
        self.lock().outbox.append_sealed()
    }

    /// Back to the newest written record: what was entered since is void.
    pub(super) fn roll_back(&self) {
        self.set_course(None);
        let mut inner = self.lock();
        inner.course = Course::default();
        inner.generation += 1;
        inner.listed.clear();
        inner.outbox.roll_back();
    }

    /// Once a second: gives back lanes that are idle.
    pub(super) fn tidy(&self, now: Instant) {
        self.lock().outbox.tidy(now);
    }

    /// Gives the lanes back. What is handled after this is void: the last record lists it, or the inputs are taken
    /// again.
    pub(super) fn release(&self) {
        self.consequences.iter().for_each(Consequences::release);
        let mut inner = self.lock();
        inner.generation += 1;
        inner.outbox.release();
        inner.memory.clear();
        inner.latest = None;
    }
}

impl Inner {
    fn snapshot(&mut self, record: &mut Record) {
        self.outbox.snapshot(record);
        let entry = |(task, message): &(TaskName, Message)| {
            // What cannot be encoded was refused before it was listed.
            let body = message.encoded().ok()?.clone();
            Some(PendingEntry { task: task.clone(), stamp: message.stamp(), body })
        };
        record.pending = self.listed.values().filter_map(entry).collect();
    }

    fn list(&mut self, ledger: &Arc<Ledger>, task: &TaskName, message: &Message, key: u64) -> Listing {
        let id = self.next;
        self.next += 1;
        self.listed.insert(id, (task.clone(), message.clone()));
        Listing { ledger: ledger.clone(), id, generation: self.generation, key }
    }

    fn strike_off(&mut self, done: &Listing, owner: &Notify) {
        self.listed.remove(&done.id);
        if !std::mem::replace(&mut self.changed, true) {
            owner.notify_one();
        }
    }

    fn put_in(&mut self, queue: QueueName, message: Message, entered: &mut Entered) {
        match self.put(&queue, &message) {
            Put::Settled => {}
            Put::Waits => entered.waits = true,
            Put::Never(reason) => entered.refused.push(Refused { queue, message, reason }),
        }
    }

    fn put(&mut self, queue: &QueueName, message: &Message) -> Put {
        match message.encode_to(&mut self.scratch) {
            Ok(body) => self.outbox.put(queue, message.stamp(), body),
            Err(error) => Put::Never(error.to_string()),
        }
    }
}

/// The letter about a copy on which processes ended.
fn poisonous(task: &TaskName, message: &Message) -> Message {
    let reason = dead::poison();
    tracing::error!(task = task.as_str(), "{task}: a message goes to `dead`: {reason}");
    dead::letter(message, task.as_str(), &reason)
}

impl Listing {
    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// A handler is called with the copy: until what is returned is dropped, the end of the process counts against it.
    pub(super) fn begin(&self) -> Option<Consequence<'_>> {
        self.ledger.consequences.as_ref()?.begin(self.key)
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
