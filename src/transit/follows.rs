//! A lane that follows another one of its queue: what was written to it from some position on is taken only after the
//! other was taken up to some position.
//!
//! Lanes are read in turn, so of two lanes neither waits for the other. Whoever begins to send by another lane than
//! before, and whose order must hold, has the new one follow the old one; he waits for nothing himself. It stands in the
//! slot of the lane that follows, so it survives everybody.
//!
//! Invariant: an order never makes a reader wait for good. It names what was written when it was given, and where the
//! other lane ends before that, or is not there, it holds nothing up. Lanes do not follow each other in a circle: an
//! order that a lane got names only what stood in the other one before it, and the other's own orders for that are older.
//!
//! Invariant: a lane has one order. While it counts, a later one for the same lane makes it reach further; one for a
//! third lane is refused.
//!
//! A reader of before this knew orders reads on without them: it loses the order of the two lanes and nothing else.

use super::queue::Queue;
use super::slot::LaneId;

/// What a lane follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Follows {
    /// From here on.
    pub(super) from: u64,
    /// This lane of the same queue.
    pub(super) lane: LaneId,
    /// Up to here.
    pub(super) to: u64,
}

impl Follows {
    /// Gives the lane in slot `at`, which is written up to `written`, an order; false where an earlier one for a third
    /// lane still counts. The caller holds the lane's lock.
    pub(super) fn order(queue: &Queue, at: usize, written: u64, lane: LaneId, to: u64) -> bool {
        let slot = queue.index.slot(at);
        match slot.follows().filter(|earlier| earlier.counts(queue)) {
            Some(earlier) if earlier.lane != lane => return false,
            Some(earlier) => slot.follow_further(earlier.to.max(to)),
            None => slot.set_follows(Self { from: written, lane, to }),
        }
        true
    }

    /// Whether what it waits for may still be taken, now or again.
    fn counts(self, queue: &Queue) -> bool {
        let mut slots = (0..queue.index.slots()).map(|at| queue.index.slot(at));
        slots.any(|slot| slot.name().is_some() && slot.id() == self.lane && slot.finished().position < self.to)
    }
}
