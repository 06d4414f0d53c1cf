//! The reading end of a lane: how far it is read, and what stands in the way.
//!
//! ```text
//! visit:  dropped further than read? ── jump
//!         find the segment that holds the position ── none ─▶ jump to the next one, or to the lane's end
//!         copy out what is published, at most a visit's worth
//!         check the copy: good ─▶ deliver; end mark ─▶ next segment; bad ─▶ move the segment aside, and jump
//! ```
//!
//! Invariant: each turn of the loop in `visit` delivers, or raises the position, or leaves a segment for the one
//! that begins at the position; so it ends whatever the files hold.
//!
//! Invariant: a jump counts for `finish` as well: what was jumped is finished once what came before it is.

use std::collections::VecDeque;

use bytes::Bytes;

use super::consumer::Taken;
use super::error::Error;
use super::idle_lane::Stillness;
use super::incident::Incident;
use super::lane_writer::aside_name;
use super::open::Inner;
use super::protocol::Mark;
use super::queue::Queue;
use super::record::{self, END, padded};
use super::ring::WriterRinger;
use super::segment::{self, Segment, SegmentFault};
use super::slot::LaneId;
use super::under_way::Suspect;

/// Most records of a visit, so that other lanes get their turn.
pub(super) const VISIT_RECORDS: usize = 256;
/// Most bytes of a visit, unless a single record has more.
pub(super) const VISIT_BYTES: usize = 64 << 10;

/// The reading end of a lane.
#[derive(Debug)]
pub(super) struct LaneReader {
    pub(super) at: usize,
    pub(super) id: LaneId,
    pub(super) name: String,
    /// Read up to here.
    pub(super) read: Mark,
    /// Finished up to here, as published.
    pub(super) finished: Mark,
    suspect: Suspect,
    segment: Option<Segment>,
    /// Jumps that `finish` has not reached yet: from where, to where.
    jumps: VecDeque<(u64, Mark)>,
    pub(super) stillness: Stillness,
    /// Made where the lane's writer has waited once.
    ringer: Option<WriterRinger>,
}

/// What a copied batch came to.
enum Batch {
    Taken(usize),
    /// The records of this segment end here.
    End,
    /// The file holds another part of the lane by now; ours begins another one.
    Recycled,
    Bad,
}

impl LaneReader {
    /// The lane of slot `at`, from its finished position on; nothing where the slot holds no lane. What was under way
    /// when the consumer before ended is counted.
    pub(super) fn open(queue: &Queue, at: usize) -> Option<Self> {
        let slot = queue.index.slot(at);
        let (name, finished) = (slot.name()?.to_string(), slot.finished());
        let suspect = slot.suspect().after(slot.under_way(), finished.position);
        slot.set_suspect(suspect);
        slot.set_under_way(0);
        let (id, segment, jumps, stillness, ringer) = (slot.id(), None, VecDeque::new(), Stillness::default(), None);
        Some(Self { at, id, name, read: finished, finished, suspect, segment, jumps, stillness, ringer })
    }

    /// Lets go of the open segment; it is opened again where it is needed.
    pub(super) fn close(&mut self) {
        self.segment = None;
    }

    /// Reads on from another place.
    pub(super) fn go_to(&mut self, mark: Mark) {
        self.read = mark;
        self.segment = None;
        self.jumps.retain(|(from, _)| *from < mark.position);
    }

    /// Takes a visit's worth of messages that end at `until` at the latest: how many, and whether the lane was drained
    /// with them.
    pub(super) fn visit(
        &mut self,
        queue: &Queue,
        until: u64,
        batch: &mut Vec<Taken>,
        incidents: &mut Vec<Incident>,
    ) -> Result<(usize, bool), Error> {
        loop {
            let dropped = queue.index.slot(self.at).dropped();
            if dropped.position > self.read.position {
                self.jump(queue, dropped, true, incidents);
            }
            let written = queue.index.slot(self.at).written();
            if self.read.position >= written.position {
                return Ok((0, true));
            }
            if self.read.position >= until {
                return Ok((0, false));
            }
            if let Err(fault) = self.locate(queue) {
                self.pass(queue, fault, incidents)?;
                continue;
            }
            self.settle_count();
            match self.take(until.min(written.position), batch) {
                Batch::Taken(count) => return Ok((count, self.read.position >= written.position)),
                Batch::Recycled => self.segment = None,
                Batch::End => self.next_segment(queue, incidents)?,
                Batch::Bad => self.pass(queue, SegmentFault::Bad("a bad record".to_owned()), incidents)?,
            }
        }
    }

