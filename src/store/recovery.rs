//! Which record a task goes on from, and what becomes of the files that hold no good one.
//!
//! ```text
//! order: the epoch of the newest whole slot first (without a whole slot, that of NAME.state), newest n first;
//!        then records of other epochs, slots first, newest n first. The first that the task's check takes is taken.
//!
//! a file that is        taken none        taken one
//!   damaged, refused    left              moved aside
//!   torn                left              left: its turn to be overwritten is next
//!   of another epoch    left              moved aside, unless its n is one less than the taken one's
//!   whole and older     -                 left
//! ```
//!
//! A *torn* slot is what a kill or a full disk in the middle of a write leaves: the one whose turn it was, and
//! right after the newest whole record. Nothing that counts was in it: a record's output goes out only after it is
//! written. A *damaged* one may have been the newest, and its output may have gone out.

use std::fmt;
use std::path::PathBuf;

use super::encoding::Header;
use super::error::RecordFault;
use super::record::Record;

/// What recovery found.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one, for a moment, when a task starts")]
pub enum Recovered {
    /// There is no file: the task never had a record.
    Fresh,
    /// The record to go on from.
    Taken(Taken),
}

/// The record that a task goes on from.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The newest good one.
    pub record: Record,
    /// The file it was in.
    pub from: PathBuf,
    /// What was wrong with other files; each is worth a line of log.
    pub aside: Vec<Aside>,
}

impl Taken {
    /// Whether a record that was newer may be lost. What it caused has happened: inputs since the taken record may
    /// be missing, and what is emitted from here on must bear a new epoch (see [`new_epoch`](super::new_epoch)),
    /// lest its tags be taken for those of the lost record.
    #[must_use]
    pub fn rolled_back(&self) -> bool {
        self.aside.iter().any(|aside| match aside.reason {
            AsideReason::Torn(_) | AsideReason::OtherEpoch { .. } => false,
            AsideReason::Damaged(_) | AsideReason::Refused(_) => aside.n.is_none_or(|n| n > self.record.n),
        })
    }
}

/// A file whose record was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// The file.
    pub path: PathBuf,
    /// Where it is now, if it was moved.
    pub moved_to: Option<PathBuf>,
    /// The number of its record, where its header can be read.
    pub n: Option<u64>,
    /// What is wrong with it.
    pub reason: AsideReason,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AsideReason {
    /// The write of it was broken off, by a kill or a full disk. That is no damage: nothing is lost.
    Torn(RecordFault),
    /// It holds no whole record.
    Damaged(RecordFault),
    /// The task's own check does not take it, for this reason.
    Refused(String),
    /// It is whole, but of another history than the record that was taken: it was put there.
    OtherEpoch {
        /// Its epoch.
        epoch: u64,
    },
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.reason {
            AsideReason::Torn(fault) => write!(f, "its last write was broken off ({fault})")?,
            AsideReason::Damaged(fault) => write!(f, "{fault}")?,
            AsideReason::Refused(reason) => write!(f, "the task refuses it: {reason}")?,
            AsideReason::OtherEpoch { epoch } => write!(f, "it is of another history (epoch {epoch:016x})")?,
        }
        self.moved_to.as_ref().map_or(Ok(()), |path| write!(f, "; it is kept as {}", path.display()))
    }
}

/// One of a task's three files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Slot0,
    Slot1,
    Checkpoint,
}

impl Place {
    pub(super) const ALL: [Self; 3] = [Self::Slot0, Self::Slot1, Self::Checkpoint];

    /// The slot whose turn it is with record `n`.
    pub(super) fn of(n: u64) -> Self {
        if n.is_multiple_of(2) { Self::Slot0 } else { Self::Slot1 }
    }

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Slot0 => ".state.0",
            Self::Slot1 => ".state.1",
            Self::Checkpoint => ".state",
        }
    }
}

/// What a file that exists holds.
#[derive(Debug)]
pub(super) enum Content {
    Whole(Record),
    Bad { header: Option<Header>, fault: RecordFault },
}

/// A file that exists.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) path: PathBuf,
    pub(super) content: Content,
}

/// What was decided: none of it is done yet.
#[derive(Debug)]
pub(super) struct Choice {
    /// The record to go on from, and its file.
    pub(super) taken: Option<WholeFile>,
    /// What was wrong with other files, and whether each is to be moved.
    pub(super) aside: Vec<(Aside, bool)>,
    /// The epoch of the record in `NAME.state`; none where no good one stays there.
    pub(super) checkpoint_epoch: Option<u64>,
}

/// Chooses among the files that were found.
pub(super) fn choose(found: Vec<Found>, check: &mut dyn FnMut(&Record) -> Result<(), String>) -> Choice {
    let (mut whole, bad) = split(found);
    sort(&mut whole);
    let newest = whole.first().map(|(_, _, record)| record.n);
    let mut choice = Choice { taken: None, aside: Vec::new(), checkpoint_epoch: None };
    for (place, path, record) in whole {
        let (epoch, n) = (record.epoch, record.n);
        let reason = match &choice.taken {
            Some((_, _, taken)) if taken.epoch == epoch || n.checked_add(1) == Some(taken.n) => None,
            Some(_) => Some(AsideReason::OtherEpoch { epoch }),
            None => check(&record).err().map(AsideReason::Refused),
        };
        if let Some(reason) = reason {
            choice.aside.push((Aside { path, moved_to: None, n: Some(n), reason }, true));
            continue;
        }
        if place == Place::Checkpoint {
            choice.checkpoint_epoch = Some(epoch);
        }
        choice.taken.get_or_insert((place, path, record));
    }
    choice.aside.extend(bad.into_iter().map(|bad| bad.judge(newest)));
    choice
}

pub(super) type WholeFile = (Place, PathBuf, Record);

struct BadFile {
    place: Place,
    path: PathBuf,
    header: Option<Header>,
    fault: RecordFault,
}

fn split(found: Vec<Found>) -> (Vec<WholeFile>, Vec<BadFile>) {
    let (mut whole, mut bad) = (Vec::new(), Vec::new());
    for Found { place, path, content } in found {
        match content {
            Content::Whole(record) => whole.push((place, path, record)),
            Content::Bad { header, fault } => bad.push(BadFile { place, path, header, fault }),
        }
    }
    (whole, bad)
}

/// The order in which records are tried; see the module.
fn sort(whole: &mut [WholeFile]) {
    let is_checkpoint = |place: Place| place == Place::Checkpoint;
    let lead = whole.iter().max_by_key(|(place, _, record)| (!is_checkpoint(*place), record.n));
    let epoch = lead.map(|(_, _, record)| record.epoch);
    whole.sort_by_key(|(place, _, record)| {
        let foreign = Some(record.epoch) != epoch;
        (foreign, foreign && is_checkpoint(*place), std::cmp::Reverse(record.n), is_checkpoint(*place))
    });
}

impl BadFile {
    fn judge(self, newest: Option<u64>) -> (Aside, bool) {
        let torn = newest.and_then(|n| n.checked_add(1)).is_some_and(|next| self.is_torn_write_of(next));
        let n = self.header.map(|header| header.n);
        let reason = if torn { AsideReason::Torn(self.fault) } else { AsideReason::Damaged(self.fault) };
        (Aside { path: self.path, moved_to: None, n, reason }, !torn)
    }

    /// Whether this is what a broken off write of record `next` leaves.
    fn is_torn_write_of(&self, next: u64) -> bool {
        let begun = match self.header {
            Some(header) => header.n == next,
            None => self.fault == RecordFault::Empty,
        };
        begun && self.place == Place::of(next)
    }
}
