//! Output that waits in outboxes is appended before others go on.
//!
//! A stateless task that leaves has handled copies in the course of stateful ones; what they made of it may wait in an
//! outbox. What the task sends from its next place must not come before it. So the node has everybody append, and waits.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::durable::Durable;
use super::handle::{Handle, Order};
use super::outbox::Appended;
use super::waits::Waits;
use crate::name::{QueueName, TaskName};

/// How long it waits for output that has no room: only who reads that queue makes some, and he may be the one that leaves.
const FULL: Duration = Duration::from_secs(1);
/// How long at the most: a commit begins at once, but a busy disk may take its time, and what is not waited for loses its
/// order.
const LONGEST: Duration = Duration::from_secs(3);
/// How often it looks whether what is waited for has no room.
const LOOK: Duration = Duration::from_millis(50);

/// Who waits for the output of one moment to be in its queues. Dropping it says that it is not.
pub(super) struct Asked {
    /// The first record that holds all of it.
    record: u64,
    appended: oneshot::Sender<()>,
}

impl Asked {
    /// Whether the record of this number is to be written for it, and soon.
    pub(super) fn wants(&self, record: u64) -> bool {
        record <= self.record
    }

    fn tell(self) {
        // Who asked may wait no more.
        let _gone = self.appended.send(());
    }
}

impl Durable {
    /// Says when the output of now is in its queues; a commit comes soon, if that is what it waits for.
    pub(super) fn tell_when_appended(&mut self, appended: oneshot::Sender<()>) {
        // A record that is being written holds only what came before its snapshot.
        let record = self.committer.next_number() + u64::from(self.committer.is_writing());
        let asked = Asked { record, appended };
        if self.ledger.holds_output() { self.asked = Some(asked) } else { asked.tell() }
    }

    /// Appends what the outbox holds, as far as there is room; output that waits for a commit asks for one.
    pub(super) fn append_outbox(&mut self) -> Appended {
        if self.ledger.take_changed() {
            self.committer.count();
        }
        let appended = self.ledger.append_sealed();
        let next = self.committer.next_number();
        if let Some(asked) = self.asked.take_if(|asked| !asked.wants(next) && self.ledger.has_appended_all()) {
            asked.tell();
        }
        appended
    }
}

/// Waits until what the stateful ones of these tasks have emitted is in its queues.
pub(super) async fn append_outputs(tasks: impl Iterator<Item = (&TaskName, &Handle)>, waits: &Waits) {
    let begin = Instant::now();
    let stateful = tasks.filter(|(_, handle)| handle.neighbour.is_none());
    let asked: Vec<_> = stateful.map(|(name, handle)| (name, ask(handle))).collect();
    for (task, mut appended) in asked {
        // An error: the task has ended, and its next process goes on from its record.
        while timeout_at(next_look(begin), &mut appended).await.is_err() {
            let full = waits.list().into_iter().find(|wait| wait.task == *task).map(|wait| wait.queue);
            if full.is_some() || begin.elapsed() >= LONGEST {
                say_late(task, full.as_ref(), begin.elapsed());
                break;
            }
        }
    }
}

fn next_look(begin: Instant) -> Instant {
    (begin + FULL).max(Instant::now() + LOOK).min(begin + LONGEST)
}

fn say_late(task: &TaskName, full: Option<&QueueName>, waited: Duration) {
    let why = full.map_or("for a commit".to_owned(), |queue| format!("for room in queue {queue}"));
    tracing::error!(
        task = task.as_str(),
        "a stateless task leaves while output of {task} waits {why}, for {:.1} s now: what the one that leaves sends from \
         its next place may overtake that",
        waited.as_secs_f64()
    );
}

fn ask(task: &Handle) -> oneshot::Receiver<()> {
    let (appended, rx) = oneshot::channel();
    task.seat.order(Order::Append(appended));
    rx
}
