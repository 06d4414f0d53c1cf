//! The consuming end of a queue.
//!
//! ```text
//! loop:  take a batch ─▶ handle it ─▶ finish when its effects are kept
//!        took nothing? prepare_sleep ─▶ true: wait for the bell, at most a second
//! ```
//!
//! Taking raises only what this process has read; `finish` publishes, and what is not finished is taken again by
//! whoever consumes next.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::bell::{Bell, LONGEST_WAIT, Waker};
use super::consequences::Consequences;
use super::error::Error;
use super::incident::Incident;
use super::index::Ringing;
use super::lane_writer::IDLE;
use super::open::Inner;
use super::protocol::Mark;
use super::queue::Queue;
use super::record::Tag;
use super::settings::Settings;
use super::slot::LaneId;
use super::source::Source;
use super::under_way::{POISON, UnderWay};
use crate::message::Stamp;
use crate::name::{LaneName, QueueName};

/// How long a ring may take after its message before it counts as missing: a sender can lose its CPU in between.
const RING_FOLLOWS: Duration = Duration::from_millis(100);

/// A drain that took this many messages met a stream: more are on their way, and a rest brings a batch of them.
const STREAM: usize = 8;
/// How long a consumer rests in a stream before it asks to be rung for. Without it each handful of messages costs
/// both sides a wake-up, some 10 µs; a message waits that much longer at most, and never in a dialogue.
const REST: Duration = Duration::from_micros(50);

/// Who consumes, and how it is woken.
#[derive(Clone)]
pub struct Reader {
    /// The process's bell.
    pub bell: Arc<Bell>,
    /// Called when there is something, also from within an append of this process; it must neither append nor
    /// take. Without one, the consumer waits by [`Consumer::wait`], and every ring comes through the FIFO.
    pub waker: Option<Waker>,
    /// Who this is, for a second consumer's error and for `qtrans`: pid and state directory; at most 1,024 bytes.
    pub description: String,
}

/// A message, taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The lane it came by.
    pub lane: LaneId,
    /// The position behind it.
    pub end: u64,
    /// The messages of its lane up to and with it.
    pub count: u64,
    /// Its id and time.
    pub stamp: Stamp,
    /// Which output of its sender's commit it is.
    pub tag: Option<Tag>,
    /// What it says. A slice of its batch's buffer, which lives as long as any of the batch does.
    pub body: Bytes,
    /// How many processes ended while they handled it.
    pub ended: u64,
}

impl Taken {
    /// Whether so many processes ended on it that it is not to be handled again.
    #[must_use]
    pub fn is_poison(&self) -> bool {
        self.ended >= POISON
    }
}

/// How far a lane is written, read and finished: positions in bytes, with the messages up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneState {
    /// Its id.
    pub id: LaneId,
    /// Its name.
    pub name: String,
    /// Where the next message is taken.
    pub read: (u64, u64),
    /// What is finished, as published.
    pub finished: (u64, u64),
    /// What is written.
    pub written: (u64, u64),
}

/// What came of a recorded position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOutcome {
    /// The lane is read on from there.
    AsRecorded,
    /// The lane was finished beyond it already; it is read from finished, `missing` messages further on.
    AlreadyFinished {
        /// How many messages lie between.
        missing: u64,
    },
    /// The lane is not that long; it is read from finished.
    BeyondEnd {
        /// Messages up to the lane's end.
        written: u64,
    },
    /// There is no such lane.
    UnknownLane,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// There was something already, or a sender rang.
    Look,
    /// Time is up; there may be something all the same.
    TimedOut,
}

/// Consumes a queue; the right to it goes with this.
pub struct Consumer {
    transit: Arc<Inner>,
    reader: Reader,
    name: QueueName,
    source: Source,
    /// The files that `source` took the place of, looked at until a later check finds nothing more in them.
    old: Option<Source>,
    replaced: bool,
    /// Messages taken since there was last nothing to take.
    drained: usize,
    incidents: Vec<Incident>,
}

impl Consumer {
    pub(super) fn open(
        transit: Arc<Inner>,
        name: &QueueName,
        settings: Option<&Settings>,
        reader: &Reader,
    ) -> Result<Self, Error> {
        let source = open_source(&transit, name, reader)?;
        if let Some(settings) = settings {
            source.queue.set_settings(settings)?;
        }
        let (name, reader) = (name.clone(), reader.clone());
        Ok(Self { transit, reader, name, source, old: None, replaced: false, drained: 0, incidents: Vec::new() })
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.name
    }

    /// Changes the queue's settings; senders see them with their next count.
    pub fn set_settings(&self, settings: &Settings) -> Result<(), Error> {
        self.source.queue.set_settings(settings)
    }

