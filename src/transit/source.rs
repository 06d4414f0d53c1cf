//! One set of a queue's files as its consumer sees them: the lanes, and which of them may hold something.

use super::bell::Bell;
use super::consumer::Taken;
use super::error::Error;
use super::incident::Incident;
use super::index::{BIT_WORDS, Ringing};
use super::lane_reader::LaneReader;
use super::open::Inner;
use super::protocol::{AWAKE, CLOSED, Mapped, Mark, Memory, collect, fall_asleep, wake_up};
use super::queue::{CONSUME, Queue};
use super::slot::LaneId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A queue's files with the right to consume them, which goes with it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) queue: Arc<Queue>,
    pub(super) lanes: Vec<LaneReader>,
    by_id: HashMap<LaneId, usize>,
    /// Which lane each slot is, where it holds one.
    by_slot: Vec<Option<usize>>,
    /// Slots that are to be read until they are drained.
    pending: [u64; BIT_WORDS],
    /// The slot after which the next visit begins to look.
    turn: usize,
    asleep: bool,
    bell: Arc<Bell>,
    token: u64,
}

impl Source {
    /// The caller has the right to consume, and gives it to this.
    pub(super) fn new(queue: Arc<Queue>, bell: Arc<Bell>, token: u64, description: &str) -> Self {
        queue.index.sleeping().store(AWAKE, Ordering::Relaxed);
        queue.index.set_consumer(Ringing { bell: bell.id(), token }, description);
        let mut source = Self {
            queue,
            lanes: Vec::new(),
            by_id: HashMap::new(),
            by_slot: Vec::new(),
            // What was there before us may have its bit taken by a consumer that died: look at every lane once.
            pending: [u64::MAX; BIT_WORDS],
            turn: 0,
            asleep: false,
            bell,
            token,
        };
        source.discover();
        source
    }

    /// Learns of lanes that were made since.
    pub(super) fn discover(&mut self) {
        for at in self.by_slot.len()..self.queue.index.slots() {
            let lane = LaneReader::open(&self.queue, at).map(|reader| {
                self.by_id.insert(reader.id, self.lanes.len());
                self.lanes.push(reader);
                self.lanes.len() - 1
            });
            self.by_slot.push(lane);
        }
    }

    pub(super) fn lane(&mut self, id: LaneId) -> Option<&mut LaneReader> {
        self.by_id.get(&id).map(|at| &mut self.lanes[*at])
    }

    /// Reads a lane on from another place.
    pub(super) fn go_to(&mut self, id: LaneId, mark: Mark) {
        if let Some(lane) = self.by_id.get(&id).map(|at| &mut self.lanes[*at]) {
            lane.go_to(mark);
            self.pending[lane.at / 64] |= 1 << (lane.at % 64);
        }
    }

    pub(super) fn finish(&mut self, transit: &Inner, id: LaneId, mark: Mark) -> bool {
        let Some(lane) = self.by_id.get(&id).map(|at| &mut self.lanes[*at]) else { return false };
        lane.finish(&self.queue, mark);
        lane.ring_writer(transit, &self.queue);
        true
    }

    /// By what this queue's consumer is rung for.
    pub(super) fn ringing(&self) -> Ringing {
        Ringing { bell: self.bell.id(), token: self.token }
    }

    /// Visits the next lane that holds something; 0 when none does.
    pub(super) fn take(&mut self, batch: &mut Vec<Taken>, incidents: &mut Vec<Incident>) -> Result<usize, Error> {
        if self.asleep {
            wake_up::<Mapped>(self.queue.index.sleeping());
            self.asleep = false;
        }
        // Twice at most: through the lanes known to hold something, and through those found then.
        for _ in 0..2 {
            self.collect();
            let mut held_back = 0;
            while let Some(at) = self.next_turn() {
                let (taken, drained) = match self.by_slot.get(at).copied().flatten() {
                    Some(lane) => {
                        // In as many turns each lane had one. That all wait for each other only a damaged index says.
                        let until = if held_back > self.lanes.len() { u64::MAX } else { self.until(lane) };
                        self.lanes[lane].visit(&self.queue, until, batch, incidents)?
                    }
                    None => (0, true),
                };
                // Its write position was read after its bit was cleared: who writes on sets the bit again.
                if drained {
                    self.pending[at / 64] &= !(1 << (at % 64));
                }
                if taken > 0 {
                    return Ok(taken);
                }
                held_back += usize::from(!drained);
            }
            if !self.has_something() {
                break;
            }
        }
        Ok(0)
    }

