//! The writing end of a lane: where the next record goes, and which segments there are.
//!
//! ```text
//! append:  closed? ── yes ─▶ Replaced: the sender opens the files that the path names now
//!          room by the ceilings? ── no ─▶ count what all lanes hold; full: overflow decides
//!          segment with room? ── no ─▶ roll: end mark; recycle a finished segment or make one
//!          copy in, publish, announce, ring
//! ```
//!
//! Invariant: whoever has a `LaneWriter` holds the lane's lock. What is beyond the published position is its own.
//!
//! Invariant: a segment is recycled or removed only when its end is finished; `drop_oldest` publishes that it drops
//! before it removes, and never recycles: a reader may still be copying out of it.

mod keeping;
mod room;

pub(super) use keeping::IDLE;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{AppendError, Error};
use super::follows::Follows;
use super::index::Ringing;
use super::open::Inner;
use super::protocol::{Mapped, Mark, announce};
use super::queue::Queue;
use super::record::{self, Head, Outgoing, padded};
use super::recovery;
use super::ring::Ringer;
use super::segment::{self, LARGEST, SMALLEST, Segment, lane_directory};
use super::settings::{Fsync, Overflow};
use super::slot::{LaneId, Slot};
use crate::name::LaneName;

/// A segment that was filled faster than this is followed by one twice as long: so making or recycling one, which
/// takes some 20 µs, stays well under a hundredth of the work, and slow lanes keep small files.
const FAST: Duration = Duration::from_millis(4);
/// How many finished segments are kept for recycling: the reader finishes in batches, so a few may come at once.
const SPARES: usize = 2;
/// With more segments than this waiting to be read the next one is longer too: so the bound is some twenty files.
const BACKLOG: usize = 4;

/// Why an append stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The queue's files were replaced.
    Replaced,
    /// See there.
    Refused(AppendError),
}

impl<E: Into<AppendError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// The writing end of a lane.
#[derive(Debug)]
pub(super) struct LaneWriter {
    queue: Arc<Queue>,
    at: usize,
    id: LaneId,
    /// Published up to here.
    mark: Mark,
    current: Option<Segment>,
    /// Earlier segments, oldest first.
    old: VecDeque<Segment>,
    /// Up to here there is room as of the last count.
    ceiling: Mark,
    /// At this count a segment ends, however long it is.
    segment_end_count: u64,
    capacity: usize,
    rolled: Option<Instant>,
    keeps_tags: bool,
    /// The base of the segment with the last tag: it stays.
    tagged: Option<u64>,
    ringer: Ringer,
    synced: u64,
    /// Up to here it is counted what was written.
    counted: u64,
    idle: (u64, Option<Instant>),
}

