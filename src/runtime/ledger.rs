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

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::dead;
use super::outbox::{Appended, Outbox, Put};
use super::sent::Sent;
use crate::config::Delivery;
use crate::message::Message;
use crate::name::{QueueName, TaskName};
use crate::store::{PendingEntry, Record};
use crate::transit::Transit;

/// One stateful task's list, outbox and lanes.
pub(super) struct Ledger {
    inner: Mutex<Inner>,
    /// Wakes the task's own actor: what a neighbour handled is to be committed.
    owner: Arc<Notify>,
}

struct Inner {
    /// Raised by a rollback: listings of before are void.
    generation: u64,
    next: u64,
    listed: BTreeMap<u64, (TaskName, Message)>,
    outbox: Outbox,
    /// Neighbours have handled something since the owner looked.
    changed: bool,
}

/// One listed copy.
pub(super) struct Listing {
    ledger: Arc<Ledger>,
    id: u64,
    generation: u64,
}

/// What an activation emitted to the transit.
pub(super) struct Output {
    pub(super) queue: QueueName,
    pub(super) message: Message,
}

/// What became of an activation that entered.
#[derive(Default)]
pub(super) struct Entered {
    /// Its copies' listings, in order; none if the activation was void.
    pub(super) listings: Vec<Listing>,
    /// Whether some of its output waits for a record, or for room.
    pub(super) waits: bool,
    /// Output that not even `dead` takes, with the reason.
    pub(super) refused: Vec<(Output, String)>,
}

impl Ledger {
    /// The ledger of a task that goes on from `record`; what of its outbox is not in the lanes yet is sealed.
    pub(super) fn open(transit: Transit, task: TaskName, record: &Record, sent: &Sent, owner: Arc<Notify>) -> Self {
        let outbox = Outbox::open(transit, task, record, sent);
        let inner = Inner { generation: 0, next: 0, listed: BTreeMap::new(), outbox, changed: false };
        Self { inner: Mutex::new(inner), owner }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters all that one activation emitted, and takes the copy that it handled (`done`) off the list.
    pub(super) fn enter(
        self: &Arc<Self>,
        done: Option<&Listing>,
        copies: &[(TaskName, Message)],
        output: Vec<Output>,
    ) -> Entered {
        let mut inner = self.lock();
        let mut entered = Entered::default();
        if done.is_some_and(|listing| listing.generation != inner.generation) {
            return entered;
        }
        for output in output {
            match inner.put(&output) {
                Put::Settled => {}
                Put::Waits => entered.waits = true,
                Put::Never(reason) => entered.refused.push((output, reason)),
            }
        }
        for (task, message) in copies {
            let id = inner.next;
            inner.next += 1;
            inner.listed.insert(id, (task.clone(), message.clone()));
            entered.listings.push(Listing { ledger: self.clone(), id, generation: inner.generation });
        }
        if let Some(done) = done {
            inner.listed.remove(&done.id);
            if !std::mem::replace(&mut inner.changed, true) {
                self.owner.notify_one();
            }
        }
        entered
    }

    /// Enters a letter for `dead` about what was not handled, and takes the copy of which it tells off the list.
    pub(super) fn bury(self: &Arc<Self>, done: Option<&Listing>, letter: Message) -> Entered {
        self.enter(done, &[], vec![Output { queue: dead::queue(), message: letter }])
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
        let mut inner = self.lock();
        inner.generation += 1;
        inner.listed.clear();
        inner.outbox.roll_back();
    }

    /// Gives the lanes back. What is handled after this is void: the last record lists it, or the inputs are taken
    /// again.
    pub(super) fn release(&self) {
        let mut inner = self.lock();
        inner.generation += 1;
        inner.outbox.release();
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

    fn put(&mut self, output: &Output) -> Put {
        match output.message.encoded() {
            Ok(body) => self.outbox.put(&output.queue, output.message.stamp(), body.clone()),
            Err(error) => Put::Never(error.to_string()),
        }
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
        self.ledger.enter(Some(&self), &[], Vec::new());
    }
}