    /// Publishes that everything up to a position is finished, and what was jumped from there on too.
    pub(super) fn finish(&mut self, queue: &Queue, mut mark: Mark) {
        while let Some((from, to)) = self.jumps.front() {
            if *from > mark.position {
                break;
            }
            mark = mark.max(*to);
            self.jumps.pop_front();
        }
        if mark.position > self.finished.position {
            self.finished = mark;
            queue.index.slot(self.at).publish_finished(mark);
        }
    }

    /// Rings for the lane's writer, if it waits for what is finished now.
    #[inline]
    pub(super) fn ring_writer(&mut self, transit: &Inner, queue: &Queue) {
        if let Some(ringing) = queue.index.slot(self.at).awaited(self.finished.count) {
            self.ringer.get_or_insert_with(WriterRinger::new).ring(transit, ringing);
        }
    }

    /// Makes the segment that holds the position the open one.
    fn locate(&mut self, queue: &Queue) -> Result<(), SegmentFault> {
        if self.segment.is_some() {
            return Ok(());
        }
        let position = self.read.position;
        if !position.is_multiple_of(8) {
            return Err(SegmentFault::Bad(format!("{position:#x} is no position")));
        }
        let segment = match Segment::open(&queue.directory, self.at, self.id, position) {
            Err(SegmentFault::Missing) => {
                let bases = segment::bases(&queue.directory, self.at).map_err(SegmentFault::Io)?;
                let base = bases.into_iter().rev().find(|base| *base <= position).ok_or(SegmentFault::Missing)?;
                Segment::open(&queue.directory, self.at, self.id, base)?
            }
            opened => opened?,
        };
        segment.offset(position).ok_or(SegmentFault::Missing)?;
        segment.read_ahead();
        self.segment = Some(segment);
        Ok(())
    }

    /// At a segment's first record its header says how many messages came before: so a count that was guessed over
    /// a gap is put right.
    fn settle_count(&mut self) {
        if let Some(base) = self.segment.as_ref().map(|segment| segment.base)
            && base.position == self.read.position
        {
            self.read = base;
        }
    }

    /// Behind an end mark: the next segment begins exactly here.
    fn next_segment(&mut self, queue: &Queue, incidents: &mut Vec<Incident>) -> Result<(), Error> {
        let begin = self.segment.as_ref().map(|segment| segment.base.position);
        if begin == Some(self.read.position) {
            let fault = "an end mark where a record should be".to_owned();
            return self.pass(queue, SegmentFault::Bad(fault), incidents);
        }
        let fault = match Segment::open(&queue.directory, self.at, self.id, self.read.position) {
            Ok(segment) => {
                segment.read_ahead();
                self.segment = Some(segment);
                return Ok(());
            }
            Err(SegmentFault::Missing) => SegmentFault::Bad("an end mark without a next segment".to_owned()),
            Err(fault) => {
                // The next one is bad, not this one.
                self.segment = None;
                fault
            }
        };
        self.pass(queue, fault, incidents)
    }

    /// Copies out what is published in the open segment up to `until`, and checks the copy.
    fn take(&mut self, until: u64, batch: &mut Vec<Taken>) -> Batch {
        let segment = self.segment.as_ref().expect("locate found it");
        let Some(begin) = segment.offset(self.read.position) else { return Batch::Bad };
        let extent = extent(segment, begin, until - self.read.position);
        let mut copy = Vec::with_capacity(extent.unwrap_or(0));
        segment.copy_out(begin, extent.unwrap_or(0), &mut copy);
        if segment.is_recycled() {
            return Batch::Recycled;
        }
        match extent {
            Ok(0) => return Batch::End,
            Ok(_) => {}
            Err(()) => return Batch::Bad,
        }
        let (copy, before) = (Bytes::from(copy), batch.len());
        let mut at = 0;
        while at < copy.len() {
            let Some(decoded) = record::decode(&copy[at..], self.id.0, self.read.position) else { break };
            let size = padded(decoded.length);
            self.read = Mark { position: self.read.position + size as u64, count: self.read.count + 1 };
            let body = copy.slice(at + decoded.body.start..at + decoded.body.end);
            let (end, count) = (self.read.position, self.read.count);
            let ended = self.suspect.ended_on(end);
            batch.push(Taken { lane: self.id, end, count, stamp: decoded.stamp, tag: decoded.tag, body, ended });
            at += size;
        }
        match batch.len() - before {
            0 => Batch::Bad,
            count => Batch::Taken(count),
        }
    }