    /// Its lanes, as far as they are known by now.
    pub fn lanes(&mut self) -> Vec<LaneState> {
        self.source.discover();
        let pair = |mark: Mark| (mark.position, mark.count);
        let written = |at| pair(self.source.queue.index.slot(at).written());
        let state = |lane: &super::lane_reader::LaneReader| LaneState {
            id: lane.id,
            name: lane.name.clone(),
            read: pair(lane.read),
            finished: pair(lane.finished),
            written: written(lane.at),
        };
        self.source.lanes.iter().map(state).collect()
    }

    /// Whether `lane` is the one of this name.
    #[must_use]
    pub fn is_named(&self, lane: LaneId, name: &LaneName) -> bool {
        let lanes = self.source.lanes.iter().chain(self.old.iter().flat_map(|old| &old.lanes));
        lanes.filter(|known| known.id == lane).any(|known| known.name == name.to_string())
    }

    /// Reads a lane on from a recorded position, or again from one (after a panic).
    pub fn start_at(&mut self, lane: LaneId, position: u64, count: u64) -> StartOutcome {
        self.source.discover();
        let queue = self.source.queue.clone();
        let Some(reader) = self.source.lane(lane) else { return StartOutcome::UnknownLane };
        let (finished, written) = (reader.finished, queue.index.slot(reader.at).written());
        let recorded = Mark { position, count };
        let (to, outcome) = if position > written.position || !position.is_multiple_of(8) {
            (finished, StartOutcome::BeyondEnd { written: written.count })
        } else if position < finished.position {
            (finished, StartOutcome::AlreadyFinished { missing: finished.count.saturating_sub(count) })
        } else {
            (recorded, StartOutcome::AsRecorded)
        };
        self.source.go_to(lane, to);
        outcome
    }

    /// Takes messages of the lane whose turn it is: at most 256, at most 64 KiB or one larger message. 0 when
    /// there is nothing. What is bad on the way is an incident; an error is the kernel's.
    pub fn take(&mut self, batch: &mut Vec<Taken>) -> Result<usize, Error> {
        let taken = self.take_next(batch)?;
        self.drained += taken;
        Ok(taken)
    }

    fn take_next(&mut self, batch: &mut Vec<Taken>) -> Result<usize, Error> {
        if let Some(old) = &mut self.old {
            let taken = old.take(batch, &mut self.incidents)?;
            if taken > 0 {
                return Ok(taken);
            }
        }
        let taken = self.source.take(batch, &mut self.incidents)?;
        if taken == 0 && self.replaced {
            return self.move_on(batch);
        }
        Ok(taken)
    }

    /// Publishes that a lane is handled up to a position: the room may go, and nobody takes it again. Rings for the
    /// lane's writer where that waits for it ([`Sender::await_finished`](super::Sender::await_finished)).
    pub fn finish(&mut self, lane: LaneId, position: u64, count: u64) {
        let mark = Mark { position, count };
        if !self.source.finish(&self.transit, lane, mark)
            && let Some(old) = &mut self.old
        {
            old.finish(&self.transit, lane, mark);
        }
    }

    /// By what it is rung for.
    pub(super) fn ringing(&self) -> Ringing {
        self.source.ringing()
    }

    /// Where to note which input of a lane is being handled; nothing where there is no such lane. Worth keeping, for a
    /// lane's inputs come in runs.
    pub fn under_way(&mut self, lane: LaneId) -> Option<UnderWay> {
        let sources = [Some(&mut self.source), self.old.as_mut()];
        sources.into_iter().flatten().find_map(|source| {
            let at = source.lane(lane)?.at;
            Some(UnderWay::new(lane, source.queue.clone(), at))
        })
    }

    /// Where to note what is handled in the course of its inputs, asked once: what the last consumer left is counted.
    #[must_use]
    pub fn consequences(&self) -> Consequences {
        Consequences::open(self.source.queue.clone())
    }

    /// Bytes taken and not finished.
    #[must_use]
    pub fn unfinished_bytes(&self) -> u64 {
        self.source.unfinished_bytes() + self.old.as_ref().map_or(0, Source::unfinished_bytes)
    }

    /// Before [`prepare_sleep`](Self::prepare_sleep), once there was nothing to take: how long to rest and then look
    /// again, where a stream of messages has just been drained. Resting is optional; it saves wake-ups on both sides.
    pub fn rest(&mut self) -> Option<Duration> {
        (std::mem::take(&mut self.drained) >= STREAM).then_some(REST)
    }

    /// How many messages were taken and not finished: room that senders still lack.
    #[must_use]
    pub fn unfinished_messages(&self) -> u64 {
        self.source.unfinished_messages() + self.old.as_ref().map_or(0, Source::unfinished_messages)
    }

