//! What was sent before a stateless task moved, and is not handled yet.
//!
//! A stateless task writes by the lanes of the process in which it runs. From its new place it writes by others, and
//! the lanes of a queue are read in turn: so what it sent from its old place is waited for before it goes on, and
//! whoever hears it hears it in order. It costs those who wait for it nothing that they would not wait for anyway.
//!
//! The wait is bounded: a receiver that is far behind, or waits for that very task, does not hold up a reload.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::name::QueueName;
use crate::transit::{LaneId, QueueStatus, Transit};

/// How long a move waits for receivers of which none finishes anything: three of the usual intervals in which they
/// commit what they have handled, and time for a process that was killed to be back. Who waits for that very task finishes
/// nothing.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long at the most: a receiver that is far behind does not hold up a reload for good.
const LONGEST: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);

/// How far lanes were written at one moment, as far as they were not finished.
pub(super) struct Sent(Vec<(QueueName, LaneId, u64)>);

impl Sent {
    /// What waits in `queues` now. Those that nobody reads count only where `is_ours` says that somebody will soon: a
    /// process that was killed is back in a moment.
    pub(super) fn now<'a>(
        transit: &Transit,
        queues: impl Iterator<Item = &'a QueueName>,
        is_ours: impl Fn(&QueueName) -> bool,
    ) -> Self {
        let status = |queue| transit.status(queue).ok().flatten();
        let is_read = |status: &QueueStatus| status.consumer.is_some() || !status.parked && is_ours(&status.queue);
        let read = queues.filter_map(status).filter(is_read);
        let lanes = read.flat_map(|status| {
            let open = status.lanes.into_iter().filter(|lane| !lane.is_finished());
            open.map(|lane| (status.queue.clone(), lane.id, lane.written.0)).collect::<Vec<_>>()
        });
        Self(lanes.collect())
    }

    /// Waits until all of it is handled; false if that took too long.
    pub(super) async fn handled(mut self, transit: &Transit) -> bool {
        let (begin, mut moved, mut last) = (Instant::now(), Instant::now(), u64::MAX);
        loop {
            self.0.retain(|(queue, lane, written)| left(transit, queue, *lane, *written) > 0);
            let left = self.0.iter().map(|(queue, lane, written)| left(transit, queue, *lane, *written)).sum();
            let now = Instant::now();
            if left < last {
                (last, moved) = (left, now);
            }
            if self.0.is_empty() || now >= moved + PATIENCE || now >= begin + LONGEST {
                return self.0.is_empty();
            }
            sleep(LOOK).await;
        }
    }
}

/// How many bytes of a lane up to `written` are not finished. A queue or a lane that is gone holds nothing.
fn left(transit: &Transit, queue: &QueueName, lane: LaneId, written: u64) -> u64 {
    let Ok(status) = transit.status(queue) else { return written };
    let lanes = status.into_iter().flat_map(|status| status.lanes);
    lanes.filter(|found| found.id == lane).map(|found| written.saturating_sub(found.finished.0)).sum()
}
