//! Opening a lane that has files, and giving back what an idle one has.

use std::io;
use std::time::{Duration, Instant};

use super::super::error::Error;
use super::super::map::PAGE;
use super::super::recovery;
use super::super::segment::{self, SMALLEST, Segment, SegmentFault, lane_directory};
use super::super::settings::Fsync;
use super::{LaneWriter, aside_name};

/// When a drained lane gives its files back.
pub(in super::super) const IDLE: Duration = Duration::from_secs(10);

impl LaneWriter {
    /// Takes stock of the segments there are. What was prepared and not published is used, or removed.
    pub(super) fn open_segments(&mut self) -> io::Result<()> {
        self.queue.directory.remove(&format!("{}/.new", lane_directory(self.at)))?;
        for base in segment::bases(&self.queue.directory, self.at)? {
            if base > self.mark.position {
                self.set_aside(base)?;
                continue;
            }
            match Segment::open(&self.queue.directory, self.at, self.id, base) {
                Ok(segment) => self.old.push_back(segment),
                Err(SegmentFault::Missing) => {}
                Err(SegmentFault::Bad(_)) if base == self.mark.position => self.remove_file(base)?,
                // The consumer meets it too, if it is not finished, moves it aside and reports it.
                Err(SegmentFault::Bad(_)) => {}
                Err(SegmentFault::Io(error)) => return Err(error),
            }
        }
        let whole = self.old.back().is_some_and(|last| {
            last.offset(self.mark.position).is_some() && self.slot().abandoned() != Some(last.base.position)
        });
        if whole {
            self.current = self.old.pop_back();
            self.settle_count();
        }
        failpoint!("recovery.segments_opened");
        self.remove_finished(usize::MAX)?;
        self.segment_end_count = u64::MAX;
        Ok(())
    }

    /// A writer that was killed while it published may have left a count that is ahead of its position: there is a whole
    /// record behind the lane's end then, and what is before it is counted anew.
    fn settle_count(&mut self) {
        let Some(current) = &self.current else { return };
        if !recovery::holds_record(current, self.id, self.mark.position) {
            return;
        }
        let counted = recovery::walk(current, self.id, current.base, self.mark.position).end;
        if counted.position == self.mark.position {
            self.mark = counted;
            self.slot().publish_written(counted);
        }
    }

    /// A segment beyond the lane's end belongs to an index that is no more.
    fn set_aside(&self, base: u64) -> io::Result<()> {
        let aside = aside_name(self.at, base);
        tracing::error!(
            "queue {}: segment {base:016x} of lane {} lies beyond the lane's end; it was moved to {aside}",
            self.queue.name,
            self.at + 1
        );
        self.queue.directory.make_directory("aside")?;
        self.queue.directory.rename(&segment::path(self.at, base), &aside)
    }

    /// Once a second: `fsync: interval`, and a lane that is drained and idle gives its files back.
    pub(in super::super) fn tidy(&mut self, now: Instant) -> Result<(), Error> {
        let synced = if self.queue.index.fsync() == Fsync::Interval { self.sync() } else { Ok(()) };
        synced.and_then(|()| self.give_back(now)).map_err(|source| self.error(source))
    }

    /// Bytes of the pages that were written since this was last asked, as the kernel counts them: a page that is
    /// dirty already costs nothing, and so no more than is mapped. Its page of the index is not counted.
    pub(in super::super) fn take_written(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.counted, self.mark.position);
        let appended = self.mark.position.saturating_sub(before);
        let mapped: usize = self.old.iter().chain(&self.current).map(Segment::capacity).sum();
        appended.next_multiple_of(PAGE as u64).min(mapped as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(current) = self.current.as_ref().filter(|_| self.synced < self.mark.position) else { return Ok(()) };
        current.sync(self.synced.max(current.base.position), self.mark.position)?;
        self.queue.index.sync_slot(self.at)?;
        self.synced = self.mark.position;
        Ok(())
    }

    fn give_back(&mut self, now: Instant) -> io::Result<()> {
        let drained = self.slot().finished().position >= self.mark.position;
        match self.idle {
            (position, Some(since)) if drained && position == self.mark.position => {
                if now.saturating_duration_since(since) < IDLE {
                    return Ok(());
                }
            }
            _ => {
                self.idle = (self.mark.position, drained.then_some(now));
                return Ok(());
            }
        }
        self.remove_files()
    }

    /// At once, where the lane is drained: false where it is not. For a lane that was opened for nothing else.
    pub(in super::super) fn give_back_if_drained(&mut self) -> Result<bool, Error> {
        if self.slot().finished().position < self.mark.position {
            return Ok(false);
        }
        self.remove_files().map_err(|source| self.error(source))?;
        Ok(true)
    }

    /// Removes the files of a drained lane, but the one that holds its last tag.
    fn remove_files(&mut self) -> io::Result<()> {
        self.remove_finished(usize::MAX)?;
        if self.current.as_ref().is_some_and(|current| Some(current.base.position) != self.tagged) {
            let current = self.current.take().expect("it was just looked at");
            // The consumer has it open, and looks there for what comes next.
            current.write_end(self.mark.position);
            failpoint!("segment.idle_ended");
            self.remove_file(current.base.position)?;
            (self.capacity, self.rolled) = (SMALLEST, None);
        }
        Ok(())
    }
}