    /// Before a wait: true when there is nothing to take, and the next sender will ring; false when there is
    /// something.
    pub fn prepare_sleep(&mut self) -> bool {
        self.source.prepare_sleep() && !self.replaced && !self.old.as_ref().is_some_and(Source::has_something)
    }

    /// Looks whether the queue's path still names the files that are open, as before each commit and each second.
    /// True when it did not: what the old files hold is taken first, then the new ones are opened.
    pub fn check_replaced(&mut self) -> Result<bool, Error> {
        if let Some(old) = &self.old
            && !old.has_something()
            && old.unfinished_bytes() == 0
        {
            self.old = None;
        }
        if !self.replaced && self.source.queue.is_replaced() {
            self.replaced = true;
            self.incidents.push(Incident::Replaced { queue: self.name.clone() });
        }
        Ok(self.replaced)
    }

    /// Housekeeping, once a second: lanes that nobody writes any more (`anon:0`, those of dead processes) and that
    /// are drained and idle for 10 s give their files back, all but the one with the last tag of a `task:` lane. A
    /// lane with a writer is that one's ([`Transit::tidy`](super::Transit::tidy)). The first error is returned after
    /// all lanes were seen to.
    pub fn tidy(&mut self) -> Result<(), Error> {
        self.tidy_at(Instant::now(), IDLE)
    }

    pub(super) fn tidy_at(&mut self, now: Instant, idle: Duration) -> Result<(), Error> {
        self.source.tidy(&self.transit, now, idle)
    }

    /// What happened since this was last asked.
    pub fn incidents(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.incidents)
    }

    /// For a plain thread: waits until there may be something, at most `timeout` and at most a second. Blocks. One
    /// thread of a process waits so, and for one bell; consumers elsewhere in it need a waker.
    pub fn wait(&mut self, timeout: Duration) -> Result<Wake, Error> {
        if let Some(rest) = self.rest() {
            std::thread::sleep(rest.min(timeout));
            return Ok(Wake::Look);
        }
        if !self.prepare_sleep() {
            return Ok(Wake::Look);
        }
        let fail = |source: io::Error| Error::io(self.source.queue.directory.path(), source);
        let bell = &self.reader.bell;
        let rung = if timeout < LONGEST_WAIT { poll_bell(bell, timeout) } else { bell.wait() }.map_err(fail)?;
        if rung {
            return Ok(Wake::Look);
        }
        // A sender that is at work right now has its message in before its ring: it is late only if none follows.
        if self.source.has_something() && !poll_bell(bell, RING_FOLLOWS).map_err(fail)? {
            bell.count_late(1);
        }
        Ok(Wake::TimedOut)
    }

    /// The old files are drained: opens those that the path names now, which are made where there are none.
    fn move_on(&mut self, batch: &mut Vec<Taken>) -> Result<usize, Error> {
        let next = open_source(&self.transit, &self.name, &self.reader)?;
        next.queue.set_settings(&self.source.queue.index.settings())?;
        let mut old = std::mem::replace(&mut self.source, next);
        old.close();
        self.replaced = false;
        // Once more, for what was appended before the senders could see that these files are closed.
        let taken = old.take(batch, &mut self.incidents)?;
        self.old = Some(old);
        if taken > 0 { Ok(taken) } else { self.source.take(batch, &mut self.incidents) }
    }
}

/// Waits for a ring: whether there was one in time.
fn poll_bell(bell: &Bell, timeout: Duration) -> io::Result<bool> {
    // Rounded up, so that a short wait is not a spin.
    let timeout = PollTimeout::from(u16::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(u16::MAX));
    match poll(&mut [PollFd::new(bell.fifo().as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(0) => Ok(false),
        Ok(_) => Ok(bell.ring_pending()? > 0),
        // A signal is a reason to look, too.
        Err(Errno::EINTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

fn open_source(transit: &Arc<Inner>, name: &QueueName, reader: &Reader) -> Result<Source, Error> {
    let queue: Arc<Queue> = transit.queue(name)?;
    if !transit.take_consumption(&queue)? {
        let mut description = queue.index.description();
        if description.is_empty() {
            "another process".clone_into(&mut description);
        }
        return Err(Error::ConsumedBy { queue: name.clone(), description });
    }
    let token = reader.bell.add(queue.clone(), reader.waker.clone());
    Ok(Source::new(queue, reader.bell.clone(), token, &reader.description))
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("queue", &self.name).field("source", &self.source).finish_non_exhaustive()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("description", &self.description).finish_non_exhaustive()
    }
}
