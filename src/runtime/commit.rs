//! The commits of one stateful task: when one is due, and the write under way.
//!
//! The task pauses only while its state is turned into text; the record is written by a thread of the runtime's
//! pool meanwhile, one at a time and in order. Finished positions are published after their record is written.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::store::{Record, StoreError, TaskStore};

/// A commit each second, unless `intervals: {save_state: s}` says otherwise: what the original does.
pub(super) const SAVE_STATE: Duration = Duration::from_secs(1);
/// How often the newest record is also written through to the disk.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// Pauses for commits take at most one part in this many of a task's time.
const PAUSE_SHARE: u32 = 10;

/// The commits of one task.
pub(super) struct Committer {
    /// In the writing thread's hands while `writing`.
    store: Option<TaskStore>,
    /// The newest record that is written whole: where a rollback goes.
    saved: Arc<Record>,
    writing: Option<JoinHandle<Written>>,
    interval: Duration,
    /// Also after so many activations.
    every: Option<u64>,
    /// Activations since the last commit began.
    since: u64,
    /// When the next commit may begin.
    next: Instant,
    last_checkpoint: Instant,
    checkpointed: bool,
}

/// What a write brought back.
struct Written {
    store: TaskStore,
    record: Arc<Record>,
    outcome: Result<(), StoreError>,
    checkpointed: bool,
}

impl Committer {
    /// For a task whose newest record, already written, is `saved`.
    pub(super) fn new(store: TaskStore, saved: Record) -> Self {
        let now = Instant::now();
        Self {
            store: Some(store),
            saved: Arc::new(saved),
            writing: None,
            interval: SAVE_STATE,
            every: None,
            since: 0,
            next: now + SAVE_STATE,
            last_checkpoint: now,
            checkpointed: true,
        }
    }

    /// Takes the config's word on how often to commit.
    pub(super) fn configure(&mut self, interval: Option<Duration>, every: Option<u64>, now: Instant) {
        self.every = every;
        let interval = interval.unwrap_or(SAVE_STATE);
        if std::mem::replace(&mut self.interval, interval) != interval {
            self.next = now + interval;
        }
    }

    /// An activation changed what a record would hold.
    pub(super) fn count(&mut self) {
        self.since += 1;
    }

    /// The newest record that is written whole.
    pub(super) fn saved(&self) -> &Arc<Record> {
        &self.saved
    }

    /// The number of the next record.
    pub(super) fn next_number(&self) -> u64 {
        self.saved.n + 1
    }

    /// Whether a commit should begin now; `pressed`: room is needed in the task's queue.
    pub(super) fn due(&self, now: Instant, pressed: bool) -> bool {
        let full = self.every.is_some_and(|every| self.since >= every) || pressed;
        self.writing.is_none() && self.since > 0 && (full || now >= self.next)
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let commit = (self.since > 0 && self.writing.is_none()).then_some(self.next);
        let checkpoint = (!self.checkpointed && self.writing.is_none()).then(|| self.last_checkpoint + CHECKPOINT);
        commit.into_iter().chain(checkpoint).min()
    }

    /// Begins to write `record`; the task paused for it from `began` until `now`. Only while nothing is written.
    pub(super) fn begin(&mut self, record: Record, began: Instant, now: Instant) {
        self.since = 0;
        // Pauses stay a small share of the time, however large the state.
        self.next = now + self.interval.max((now - began) * PAUSE_SHARE);
        let checkpoint = now.saturating_duration_since(self.last_checkpoint) >= CHECKPOINT;
        self.write(Arc::new(record), true, checkpoint, now);
    }

    /// Writes the newest record through to the disk, if that is due.
    pub(super) fn checkpoint_if_due(&mut self, now: Instant) {
        let due = now.saturating_duration_since(self.last_checkpoint) >= CHECKPOINT;
        if due && !self.checkpointed && self.writing.is_none() {
            self.write(self.saved.clone(), false, true, now);
        }
    }

    /// Writes the newest record through to the disk before an end.
    pub(super) fn checkpoint(&mut self, now: Instant) {
        if !self.checkpointed && self.writing.is_none() {
            self.write(self.saved.clone(), false, true, now);
        }
    }

    fn write(&mut self, record: Arc<Record>, slot: bool, checkpoint: bool, now: Instant) {
        let mut store = self.store.take().expect("one record is written at a time");
        if checkpoint {
            self.last_checkpoint = now;
        }
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let mut outcome = if slot { store.write(&record) } else { Ok(()) };
            let checkpointed = checkpoint && outcome.is_ok();
            if checkpointed {
                outcome = store.checkpoint(&record);
            }
            Written { store, record, outcome, checkpointed }
        }));
    }

    /// Whether a write is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether the write under way is done, so that [`Committer::written`] does not wait.
    pub(super) fn write_is_done(&self) -> bool {
        self.writing.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Waits for the write under way; forever if there is none. `Ok` has the record that is safe now.
    pub(super) async fn written(&mut self) -> Result<Arc<Record>, StoreError> {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let written = match writing.await {
            Ok(written) => written,
            // The runtime is being torn down: whoever waits here will not be polled again.
            Err(error) if error.is_cancelled() => return std::future::pending().await,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.writing = None;
        self.store = Some(written.store);
        if let Err(error) = written.outcome {
            // What the record would have held is still to be committed.
            self.since += 1;
            return Err(error);
        }
        self.checkpointed = written.checkpointed;
        self.saved = written.record.clone();
        Ok(written.record)
    }
}
