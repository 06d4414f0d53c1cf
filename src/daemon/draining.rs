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
use crate::transit::{LaneId, Transit};

/// How long a move waits for receivers: two of the usual intervals in which they commit what they have handled.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);

/// How far lanes were written at one moment, as far as they were not finished.
pub(super) struct Sent(Vec<(QueueName, LaneId, u64)>);

impl Sent {
    /// What waits in `queues` now and has a reader.
    pub(super) fn now<'a>(transit: &Transit, queues: impl Iterator<Item = &'a QueueName>) -> Self {
        let status = |queue| transit.status(queue).ok().flatten();
        let read = queues.filter_map(status).filter(|status| status.consumer.is_some());
        let lanes = read.flat_map(|status| {
            let open = status.lanes.into_iter().filter(|lane| !lane.is_finished());
            open.map(|lane| (status.queue.clone(), lane.id, lane.written.0)).collect::<Vec<_>>()
        });
        Self(lanes.collect())
    }

    /// Waits until all of it is handled; false if that took too long.
    pub(super) async fn handled(mut self, transit: &Transit) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            self.0.retain(|(queue, lane, written)| !is_handled(transit, queue, *lane, *written));
            if self.0.is_empty() || Instant::now() >= end {
                return self.0.is_empty();
            }
            sleep(LOOK).await;
        }
    }
}

/// A queue or a lane that is gone holds nothing.
fn is_handled(transit: &Transit, queue: &QueueName, lane: LaneId, written: u64) -> bool {
    let Ok(status) = transit.status(queue) else { return false };
    let lanes = status.into_iter().flat_map(|status| status.lanes);
    lanes.filter(|found| found.id == lane).all(|found| found.finished.0 >= written)
}