    /// Goes on behind what cannot be read: at the next segment, or at the lane's end where there is none.
    fn pass(&mut self, queue: &Queue, fault: SegmentFault, incidents: &mut Vec<Incident>) -> Result<(), Error> {
        if queue.index.slot(self.at).dropped().position > self.read.position {
            // The writer dropped it meanwhile, and removed the file: the next turn jumps.
            self.segment = None;
            return Ok(());
        }
        let directory = &queue.directory;
        let fail = |source| Error::io(&directory.path_of(&segment::lane_directory(self.at)), source);
        let bases = segment::bases(directory, self.at).map_err(fail)?;
        match fault {
            SegmentFault::Io(source) => return Err(fail(source)),
            SegmentFault::Missing => {}
            SegmentFault::Bad(fault) => {
                let open = self.segment.take().map(|segment| segment.base.position);
                let at = self.read.position;
                let bad = open.or_else(|| bases.iter().rev().copied().find(|base| *base <= at));
                self.move_aside(queue, bad, fault, incidents);
            }
        }
        self.segment = None;
        let next = bases.into_iter().find(|base| *base > self.read.position);
        let slot = queue.index.slot(self.at);
        // Read again: what the writer published before it saw that its segment is abandoned went with it.
        let written = slot.written();
        let to = match next {
            Some(base) if base <= written.position => {
                let count =
                    Segment::open(directory, self.at, self.id, base).map_or(self.read.count, |next| next.base.count);
                Mark { position: base, count }
            }
            _ => written,
        };
        self.jump(queue, to, false, incidents);
        Ok(())
    }

    fn move_aside(&mut self, queue: &Queue, base: Option<u64>, fault: String, incidents: &mut Vec<Incident>) {
        let aside = base.and_then(|base| {
            queue.index.slot(self.at).abandon(base);
            let name = aside_name(self.at, base);
            let moved = queue
                .directory
                .make_directory("aside")
                .and_then(|()| queue.directory.rename(&segment::path(self.at, base), &name));
            moved.is_ok().then_some(name)
        });
        let (queue, lane, position) = (queue.name.clone(), self.name.clone(), self.read.position);
        incidents.push(Incident::MovedAside { queue, lane, position, fault, aside });
    }

    /// Leaves out what lies between the position and `to`.
    fn jump(&mut self, queue: &Queue, to: Mark, dropped: bool, incidents: &mut Vec<Incident>) {
        let messages = to.count.saturating_sub(self.read.count);
        if messages > 0 {
            queue.index.slot(self.at).add_lost(messages);
            incidents.push(Incident::Gap { queue: queue.name.clone(), lane: self.name.clone(), messages, dropped });
        }
        let from = self.read.position;
        // A count from a damaged file may lie behind ours; ours never goes back.
        self.read = Mark { position: to.position.max(from), count: to.count.max(self.read.count) };
        self.segment = None;
        self.jumps.push_back((from, self.read));
        if self.finished.position >= from {
            self.finish(queue, self.finished);
        }
    }
}

/// How many bytes from `begin` on make whole records, of those `published`: as many as a visit may have, at least
/// one; 0 at the segment's end. It believes the lengths as they stand; the copy is checked.
fn extent(segment: &Segment, begin: usize, published: u64) -> Result<usize, ()> {
    let room = segment.capacity() - begin;
    let published = usize::try_from(published).map_or(room, |published| published.min(room));
    let mut extent = 0;
    for _ in 0..VISIT_RECORDS {
        if extent >= published {
            break;
        }
        let length = match segment.length_at(begin + extent) {
            None => break,
            Some(END) => break,
            Some(length) => length as usize,
        };
        let next = extent.saturating_add(padded(length.max(record::MIN)));
        if next > published {
            // What was read here is no length; what came before it may be good.
            return if extent == 0 { Err(()) } else { Ok(extent) };
        }
        if extent > 0 && next > VISIT_BYTES {
            break;
        }
        extent = next;
    }
    Ok(extent)
}
