//! What all actors of a process share: the transit, the switchboard, the process's own lanes.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::delivery::Delivery;
use super::handle::Role;
use super::neighbour::Neighbour;
use super::process_lane::{ProcessLane, ProcessLanes, Way};
use super::switchboard::Switchboard;
use super::waits::{Ring, Waits};
use super::watch::Watch;
use crate::message::Message;
use crate::name::{LaneName, QueueName, TaskName};
use crate::transit::{AppendError, Transit};

/// How long a sender waits for room before it looks again: at first about as long as a consumer takes for a batch;
/// from the longest of these pauses on it is rung for.
const FULL_WAIT: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];
/// Who is rung for looks by itself after this: nothing depends on a ring.
pub(super) const RING_MISSED: Duration = Duration::from_secs(1);
/// After this long a wait is worth a line: the time after which `strans` gives up on such a queue.
pub(super) const FULL_REPORT: Duration = Duration::from_secs(5);

/// The shared part.
pub(super) struct Office {
    pub(super) transit: Transit,
    pub(super) switchboard: ArcSwap<Switchboard>,
    pub(super) watch: Watch,
    pub(super) waits: Waits,
    /// What this process writes when no stateful task's course decides.
    lane: LaneName,
    /// What the daemon's process writes, where a stateless task is at home that is a copy here.
    daemon: LaneName,
    lanes: Mutex<ProcessLanes>,
    /// Set when the process ends and waits for nothing any more.
    giving_up: AtomicBool,
}

/// A message could not be appended before the process had to end.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    /// The queue refuses this message for good.
    #[error("{0}")]
    Refused(String),
    /// The process ends while the queue has no room.
    #[error("queue {queue} took nothing until the end: {reason}")]
    GivenUp { queue: QueueName, reason: String },
}

impl Office {
    pub(super) fn new(transit: Transit, switchboard: Switchboard, lane: LaneName, daemon: LaneName) -> Self {
        let (switchboard, watch) = (ArcSwap::from_pointee(switchboard), Watch::new());
        let (lanes, giving_up) = (Mutex::new(ProcessLanes::new(std::time::Instant::now())), AtomicBool::new(false));
        Self { transit, switchboard, watch, waits: Waits::default(), lane, daemon, lanes, giving_up }
    }

    /// What the process writes in which a task is at home, to which this process is `role`.
    pub(super) fn home_of(&self, role: Role) -> &LaneName {
        if role == Role::Copy { &self.daemon } else { &self.lane }
    }