    /// How far a lane may be read now: to its end, unless it follows another one that comes first.
    fn until(&mut self, lane: usize) -> u64 {
        let slot = self.queue.index.slot(self.lanes[lane].at);
        let written = slot.written().position;
        let Some(follows) = slot.follows() else { return written };
        if !self.by_id.contains_key(&follows.lane) {
            self.discover();
        }
        let Some(first) = self.by_id.get(&follows.lane).map(|at| &self.lanes[*at]) else { return written };
        let end = follows.to.min(self.queue.index.slot(first.at).written().position);
        if first.read.position >= end {
            return written;
        }
        // Its bit may be gone; its turn must come.
        self.pending[first.at / 64] |= 1 << (first.at % 64);
        written.min(follows.from)
    }

    /// Whether something waits, without taking it.
    pub(super) fn has_something(&self) -> bool {
        self.queue.index.bits().iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Before a wait: true when there is nothing to look at, and senders will ring.
    pub(super) fn prepare_sleep(&mut self) -> bool {
        if self.pending.iter().any(|word| *word != 0) {
            return false;
        }
        self.asleep = fall_asleep::<Mapped>(self.queue.index.bits(), self.queue.index.sleeping());
        self.asleep
    }

    /// Tells senders that other files took the place of these.
    pub(super) fn close(&mut self) {
        self.queue.index.sleeping().store(CLOSED, Ordering::Relaxed);
        Mapped::fence(Ordering::SeqCst);
        self.asleep = false;
        self.pending = [u64::MAX; BIT_WORDS];
    }

    pub(super) fn unfinished_bytes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.read.position.saturating_sub(lane.finished.position)).sum()
    }

    pub(super) fn unfinished_messages(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.read.count.saturating_sub(lane.finished.count)).sum()
    }

    /// Lanes that are drained, idle and nobody's give their files back.
    pub(super) fn tidy(&mut self, transit: &Inner, now: Instant, idle: Duration) -> Result<(), Error> {
        self.discover();
        let queue = &self.queue;
        self.lanes.iter_mut().map(|lane| lane.tidy(transit, queue, now, idle)).fold(Ok(()), Result::and)
    }

    fn collect(&mut self) {
        let used = self.by_slot.len().max(self.queue.index.slots()).div_ceil(64);
        for (word, pending) in self.queue.index.bits().iter().zip(&mut self.pending).take(used) {
            *pending = collect::<Mapped>(word, *pending);
        }
        if self.queue.index.slots() > self.by_slot.len() {
            self.discover();
        }
    }

    /// The next pending slot after the last one served, going round.
    fn next_turn(&mut self) -> Option<usize> {
        let slots = self.by_slot.len();
        let words = slots.div_ceil(64);
        self.pending[words..].fill(0);
        for word in 0..words {
            // Bits beyond the slots in use come from damage, or from the start; nothing is there.
            let used = slots.saturating_sub(word * 64).min(64);
            self.pending[word] &= if used == 64 { u64::MAX } else { (1 << used) - 1 };
        }
        let after = |from: usize| {
            (from / 64..words).find_map(|word| {
                let mask = if word == from / 64 { u64::MAX << (from % 64) } else { u64::MAX };
                let bits = self.pending[word] & mask;
                (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)
            })
        };
        let next = after(self.turn).or_else(|| after(0))?;
        self.turn = (next + 1) % (BIT_WORDS * 64);
        Some(next)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if !self.queue.index.is_closed() {
            self.queue.index.set_consumer(Ringing::default(), "");
            wake_up::<Mapped>(self.queue.index.sleeping());
        }
        self.bell.remove(self.token);
        self.queue.unlock(CONSUME);
        self.queue.consumed.store(false, Ordering::Relaxed);
    }
}
