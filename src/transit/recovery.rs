//! What can be told from segments alone: where a lane ends, and its last tag.
//!
//! After a boot the index may be older or newer than the segments. The write positions are then found again by
//! walking the checksums from the finished positions on. Where the walk ends before the index's position, bytes are
//! lost: the position stays, so that none is used twice, the writer goes on in a new segment, and the consumer
//! finds the gap and reports it.

use super::directory::Directory;
use super::error::Error;
use super::protocol::Mark;
use super::queue::Queue;
use super::record::{self, Decoded, Tag};
use super::segment::{self, Segment, SegmentFault};
use super::slot::{LaneId, Slot};
use crate::message::Stamp;

/// How often a lane is looked at whose first record was finished, and its segment removed, in between.
const LOOKS: usize = 3;

/// How a walk through a segment ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// Behind the last good record.
    pub(super) end: Mark,
    /// The last tag on the way.
    pub(super) last_tag: Option<Tag>,
}

/// Reads the records of a segment from `from` on, up to position `to`, or to the first that is not good.
pub(super) fn walk(segment: &Segment, lane: LaneId, from: Mark, to: u64) -> Walk {
    let mut walk = Walk { end: from, last_tag: None };
    let mut bytes = Vec::new();
    while walk.end.position < to {
        let Some(decoded) = read(segment, lane, walk.end.position, &mut bytes) else { break };
        walk.last_tag = decoded.tag.or(walk.last_tag);
        walk.end.position += record::padded(decoded.length) as u64;
        walk.end.count += 1;
    }
    walk
}

/// Whether a good record stands at a position.
pub(super) fn holds_record(segment: &Segment, lane: LaneId, position: u64) -> bool {
    read(segment, lane, position, &mut Vec::new()).is_some()
}

/// Copies out and checks the record at a position; nothing where there is no good one.
fn read(segment: &Segment, lane: LaneId, position: u64, bytes: &mut Vec<u8>) -> Option<Decoded> {
    let offset = segment.offset(position)?;
    let length = usize::try_from(segment.length_at(offset)?).ok()?;
    if length > segment.capacity() - offset {
        return None;
    }
    bytes.clear();
    segment.copy_out(offset, length, bytes);
    record::decode(bytes, lane.0, position)
}

/// The stamp of the first record of a lane that is neither finished nor dropped. Nothing where there is none, or
/// where the lane goes on too fast to be looked at.
pub(super) fn first_unfinished(directory: &Directory, at: usize, slot: Slot<'_>) -> Option<Stamp> {
    (0..LOOKS).find_map(|_| {
        let position = slot.finished().position.max(slot.dropped().position);
        if position >= slot.written().position {
            return None;
        }
        let base = segment::bases(directory, at).ok()?.into_iter().rev().find(|base| *base <= position)?;
        let segment = Segment::open(directory, at, slot.id(), base).ok()?;
        // Its checksum covers lane and position: what took its place meanwhile does not pass for it.
        Some(read(&segment, slot.id(), position, &mut Vec::new())?.stamp)
    })
}

/// The last tag that a lane's segments hold, with the base of the segment that holds it.
pub(super) fn last_tag(directory: &Directory, at: usize, slot: Slot<'_>) -> Result<Option<(u64, Tag)>, Error> {
    let written = slot.written().position;
    for base in bases(directory, at)?.into_iter().rev().filter(|base| *base <= written) {
        let segment = match Segment::open(directory, at, slot.id(), base) {
            Ok(segment) => segment,
            // The consumer meets it too, moves it aside and reports it.
            Err(SegmentFault::Missing | SegmentFault::Bad(_)) => continue,
            Err(SegmentFault::Io(source)) => {
                return Err(Error::io(&directory.path_of(&segment::path(at, base)), source));
            }
        };
        if let Some(tag) = walk(&segment, slot.id(), segment.base, written).last_tag {
            return Ok(Some((base, tag)));
        }
    }
    Ok(None)
}

/// Finds every lane's write position again.
pub(super) fn after_boot(queue: &Queue) -> Result<(), Error> {
    for at in 0..queue.index.slots() {
        let slot = queue.index.slot(at);
        if slot.name().is_some() {
            find_end(queue, at, slot)?;
            failpoint!("recovery.lane_walked");
        }
    }
    Ok(())
}

fn find_end(queue: &Queue, at: usize, slot: Slot<'_>) -> Result<(), Error> {
    let written = slot.written();
    let mut end = slot.finished();
    let mut last_base = None;
    let all = bases(&queue.directory, at)?;
    let first = all.iter().rposition(|base| *base <= end.position).unwrap_or(0);
    for base in &all[first.min(all.len())..] {
        let segment = match Segment::open(&queue.directory, at, slot.id(), *base) {
            Ok(segment) => segment,
            Err(SegmentFault::Missing | SegmentFault::Bad(_)) => continue,
            Err(SegmentFault::Io(source)) => {
                return Err(Error::io(&queue.directory.path_of(&segment::path(at, *base)), source));
            }
        };
        // A segment that begins behind the end reached so far means a gap; the consumer jumps it likewise.
        let from = if *base > end.position { segment.base } else { end };
        end = walk(&segment, slot.id(), from, u64::MAX).end;
        last_base = Some(*base);
    }
    if end.position >= written.position {
        slot.publish_written(end);
    } else {
        tracing::error!(
            "queue {}: after a reboot lane {} of it ends at {}, where {} was written; what lies between is lost",
            queue.name,
            at + 1,
            end.position,
            written.position
        );
        if let Some(base) = last_base {
            slot.abandon(base);
        }
    }
    Ok(())
}

fn bases(directory: &Directory, at: usize) -> Result<Vec<u64>, Error> {
    segment::bases(directory, at).map_err(|source| Error::io(&directory.path_of(&segment::lane_directory(at)), source))
}
