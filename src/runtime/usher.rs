//! Shows those in who wait for room: one look for all tasks of a process, where each would look for itself.
//!
//! ```text
//!   somebody waits ──► look at each queue once ──► ring for as many as fit ──► pause, a hundred times as long as that took
//! ```
//!
//! It makes them quicker and is needed for nothing: who waits looks by itself after a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::office::Office;
use crate::name::QueueName;

/// The pauses between two looks: the shortest is about as long as a consumer takes for a batch, the longest short
/// against what a person notices.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(10)];
/// Looks take at most one part in this many of a core's time.
const SHARE: u32 = 100;

/// Shows in who waits.
pub(super) struct Usher;

impl Usher {
    pub(super) fn start(office: Arc<Office>) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                office.waits.some().await;
                let begin = Instant::now();
                look(&office);
                let [shortest, longest] = PAUSES;
                tokio::time::sleep((begin.elapsed() * SHARE).clamp(shortest, longest)).await;
            }
        })
    }
}

fn look(office: &Office) {
    // Who waits for a queue that cannot be looked at finds out why.
    let look = |queue: QueueName| {
        let free = office.transit.free(&queue).unwrap_or(u64::MAX);
        (queue, free)
    };
    let free: BTreeMap<_, _> = office.waits.queues().into_iter().map(look).collect();
    office.waits.ring(&free);
}
