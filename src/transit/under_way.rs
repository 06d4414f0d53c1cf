//! The input of a lane that is being handled, and which one processes ended on.
//!
//! Before a handler is called the consumer stores the input's end position in the lane's slot, and 0 when it has
//! returned. A process that is killed in between leaves it there, and the next consumer counts.
//!
//! ```text
//! slot:  under way ── found at open, beyond finished ─▶ suspect (which input), ended (how many processes)
//! ```
//!
//! A process that was asked to end says so first ([`Transit::spare_inputs`](super::Transit::spare_inputs)): what it is
//! given up over, or killed over because it takes too long, is nobody's fault.
//!
//! Invariant: only the consumer stores these words. They stand in the index and not in a record of state, so an input
//! costs two stores and no write, and stateless tasks have them too.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::queue::Queue;
use super::slot::LaneId;

/// On how many processes' end an input is poison: one may be an accident, two a coincidence.
pub const POISON: u64 = 3;

/// An input that processes ended on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Suspect {
    /// The position behind it; 0 for none.
    pub(super) end: u64,
    /// How many processes ended while they handled it.
    pub(super) ended: u64,
}

impl Suspect {
    /// What is known when a consumer opens the lane, finished up to `finished`, and finds `under_way` there.
    pub(super) fn after(self, under_way: u64, finished: u64) -> Self {
        if under_way <= finished || self.end > finished && self.is_poison() {
            // A poison that was taken and not finished yet is not forgotten over what was handled after it.
            return self;
        }
        let before = if self.end == under_way { self.ended } else { 0 };
        Self { end: under_way, ended: before.saturating_add(1) }
    }

    /// How many processes ended on the input that ends at `end`.
    #[inline]
    pub(super) fn ended_on(self, end: u64) -> u64 {
        if self.end == end { self.ended } else { 0 }
    }

    fn is_poison(self) -> bool {
        self.ended >= POISON
    }
}

/// Where it is noted which input of a lane is being handled: one at a time.
#[derive(Clone)]
pub struct UnderWay {
    lane: LaneId,
    queue: Arc<Queue>,
    at: usize,
}

impl UnderWay {
    pub(super) fn new(lane: LaneId, queue: Arc<Queue>, at: usize) -> Self {
        Self { lane, queue, at }
    }

    /// The lane.
    #[must_use]
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    /// The input that ends at position `end` is being handled from now on, until [`done`](Self::done): if the process
    /// ends before that, it counts against this input. A store, a nanosecond or so.
    #[inline]
    pub fn begin(&self, end: u64) {
        if !self.queue.spared.load(Ordering::Relaxed) {
            self.queue.index.slot(self.at).set_under_way(end);
        }
    }

    /// The handler has returned, or was given up.
    #[inline]
    pub fn done(&self) {
        self.queue.index.slot(self.at).set_under_way(0);
    }
}

impl fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnderWay").field("lane", &self.lane).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_input_again_adds_up_and_a_poison_is_kept_until_it_is_finished() {
        let check = |before: (u64, u64), under_way, finished, after: (u64, u64)| {
            let suspect = Suspect { end: before.0, ended: before.1 };
            let expected = Suspect { end: after.0, ended: after.1 };
            assert_eq!(suspect.after(under_way, finished), expected, "{before:?}, {under_way} under way");
        };
        check((0, 0), 0, 0, (0, 0));
        check((0, 0), 64, 0, (64, 1));
        check((64, 1), 64, 0, (64, 2));
        check((64, 2), 64, 8, (64, 3));
        check((64, 2), 128, 8, (128, 1));
        check((64, 2), 64, 64, (64, 2));
        check((64, 3), 128, 8, (64, 3));
        check((64, 3), 128, 64, (128, 1));
        check((64, u64::MAX), 64, 64, (64, u64::MAX));
    }
}
