//! How far a stateless task's transit queue has been worked off.
//!
//! Inputs are handed out in order and finished in any order; the finished position of a lane moves up to the lowest
//! input that still has work listed for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::transit::{LaneId, UnderWay};

/// What is under way of one queue.
pub(super) struct Watermark {
    lanes: Mutex<BTreeMap<LaneId, VecDeque<Arc<Token>>>>,
    open: AtomicUsize,
    /// Called when only `low` inputs are under way any more, and when none is.
    wake: Waker,
    low: usize,
}

/// Wakes whoever hands out inputs.
pub(super) type Waker = Arc<dyn Fn() + Send + Sync>;

/// One input under way. It is finished when every copy that was made in its course is done.
pub(super) struct Token {
    end: u64,
    count: u64,
    /// Copies not yet done; at 0 the input is finished.
    copies: AtomicUsize,
    lane: Arc<Lane>,
}

/// What the inputs of a lane have in common: one count of references to both.
pub(super) struct Lane {
    under_way: UnderWay,
    watermark: Weak<Watermark>,
}

/// An input is being handled until this is dropped, also where its handler panics or is given up.
pub(super) struct Handling<'a>(&'a Token);

/// A lane's new finished position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) lane: LaneId,
    pub(super) position: u64,
    pub(super) count: u64,
}

impl Watermark {
    /// Nothing under way; `wake` is called when no more than `low` inputs are.
    pub(super) fn new(low: usize, wake: Waker) -> Self {
        Self { lanes: Mutex::default(), open: AtomicUsize::new(0), wake, low }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LaneId, VecDeque<Arc<Token>>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane whose inputs are to be listed.
    pub(super) fn lane(self: &Arc<Self>, under_way: UnderWay) -> Arc<Lane> {
        Arc::new(Lane { under_way, watermark: Arc::downgrade(self) })
    }

    /// Lists an input that ends at `end` and is the `count`th of its lane, with one copy.
    pub(super) fn begin(&self, lane: Arc<Lane>, end: u64, count: u64) -> Arc<Token> {
        let id = lane.id();
        let token = Arc::new(Token { end, count, copies: AtomicUsize::new(1), lane });
        self.open.fetch_add(1, Ordering::Relaxed);
        self.lock().entry(id).or_default().push_back(token.clone());
        token
    }

    /// One input less is under way.
    fn less(&self) {
        let left = self.open.fetch_sub(1, Ordering::Release) - 1;
        if left == self.low || left == 0 {
            (self.wake)();
        }
    }

    /// How many inputs are under way.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// The lanes that moved since the last call.
    pub(super) fn finished(&self) -> Vec<Finished> {
        let mut moved = Vec::new();
        for (lane, tokens) in self.lock().iter_mut() {
            let mut last = None;
            while tokens.front().is_some_and(|token| token.copies.load(Ordering::Acquire) == 0) {
                last = tokens.pop_front();
            }
            moved.extend(last.map(|token| Finished { lane: *lane, position: token.end, count: token.count }));
        }
        moved
    }
}

impl Lane {
    pub(super) fn id(&self) -> LaneId {
        self.under_way.lane()
    }
}

impl<'a> Handling<'a> {
    pub(super) fn of(token: &'a Token) -> Self {
        token.lane.under_way.begin(token.end);
        Self(token)
    }
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        self.0.lane.under_way.done();
    }
}

impl Token {
    /// One more copy was made in the course of this input.
    pub(super) fn copy(self: &Arc<Self>) -> Arc<Self> {
        self.copies.fetch_add(1, Ordering::Relaxed);
        self.clone()
    }

    /// A copy is done. Release: whoever sees 0 also sees what was made of it in the queues.
    pub(super) fn done(&self) {
        if self.copies.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(watermark) = self.lane.watermark.upgrade()
        {
            watermark.less();
        }
    }

    /// Nobody here will handle this input: it stays unfinished, and whoever consumes the queue next takes it.
    pub(super) fn abandon(&self) {
        if let Some(watermark) = self.lane.watermark.upgrade() {
            watermark.less();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{LaneName, QueueName, TaskName};
    use crate::transit::{Bell, Reader, Transit};

    /// That of the one lane of a new queue.
    fn under_way() -> UnderWay {
        let place = tempfile::tempdir().unwrap();
        let (transit, queue) = (Transit::open(place.path()).unwrap(), QueueName::new("q").unwrap());
        let sender = transit.sender(&queue, &LaneName::Process(TaskName::new("p").unwrap())).unwrap();
        let reader = Reader { bell: Bell::open(&transit).unwrap(), waker: None, description: String::new() };
        let mut consumer = transit.consumer(&queue, None, &reader).unwrap();
        consumer.lanes();
        consumer.under_way(sender.lane_id()).unwrap()
    }

    #[test]
    fn a_lane_moves_up_to_the_lowest_input_with_work_left() {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        let wake = Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let watermark = Arc::new(Watermark::new(2, wake));
        let lane = watermark.lane(under_way());
        let tokens: Vec<_> = (1..=3).map(|n| watermark.begin(lane.clone(), n * 8, n)).collect();
        let copy = tokens[0].copy();
        tokens[0].done();
        tokens[1].done();
        assert_eq!(watermark.finished(), []);
        copy.done();
        assert_eq!(watermark.finished(), [Finished { lane: lane.id(), position: 16, count: 2 }]);
        assert_eq!((watermark.open(), woken.load(Ordering::Relaxed)), (1, 1));
        drop(tokens);
        assert_eq!(watermark.finished(), [], "what is dropped is not done");
    }
}
