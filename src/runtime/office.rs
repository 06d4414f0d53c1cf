//! What all actors of a process share: the transit, the switchboard, the process's own lanes.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::switchboard::Switchboard;
use super::waits::Waits;
use super::watch::Watch;
use crate::message::Message;
use crate::name::{LaneName, QueueName, TaskName};
use crate::transit::{AppendError, Outgoing, Sender, Transit};

/// How long a sender waits for room before it looks again: at first about as long as a consumer takes for a
/// batch, at last short against what a person notices.
const FULL_WAIT: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];
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
    senders: Mutex<HashMap<QueueName, Sender>>,
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
    pub(super) fn new(transit: Transit, switchboard: Switchboard, lane: LaneName) -> Self {
        let (switchboard, watch) = (ArcSwap::from_pointee(switchboard), Watch::new());
        let (senders, giving_up) = (Mutex::new(HashMap::new()), AtomicBool::new(false));
        Self { transit, switchboard, watch, waits: Waits::default(), lane, senders, giving_up }
    }

    /// After `deadline` nobody waits for room.
    pub(super) fn give_up_at(self: &Arc<Self>, deadline: Instant) {
        let office = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            office.giving_up.store(true, Ordering::Relaxed);
        });
    }

    fn sender(&self, queue: &QueueName) -> Result<Sender, AppendError> {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = senders.get(queue) {
            return Ok(sender.clone());
        }
        let sender = self.transit.sender(queue, &self.lane)?;
        senders.insert(queue.clone(), sender.clone());
        Ok(sender)
    }

    /// Appends a message to the process's own lane of `queue`.
    pub(super) fn append(
        &self,
        queue: &QueueName,
        message: &Message,
        scratch: &mut Vec<u8>,
    ) -> Result<(), AppendRefusal> {
        let body = message.encode_to(scratch).map_err(|error| AppendRefusal::Never(error.to_string()))?;
        let out = Outgoing { stamp: message.stamp(), tag: None, body };
        self.sender(queue).and_then(|sender| sender.append(&out)).map_err(AppendRefusal::from)
    }

    /// Appends messages from the front of `messages` as far as the queue takes them, looking its lane up once.
    pub(super) fn append_some(&self, queue: &QueueName, messages: &mut VecDeque<Message>, scratch: &mut Vec<u8>) {
        let Ok(sender) = self.sender(queue) else { return };
        while let Some(message) = messages.front() {
            let Ok(body) = message.encode_to(scratch) else { return };
            if sender.append(&Outgoing { stamp: message.stamp(), tag: None, body }).is_err() {
                return;
            }
            messages.pop_front();
        }
    }

    /// Appends, waiting while the queue is full or the disk refuses; a long wait is reported once.
    pub(super) async fn append_waiting(
        &self,
        task: &TaskName,
        queue: &QueueName,
        message: &Message,
        scratch: &mut Vec<u8>,
    ) -> Result<(), PostError> {
        let [mut pause, longest] = FULL_WAIT;
        let (mut waited, mut reported, mut waiting) = (Duration::ZERO, false, None);
        loop {
            let reason = match self.append(queue, message, scratch) {
                Ok(()) => return Ok(()),
                Err(AppendRefusal::Never(reason)) => return Err(PostError::Refused(reason)),
                Err(AppendRefusal::Dropped(reason)) => {
                    tracing::debug!("{reason}");
                    return Ok(());
                }
                Err(AppendRefusal::NotNow { reason, fault }) => {
                    waiting.get_or_insert_with(|| self.waits.begin(task, queue));
                    if !reported && (fault || waited >= FULL_REPORT) {
                        tracing::error!("a sender waits: {reason}");
                        reported = true;
                    }
                    reason
                }
            };
            if self.giving_up.load(Ordering::Relaxed) {
                return Err(PostError::GivenUp { queue: queue.clone(), reason });
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(longest);
        }
    }

    /// Does the transit's housekeeping, once a second.
    pub(super) fn tidy(&self) {
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
