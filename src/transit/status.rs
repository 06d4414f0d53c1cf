//! A look at a queue, without a right to it: for `status`, `qtrans` and reports.
//!
//! What it tells was true at about the same moment; senders and consumer do not stand still for it.

use super::error::Error;
use super::queue::{CONSUME, Queue};
use super::recovery;
use super::settings::Settings;
use super::slot::LaneId;
use crate::name::{LaneName, QueueName};
use std::sync::atomic::Ordering;

/// What a queue holds, and who consumes it.
#[derive(Debug, Clone)]
pub struct QueueStatus {
    /// Which queue.
    pub queue: QueueName,
    /// Messages written and not finished.
    pub messages: u64,
    /// Their bytes, with heads and padding.
    pub bytes: u64,
    /// Its bounds, overflow and durability.
    pub settings: Settings,
    /// Whether nobody will read it for now: [`Transit::set_parked`](super::Transit::set_parked).
    pub parked: bool,
    /// The consumer in its own words; nothing while nobody consumes.
    pub consumer: Option<String>,
    /// When its oldest unfinished message was made: nanoseconds since 1970, the smallest of the lanes' first ones.
    /// Nothing where there is none, or where it was just being finished.
    pub oldest_ns: Option<u64>,
    /// The lanes, in the order they were made.
    pub lanes: Vec<LaneStatus>,
}

impl QueueStatus {
    /// How full it is, in percent: by bytes or by messages, whichever is more.
    #[must_use]
    pub fn percent(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share for people, and 53 bits of it")]
        let share = |held: u64, most: u64| held as f64 / most.max(1) as f64;
        let (bytes, messages) = (self.settings.max_bytes, self.settings.max_messages);
        100.0 * share(self.bytes, bytes).max(share(self.messages, messages))
    }

    /// How many messages were ever finished.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.lanes.iter().fold(0, |sum, lane| sum.saturating_add(lane.finished.1))
    }
}

/// What one lane holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// What writes it.
    pub name: LaneName,
    /// Its id.
    pub id: LaneId,
    /// Messages written and not finished.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Position up to which it is written, and the messages up to there.
    pub written: (u64, u64),
    /// Position up to which it is finished, and the messages up to there.
    pub finished: (u64, u64),
    /// Messages that never reached the consumer: dropped, or in a bad segment.
    pub lost: u64,
}

impl LaneStatus {
    /// Whether nothing of the lane waits to be handled.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.bytes == 0
    }
}

pub(super) fn look(queue: &Queue) -> Result<QueueStatus, Error> {
    let lanes: Vec<_> = (0..queue.index.slots()).filter_map(|at| lane(queue, at)).collect();
    let consumed = queue.consumed.load(Ordering::Relaxed) || queue.is_locked_elsewhere(CONSUME)?;
    Ok(QueueStatus {
        queue: queue.name.clone(),
        messages: lanes.iter().fold(0, |sum, lane| sum.saturating_add(lane.messages)),
        bytes: lanes.iter().fold(0, |sum, lane| sum.saturating_add(lane.bytes)),
        settings: queue.index.settings(),
        parked: queue.index.is_parked(),
        consumer: consumed.then(|| queue.index.description()),
        oldest_ns: (0..queue.index.slots()).filter_map(|at| first_unfinished(queue, at)).min(),
        lanes,
    })
}

fn first_unfinished(queue: &Queue, at: usize) -> Option<u64> {
    recovery::first_unfinished(&queue.directory, at, queue.index.slot(at)).map(|stamp| stamp.time_ns)
}

pub(super) fn lane(queue: &Queue, at: usize) -> Option<LaneStatus> {
    let slot = queue.index.slot(at);
    let (held, written, finished) = (slot.held(), slot.written(), slot.finished());
    Some(LaneStatus {
        name: slot.name()?,
        id: slot.id(),
        messages: held.count,
        bytes: held.position,
        written: (written.position, written.count),
        finished: (finished.position, finished.count),
        lost: slot.lost(),
    })
}
