//! The commits of one stateful task: when one is due, and the write under way.
//!
//! The task pauses only while its state is turned into text; the record is written by a thread of the runtime's
//! pool meanwhile, one at a time and in order. Finished positions are published after their record is written.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::process::OwnerLock;
use crate::store::{Record, StoreError, TaskStore};

/// A commit each second, unless `intervals: {save_state: s}` says otherwise: what the original does.
pub(super) const SAVE_STATE: Duration = Duration::from_secs(1);
/// How often the newest record is also written through to the disk.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// Pauses for commits take at most one part in this many of a task's time.
const PAUSE_SHARE: u32 = 10;
/// How long after a write that failed the next may begin: a full disk seldom has room again sooner, and each try
/// turns the whole state into text.
const RETRY: Duration = Duration::from_millis(500);

/// The commits of one task.
pub(super) struct Committer {
    /// In the writing thread's hands while `writing`.
    store: Option<TaskStore>,
    /// The writing thread has it too: an actor that is ended in the middle of a write gives nothing back before.
    owner: Arc<OwnerLock>,
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
    /// After a write that failed: when to try again, also where room is needed.
    not_before: Instant,
    last_checkpoint: Instant,
    checkpointed: bool,
}

/// What a write brought back.
struct Written {
    store: TaskStore,
    record: Arc<Record>,
    /// Whether the record is in its slot: it counts then, whatever became of the checkpoint.
    outcome: Result<(), StoreError>,
    /// Whether it was written through to the disk too; none where that was not asked for.
    checkpoint: Option<Result<(), StoreError>>,
}

/// A record that survives a kill.
pub(super) struct Safe {
    pub(super) record: Arc<Record>,
    /// Why it was not written through to the disk, where that was due: it is tried again with the next checkpoint.
    pub(super) not_through: Option<StoreError>,
}

impl Committer {
    /// For a task whose newest record, already written, is `saved`; of number 0 where nothing was ever written.
    pub(super) fn new(store: TaskStore, owner: Arc<OwnerLock>, saved: Record) -> Self {
        let now = Instant::now();
        Self {
            store: Some(store),
            owner,
            saved: Arc::new(saved),
            writing: None,
            interval: SAVE_STATE,
            every: None,
            since: 0,
            next: now + SAVE_STATE,
            not_before: now,
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
        self.writing.is_none() && self.since > 0 && (full || now >= self.next) && now >= self.not_before
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let commit = (self.since > 0 && self.writing.is_none()).then_some(self.next.max(self.not_before));
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
        let owner = self.owner.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            failpoint!("commit.begun");
            let outcome = if slot { store.write(&record) } else { Ok(()) };
            if record.n == 1 {
                failpoint!("recovery.first_record_written");
            }
            let checkpoint = (checkpoint && outcome.is_ok()).then(|| store.checkpoint(&record));
            drop(owner);
            Written { store, record, outcome, checkpoint }
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
    pub(super) async fn written(&mut self) -> Result<Safe, StoreError> {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let Written { store, record, outcome, checkpoint } = match writing.await {
            Ok(written) => written,
            // The runtime is being torn down: whoever waits here will not be polled again.
            Err(error) if error.is_cancelled() => return std::future::pending().await,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.writing = None;
        self.store = Some(store);
        if let Err(error) = outcome {
            // What the record would have held is still to be committed, and a disk that refuses is not pressed.
            self.since += 1;
            self.not_before = Instant::now() + RETRY;
            return Err(error);
        }
        self.checkpointed = matches!(checkpoint, Some(Ok(())));
        self.saved = record.clone();
        Ok(Safe { record, not_through: checkpoint.and_then(Result::err) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::TaskName;
    use crate::store::Recovered;

    fn task() -> TaskName {
        TaskName::new("Task").unwrap()
    }

    fn record(n: u64) -> Record {
        Record { epoch: 7, n, state: format!("({n})"), ..Record::default() }
    }

    fn committer(place: &std::path::Path) -> Committer {
        let owner = OwnerLock::try_take(place, &task()).unwrap().unwrap();
        let mut store = TaskStore::open(place, &task()).unwrap();
        assert_eq!(store.recover(&mut |_| Ok(())).unwrap(), Recovered::Fresh);
        store.write(&record(1)).unwrap();
        Committer::new(store, Arc::new(owner), record(1))
    }

    #[test]
    fn a_task_that_is_ended_while_a_record_is_written_is_given_back_afterwards() {
        let place = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let mut committer = committer(place.path());
            let (go, wait) = std::sync::mpsc::channel();
            let slow_disk = tokio::task::spawn_blocking(move || wait.recv().unwrap());
            let now = Instant::now();
            committer.begin(record(2), now, now);
            drop(committer);
            assert!(OwnerLock::try_take(place.path(), &task()).unwrap().is_none(), "its record is not written yet");
            go.send(()).unwrap();
            slow_disk.await.unwrap();
            // The one thread does things in order.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            assert!(OwnerLock::try_take(place.path(), &task()).unwrap().is_some());
        });
    }

    #[tokio::test]
    async fn a_record_counts_although_it_could_not_be_written_through_to_the_disk() {
        let place = tempfile::tempdir().unwrap();
        let mut committer = committer(place.path());
        // No checkpoint can be made where a directory is in its way.
        std::fs::create_dir(place.path().join("Task.state.tmp")).unwrap();
        let late = Instant::now() + CHECKPOINT;
        for n in 2..5 {
            committer.begin(record(n), late, late + CHECKPOINT * u32::try_from(n).unwrap());
            let safe = committer.written().await.unwrap();
            assert_eq!((safe.record.n, committer.next_number()), (n, n + 1));
            assert!(safe.not_through.is_some());
            assert!(committer.deadline().is_some(), "the checkpoint is tried again");
        }
    }

    #[tokio::test]
    async fn after_a_write_that_failed_even_a_task_that_is_pressed_waits_a_little() {
        let place = tempfile::tempdir().unwrap();
        let mut committer = committer(place.path());
        std::fs::create_dir(place.path().join("Task.state.0")).unwrap();
        let now = Instant::now();
        committer.begin(record(2), now, now);
        assert!(committer.written().await.is_err());
        assert!(!committer.due(now, true));
        assert!(committer.due(now + 2 * RETRY, true));
        std::fs::remove_dir(place.path().join("Task.state.0")).unwrap();
        committer.begin(record(2), now, now);
        assert_eq!(committer.written().await.unwrap().record.n, 2);
    }
}
