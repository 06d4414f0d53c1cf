//! Lanes, and the transit that holds them: what survives every crash.
//!
//! Invariant: a lane has one writer; records are only added; `finished` only grows.

use crate::poison::UnderWay;

/// A queue; A, B and S belong to tasks, the next two only gather what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Queue {
    A,
    B,
    S,
    Sink,
    Tail,
    /// Takes what was diverted. It never blocks: it drops its oldest.
    Dead,
}

/// Who writes a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Writer {
    /// One of the two that send the numbers: the even ones, and the odd ones.
    Source(u32),
    TaskA,
    TaskB,
    /// The process that is the home of the stateless S.
    Home,
}

/// Which lane: an index that is never used again, as a random id is not.
pub(crate) type LaneId = usize;

/// What travels: a number from the source, or B's answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    Number(u32),
    Answer(u32),
    /// What a broken rule lets slip into a lane.
    Stray,
}

/// Which entry of which record of which task a record in a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) epoch: u64,
    pub(crate) n: u32,
    pub(crate) index: u32,
}

/// A record in a lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) tag: Option<Tag>,
    pub(crate) message: Message,
    /// The queue that it was emitted to: another one than the lane's if it was diverted.
    pub(crate) meant_for: Queue,
}

/// One lane of one queue.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) id: LaneId,
    pub(crate) writer: Writer,
    pub(crate) queue: Queue,
    pub(crate) records: Vec<Record>,
    /// Up to here the room may go: nothing below can be read again.
    pub(crate) finished: usize,
    /// Below this the records are gone: `dead` dropped them, or somebody read them and their room was used again.
    pub(crate) gone_to: usize,
    pub(crate) under_way: UnderWay,
    /// Where the last tag stands when the rule that it stands in the record is left out.
    pub(crate) slot_tag: Option<Tag>,
    /// The step at which a person removed the queue's directory.
    pub(crate) removed_at: Option<usize>,
    /// From here on nobody had the removed files open any more: what a person removed for good.
    pub(crate) abandoned_from: Option<usize>,
}

/// All lanes that ever were.
#[derive(Debug, Default)]
pub(crate) struct Transit {
    pub(crate) lanes: Vec<Lane>,
}

impl Transit {
    /// The lane that `writer` finds by its path, made if there is none.
    pub(crate) fn open(&mut self, writer: Writer, queue: Queue) -> LaneId {
        let found = self.of(queue).find(|lane| lane.writer == writer && lane.removed_at.is_none());
        found.map(|lane| lane.id).unwrap_or_else(|| self.make(writer, queue))
    }

    pub(crate) fn of(&self, queue: Queue) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter(move |lane| lane.queue == queue)
    }

    pub(crate) fn append(&mut self, lane: LaneId, tag: Option<Tag>, message: Message) {
        self.append_for(lane, tag, message, self.lanes[lane].queue);
    }

    /// Appends what was emitted to `meant_for`, and stands here because it was diverted.
    pub(crate) fn append_for(&mut self, lane: LaneId, tag: Option<Tag>, message: Message, meant_for: Queue) {
        self.lanes[lane].records.push(Record { tag, message, meant_for });
    }

    /// `dead` gives up to `count` of a lane's oldest records away; the last one, with its tag, stays.
    pub(crate) fn shorten(&mut self, lane: LaneId, count: usize) {
        let lane = &mut self.lanes[lane];
        lane.gone_to = (lane.gone_to + count).min(lane.records.len().saturating_sub(1));
    }

    pub(crate) fn finish(&mut self, lane: LaneId, position: usize) {
        let finished = &mut self.lanes[lane].finished;
        *finished = position.max(*finished);
    }

    /// Whether no record more may be added: the bound counts over all lanes of the queue.
    pub(crate) fn is_full(&self, queue: Queue, bound: usize) -> bool {
        let held = |lane: &Lane| lane.records.len() - lane.finished;
        let lanes = self.of(queue).filter(|lane| lane.removed_at.is_none());
        bound > 0 && queue < Queue::Sink && lanes.map(held).sum::<usize>() >= bound
    }

    /// A person removes the queue's directory.
    pub(crate) fn remove(&mut self, queue: Queue, step: usize) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.queue == queue && lane.removed_at.is_none()) {
            lane.removed_at = Some(step);
        }
    }

    /// All numbers that ever stood on a queue, lane after lane.
    pub(crate) fn numbers(&self, queue: Queue) -> Vec<u32> {
        let records = self.of(queue).flat_map(|lane| &lane.records);
        records.filter_map(|record| record.message.number()).collect()
    }

    /// All numbers that were ever diverted from a queue to `dead`.
    pub(crate) fn diverted(&self, queue: Queue) -> Vec<u32> {
        let records = self.of(Queue::Dead).flat_map(|lane| &lane.records);
        records.filter(|record| record.meant_for == queue).filter_map(|record| record.message.number()).collect()
    }

    fn make(&mut self, writer: Writer, queue: Queue) -> LaneId {
        let id = self.lanes.len();
        self.lanes.push(Lane {
            id,
            writer,
            queue,
            records: Vec::new(),
            finished: 0,
            gone_to: 0,
            under_way: UnderWay::default(),
            slot_tag: None,
            removed_at: None,
            abandoned_from: None,
        });
        id
    }
}

impl Lane {
    pub(crate) fn last_tag(&self) -> Option<Tag> {
        self.records.iter().rev().find_map(|record| record.tag)
    }

    /// Whether a record with this tag can still be found.
    pub(crate) fn holds(&self, tag: Tag) -> bool {
        self.records[self.gone_to..].iter().any(|record| record.tag == Some(tag))
    }
}

impl Message {
    /// The number of the source that it carries on; answers and strays carry none.
    pub(crate) fn number(self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(number),
            Self::Answer(_) | Self::Stray => None,
        }
    }
}
