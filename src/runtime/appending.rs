//! Output that waits in outboxes is appended before others go on.
//!
//! A stateless task that leaves has handled copies in the course of stateful ones; what they made of it may wait in an
//! outbox. What the task sends from its next place must not come before it. So the node has everybody append, and waits.

use std::time::Duration;

use tokio::sync::oneshot;

use super::durable::Durable;
use super::handle::{Handle, Order};
use super::outbox::Appended;

/// How long it waits: a commit begins at once, so only a full queue or a handler at work takes longer.
const PATIENCE: Duration = Duration::from_secs(1);

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
pub(super) async fn append_outputs(tasks: impl Iterator<Item = &Handle>) {
    let stateful = tasks.filter(|handle| handle.neighbour.is_none());
    let asked: Vec<_> = stateful.map(ask).collect();
    let all = async {
        for appended in asked {
            // An error: the task has ended, and its next process goes on from its record.
            let _ended = appended.await;
        }
    };
    if tokio::time::timeout(PATIENCE, all).await.is_err() {
        tracing::error!(
            "a stateless task leaves while output of others waits for room: what it sends from its next place may \
             overtake that"
        );
    }
}

fn ask(task: &Handle) -> oneshot::Receiver<()> {
    let (appended, rx) = oneshot::channel();
    task.seat.order(Order::Append(appended));
    rx
}
