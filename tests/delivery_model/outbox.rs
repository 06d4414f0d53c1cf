//! What of a stateful task's output is not on its lanes yet.
//!
//! ```text
//! activation ─► waits ──snapshot──► in record n, under way ──written──► sealed in n ──room──► lane
//!                                              ▲                            │
//!                                              └─ n + 1: carried over ──────┘ no room until the next commit
//! ```
//!
//! Invariant: each queue keeps its order, and a queue that is full holds up no other.
//!
//! # Overflow that diverts
//!
//! Output may go to `dead` when its queue is full, and that queue has room again a moment later. Then no tag says
//! what became of an entry: the target's last tag covers what was never there, and `dead` drops its oldest, or a
//! reader gave the room back, so that a tag which is not found says nothing. The rule that makes it exact:
//!
//! **Only a record diverts.** Where an entry goes is settled when a record is formed: at the snapshot the task looks
//! at the room, and an entry of a queue that is full and diverts gets `dead` as its target, in that record. A sealed
//! entry goes where its record says or nowhere; if it finds no room after all it waits, and the next record may
//! carry it over to `dead`. Then an entry in `dead` is an entry like any other: tags of `dead`'s lane ascend, its last
//! tag covers what that record sent there, and no search is needed. Which of the waiting entries are diverted is
//! free, as is changing one's mind between two records, but not between two looks at one record.
//! At least once, output may be diverted at once, with the tag that it would bear in its queue.

use std::collections::VecDeque;

use crate::commit::{Commit, Entry};
use crate::lane::{Queue, Tag};
use crate::rules::Rule;
use crate::world::World;

/// More than this, and the task takes no input: few, so that it is full now and then.
const OUTBOX: usize = 12;

/// The outbox in memory; what survives a crash is the record.
#[derive(Debug)]
pub(crate) struct Outbox {
    epoch: u64,
    /// The newest record that is known to be written, and the last index given with it.
    n: u32,
    index: u32,
    /// What record `n` holds and its lanes lack, then what came since its snapshot.
    entries: VecDeque<Entry>,
    /// How many at the front are sealed in record `n`.
    sealed: usize,
    /// How many at the front were there at the snapshot of the record that is being written.
    snapshot: usize,
    /// How many entries that record holds.
    coming: u32,
}

impl Outbox {
    /// The outbox of a task that goes on from `commit`, of which `unsent` are on no lane.
    pub(crate) fn open(commit: &Commit, unsent: VecDeque<Entry>) -> Self {
        let (sealed, index) = (unsent.len(), count(&commit.outbox));
        let (epoch, n) = (commit.epoch, commit.n);
        Self { epoch, n, index, entries: unsent, sealed, snapshot: 0, coming: 0 }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= OUTBOX
    }

    pub(crate) fn has_sealed(&self) -> bool {
        self.sealed > 0
    }

    /// What the next record takes with it: what is left of the last one's outbox, then what waited, numbered anew.
    pub(crate) fn snapshot(&mut self, world: &mut World) -> Vec<Entry> {
        let left_behind = if world.has(Rule::CarriedOver) { 0 } else { self.sealed };
        for (entry, index) in self.entries.iter_mut().skip(left_behind).zip(1..) {
            let diverts = world.has(Rule::OnlyARecordDiverts) && world.diverts(entry.target);
            entry.coming_target = if diverts && world.random.happens(700) { Queue::Dead } else { entry.target };
            entry.coming = index;
            if !world.has(Rule::NumberedWhenWritten) {
                entry.index = index;
            }
        }
        let recorded = |entry: &Entry| Entry { index: entry.coming, target: entry.coming_target, ..*entry };
        let outbox: Vec<_> = self.entries.iter().skip(left_behind).map(recorded).collect();
        (self.snapshot, self.coming) = (self.entries.len(), count(&outbox));
        outbox
    }

    /// Record `n` is known to be written: its numbers hold, and what it holds may be appended.
    pub(crate) fn seal(&mut self, n: u32) {
        for entry in self.entries.iter_mut().take(self.snapshot) {
            (entry.index, entry.target) = (entry.coming, entry.coming_target);
        }
        (self.n, self.index) = (n, self.coming);
        (self.sealed, self.snapshot) = (self.snapshot, 0);
    }

    /// Back to record `n`: what came since its snapshot is void.
    pub(crate) fn roll_back(&mut self) {
        self.entries.truncate(self.sealed);
        self.snapshot = 0;
    }

    /// The places of what may be appended: of each queue the first that is sealed. A record that is being written, or
    /// whose write failed, counts on what the lanes lack.
    pub(crate) fn appendable(&self, world: &World) -> Vec<usize> {
        if self.snapshot > 0 && world.has(Rule::NothingAppendedWhileWriting) {
            return Vec::new();
        }
        let is_first = |place: &usize| {
            let queue = self.queue(*place);
            (0..*place).all(|before| self.queue(before) != queue)
        };
        (0..self.sealed).filter(is_first).collect()
    }

    pub(crate) fn queue(&self, place: usize) -> Queue {
        self.entries[place].target
    }

    /// Takes out what is sealed at `place`, with its tag.
    pub(crate) fn remove(&mut self, place: usize) -> (Entry, Tag) {
        let entry = self.entries.remove(place).expect("the place is one of those that may be appended");
        self.sealed -= 1;
        self.snapshot = self.snapshot.saturating_sub(1);
        (entry, Tag { epoch: self.epoch, n: self.n, index: entry.index })
    }

    /// The tag of what goes out at once.
    pub(crate) fn direct_tag(&mut self, world: &World) -> Tag {
        self.index += 1;
        match world.has(Rule::DirectTag) {
            true => Tag { epoch: self.epoch, n: self.n, index: self.index },
            false => Tag { epoch: self.epoch, n: self.n + 1, index: self.index },
        }
    }
}

fn count(outbox: &[Entry]) -> u32 {
    u32::try_from(outbox.len()).expect("a short outbox")
}