    /// After `deadline` nobody waits for room.
    pub(super) fn give_up_at(self: &Arc<Self>, deadline: Instant) {
        let office = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            office.giving_up.store(true, Ordering::Relaxed);
            office.waits.ring_all();
        });
    }

    /// The process's own lane in `queue`.
    fn process_lane(&self, queue: &QueueName) -> Arc<ProcessLane> {
        self.lock_lanes().of(queue, &self.transit, &self.lane)
    }

    fn lock_lanes(&self) -> MutexGuard<'_, ProcessLanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message to the process's own lane of `queue`, whether or not the queue's task is here.
    pub(super) fn append(
        &self,
        queue: &QueueName,
        message: &Message,
        scratch: &mut Vec<u8>,
    ) -> Result<(), AppendRefusal> {
        self.process_lane(queue).append(message, scratch)
    }

    /// Appends a message, or says to which neighbour it goes; `neighbour` is the queue's task, where that is here.
    pub(super) fn send(
        &self,
        queue: &QueueName,
        neighbour: Option<&Arc<Neighbour>>,
        message: &Message,
        scratch: &mut Vec<u8>,
    ) -> Result<Way, AppendRefusal> {
        self.process_lane(queue).send(neighbour, message, scratch)
    }

    /// The same for messages from the front of `messages`, as far as the queue takes them.
    pub(super) fn send_some(
        &self,
        queue: &QueueName,
        neighbour: Option<&Arc<Neighbour>>,
        messages: &mut VecDeque<Message>,
        scratch: &mut Vec<u8>,
    ) -> Way {
        self.process_lane(queue).send_some(neighbour, messages, scratch)
    }

    /// A neighbour leaves and has nothing any more: from now on its messages go to its queue.
    pub(super) fn leave(&self, neighbour: &Arc<Neighbour>) {
        let lanes = self.lock_lanes();
        match lanes.get(&neighbour.task.queue()) {
            // One that nobody sent to has no lane; nobody makes one meanwhile.
            None => neighbour.go(),
            Some(lane) => {
                drop(lanes);
                lane.leave(neighbour);
            }
        }
        neighbour.mailbox.close().iter().for_each(Delivery::leave_behind);
    }

    /// Appends as [`Office::append`] does, waiting where there is no room.
    pub(super) async fn append_waiting(
        &self,
        task: &TaskName,
        queue: &QueueName,
        message: &Message,
        scratch: &mut Vec<u8>,
    ) -> Result<(), PostError> {
        self.patiently(task, queue, || self.append(queue, message, scratch)).await.map(Option::unwrap_or_default)
    }

    /// Sends as [`Office::send`] does, waiting where there is no room.
    pub(super) async fn send_waiting(
        &self,
        task: &TaskName,
        queue: &QueueName,
        neighbour: Option<&Arc<Neighbour>>,
        message: &Message,
        scratch: &mut Vec<u8>,
    ) -> Result<Way, PostError> {
        let sent = self.patiently(task, queue, || self.send(queue, neighbour, message, scratch)).await;
        sent.map(|way| way.unwrap_or(Way::Appended))
    }

    /// Tries while the queue is full or the disk refuses; a long wait is reported once. None: the message was
    /// dropped, as the queue's overflow says.
    async fn patiently<T>(
        &self,
        task: &TaskName,
        queue: &QueueName,
        mut attempt: impl FnMut() -> Result<T, AppendRefusal>,
    ) -> Result<Option<T>, PostError> {
        let [mut pause, longest] = FULL_WAIT;
        let (begin, ring) = (Instant::now(), Ring::default());
        let (mut reported, mut waiting) = (false, None);
        loop {
            let (reason, is_fault) = match attempt() {
                Ok(done) => return Ok(Some(done)),
                Err(AppendRefusal::Never(reason)) => return Err(PostError::Refused(reason)),
                Err(AppendRefusal::Dropped(reason)) => {
                    tracing::debug!("{reason}");
                    return Ok(None);
                }
                Err(AppendRefusal::NotNow { reason, fault }) => {
                    waiting.get_or_insert_with(|| self.waits.begin(task, queue, Some(ring.clone())));
                    if !reported && (fault || begin.elapsed() >= FULL_REPORT) {
                        tracing::error!("a sender waits: {reason}");
                        reported = true;
                    }
                    (reason, fault)
                }
            };
            if self.giving_up.load(Ordering::Relaxed) {
                return Err(PostError::GivenUp { queue: queue.clone(), reason });
            }
            if pause >= longest && !is_fault {
                // Rung for or not: it looks.
                let _missed = tokio::time::timeout(RING_MISSED, ring.bell.notified()).await;
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Does the transit's housekeeping, once a second, and gives back lanes that are idle.
    pub(super) fn tidy(&self) {
        self.lock_lanes().sweep(std::time::Instant::now());
        if let Err(error) = self.transit.tidy() {
            tracing::error!("{error}");
        }
    }
}

/// Why a message was not appended, as the sender must act on it.
pub(super) enum AppendRefusal {
    /// It will never be.
    Never(String),
    /// It was dropped, as the queue's overflow says.
    Dropped(String),
    /// Perhaps later. A fault is worth a line at once, a full queue only when it lasts.
    NotNow { reason: String, fault: bool },
}

impl fmt::Display for AppendRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never(reason) | Self::Dropped(reason) | Self::NotNow { reason, .. } => f.write_str(reason),
        }
    }
}

impl From<AppendError> for AppendRefusal {
    fn from(error: AppendError) -> Self {
        let reason = error.to_string();
        match error {
            AppendError::TooLarge { .. } | AppendError::DeadLetter { .. } => Self::Never(reason),
            AppendError::DroppedNewest { .. } => Self::Dropped(reason),
            AppendError::Full { .. } => Self::NotNow { reason, fault: false },
            AppendError::Queue(_) => Self::NotNow { reason, fault: true },
        }
    }
}