impl LaneWriter {
    /// Opens the lane in slot `at`, whose lock the caller holds.
    pub(super) fn open(queue: Arc<Queue>, at: usize, name: &LaneName) -> Result<Self, Error> {
        let slot = queue.index.slot(at);
        let (id, mark) = (slot.id(), slot.written());
        if !mark.position.is_multiple_of(8) || mark.position > u64::MAX / 2 {
            let reason = format!("lane {name} is written to {:#x}, which is no position", mark.position);
            return Err(Error::Damaged { path: queue.directory.path_of("index"), reason });
        }
        let keeps_tags = matches!(name, LaneName::Task(_));
        let tagged =
            if keeps_tags { recovery::last_tag(&queue.directory, at, slot)?.map(|(base, _)| base) } else { None };
        let mut writer = Self {
            at,
            id,
            mark,
            current: None,
            old: VecDeque::new(),
            ceiling: Mark::default(),
            segment_end_count: 0,
            capacity: SMALLEST,
            rolled: None,
            keeps_tags,
            tagged,
            ringer: Ringer::new(),
            synced: mark.position,
            counted: mark.position,
            idle: (mark.position, None),
            queue,
        };
        writer.open_segments().map_err(|source| writer.error(source))?;
        Ok(writer)
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    pub(super) fn slot_number(&self) -> usize {
        self.at
    }

    pub(super) fn id(&self) -> LaneId {
        self.id
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// Whether nothing of the lane waits to be handled.
    pub(super) fn is_finished(&self) -> bool {
        self.slot().held().position == 0
    }

    /// How many messages of the lane wait to be handled.
    pub(super) fn unfinished(&self) -> u64 {
        self.slot().held().count
    }

    /// What is appended from now on is taken after what `lane` holds up to `to`; false where that cannot be promised.
    pub(super) fn follow(&self, lane: LaneId, to: u64) -> bool {
        Follows::order(&self.queue, self.at, self.mark.position, lane, to)
    }

    /// Asks for a ring when no more than `most` messages of the lane wait to be handled; false when it is so already.
    pub(super) fn await_finished(&self, most: u64, ringing: Ringing) -> bool {
        let count = self.mark.count.saturating_sub(most);
        count > 0 && self.slot().await_finished(count, ringing)
    }

    /// Whether it asked for a ring that did not come yet.
    pub(super) fn awaits_ring(&self) -> bool {
        self.slot().is_awaited()
    }

    /// Appends a record, and rings for the consumer if it sleeps.
    #[inline]
    pub(super) fn append(&mut self, transit: &Inner, out: &Outgoing<'_>) -> Result<(), Stop> {
        if self.queue.index.is_closed() {
            return Err(Stop::Replaced);
        }
        let size = padded(record::length(out));
        let above = self.mark.count >= self.ceiling.count || self.mark.position + size as u64 > self.ceiling.position;
        if above || !self.current_takes(size) {
            self.make_room(size, out.body.len())?;
            if !self.current_takes(size) {
                self.roll(size)?;
            }
        }
        let current = self.current.as_mut().expect("roll leaves a segment to write to");
        current.write(self.mark.position, Head::new(out, self.id.0, self.mark.position).as_bytes(), out.body);
        if self.keeps_tags && out.tag.is_some() {
            self.tagged = Some(current.base.position);
        }
        failpoint!("append.copied");
        let end = Mark { position: self.mark.position + size as u64, count: self.mark.count + 1 };
        if self.queue.index.fsync() == Fsync::Always {
            self.append_through(end)?;
        }
        self.publish(transit, end);
        Ok(())
    }

    #[inline]
    fn publish(&mut self, transit: &Inner, end: Mark) {
        let index = &self.queue.index;
        index.slot(self.at).publish_written(end);
        failpoint!("append.published");
        self.mark = end;
        if announce::<Mapped>(&index.bits()[self.at / 64], 1 << (self.at % 64), index.sleeping()) {
            self.ringer.ring(transit, index);
        }
    }

    /// `fsync: always`: the segment first, then the index, then the consumer and the caller hear of it.
    fn append_through(&mut self, end: Mark) -> Result<(), Stop> {
        let current = self.current.as_ref().expect("a record was just written to it");
        current.sync(self.mark.position, end.position).map_err(|source| self.error(source))?;
        self.slot().publish_written(end);
        // From here on it is in the lane, whatever the disk says of the index: it is not written over.
        self.mark = end;
        self.queue.index.sync_slot(self.at).map_err(|source| self.error(source))?;
        self.synced = end.position;
        Ok(())
    }

    #[inline]
    fn current_takes(&self, size: usize) -> bool {
        self.current.as_ref().is_some_and(|current| {
            current.fits(self.mark.position, size)
                && self.mark.count < self.segment_end_count
                && self.slot().abandoned() != Some(current.base.position)
        })
    }

    /// Ends the current segment and goes on in another, with room for a padded record of `size` bytes.
    fn roll(&mut self, size: usize) -> Result<(), Stop> {
        if self.queue.is_replaced() {
            return Err(Stop::Replaced);
        }
        let settings = self.queue.index.settings();
        self.end_current(settings.fsync).map_err(|source| self.error(source))?;
        failpoint!("segment.ended");
        self.segment_end_count = match settings.overflow {
            // Small steps, for a whole segment is dropped at once.
            Overflow::DropOldest => self.mark.count + (settings.max_messages / 4).max(1),
            _ => u64::MAX,
        };
        let now = Instant::now();
        if self.old.len() > BACKLOG || self.rolled.is_some_and(|rolled| now - rolled < FAST) {
            self.capacity *= 2;
        }
        let quarter = usize::try_from(settings.max_bytes / 4).unwrap_or(LARGEST) / 4096 * 4096;
        self.capacity = self.capacity.min(quarter.clamp(4096, LARGEST));
        let capacity = segment::capacity(size, self.capacity);
        let next = self.next_segment(capacity, size).map_err(|source| self.error(source))?;
        self.current = Some(next);
        self.rolled = Some(now);
        Ok(())
    }

    fn end_current(&mut self, fsync: Fsync) -> io::Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        if current.base.position == self.mark.position {
            // It holds nothing: the next one gets its name.
            return self.remove_file(current.base.position);
        }
        if self.slot().abandoned() == Some(current.base.position) {
            return Ok(());
        }
        current.write_end(self.mark.position);
        if fsync != Fsync::Never {
            current.sync(current.base.position, u64::MAX)?;
        }
        self.old.push_back(current);
        Ok(())
    }

    fn next_segment(&mut self, capacity: usize, size: usize) -> io::Result<Segment> {
        if let Some(mut spare) = self.remove_finished(capacity)?
            && spare.recycle(&self.queue.directory, self.at, self.id, self.mark).is_ok()
        {
            return Ok(spare);
        }
        self.queue.directory.make_directory(&lane_directory(self.at))?;
        let create = |capacity| Segment::create(&self.queue.directory, self.at, self.id, self.mark, capacity);
        // On a disk that is nearly full the smallest that will do may still be had.
        let made = create(capacity).or_else(|_| create(segment::capacity(size, 4096)))?;
        if self.queue.index.fsync() != Fsync::Never {
            self.queue.directory.sync(&lane_directory(self.at))?;
        }
        Ok(made)
    }

    /// Removes the segments whose end is finished, but for a few spare ones of `capacity`; returns one of those.
    fn remove_finished(&mut self, capacity: usize) -> io::Result<Option<Segment>> {
        let finished = self.slot().finished().position;
        let (mut spare, mut kept, mut at) = (None, 0, 0);
        while at < self.old.len() {
            let segment = &self.old[at];
            if self.end_of(at).position > finished || Some(segment.base.position) == self.tagged {
                at += 1;
            } else if segment.capacity() == capacity && spare.is_some() && kept < SPARES {
                (at, kept) = (at + 1, kept + 1);
            } else {
                let segment = self.old.remove(at).expect("the index is inside");
                if segment.capacity() == capacity && spare.is_none() {
                    spare = Some(segment);
                } else {
                    self.remove_file(segment.base.position)?;
                    failpoint!("segment.removed");
                }
            }
        }
        Ok(spare)
    }

    /// Where an earlier segment ends: at the base of the next one.
    fn end_of(&self, at: usize) -> Mark {
        let next = self.old.get(at + 1).or(self.current.as_ref());
        next.map_or(self.mark, |segment| segment.base)
    }

    fn slot(&self) -> Slot<'_> {
        self.queue.index.slot(self.at)
    }

    fn remove_file(&self, base: u64) -> io::Result<()> {
        self.queue.directory.remove(&segment::path(self.at, base))
    }

    fn error(&self, source: io::Error) -> Error {
        Error::io(&self.queue.directory.path_of(&lane_directory(self.at)), source)
    }
}

/// Where a segment goes that nobody reads on.
pub(super) fn aside_name(at: usize, base: u64) -> String {
    format!("aside/lane.{}-{base:016x}-{:08x}.seg", at + 1, super::queue::random() >> 32)
}
