//! How a stateful task is opened, saved and closed.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::commit::Safe;
use super::delivery::Course;
use super::durable::{Durable, OpenError, Opening};
use super::handle::Order;
use super::office::AppendRefusal;
use super::outbox::Appended;
use super::patience::Patience;
use super::shell::{Shell, Source};
use super::waits::Ring;
use super::work::Ended;
use crate::message::Message;
use crate::name::QueueName;
use crate::sdk::CommitRequest;
use crate::store::{Record, StoreError};
use crate::transit::Error;
use crate::value::Map;

/// The first state of a task by its config, as text.
pub(super) type FirstState<'a> = &'a (dyn Fn(&Map) -> Result<String, String> + Sync);

/// How long an end waits for tasks of this process to handle what was emitted to them: long for a handler, short
/// for whoever waits for the end.
const NEIGHBOURS: Duration = Duration::from_millis(200);

impl Shell {
    /// Takes what the task needs to run; waits while another process has it. A stateful task's state is returned.
    pub(super) async fn open(&mut self, first: FirstState<'_>) -> Result<Option<String>, Ended> {
        if !self.is_stateful() {
            return Ok(None);
        }
        let mut patience = Patience::default();
        loop {
            match self.try_open(first) {
                Ok(state) => return Ok(Some(state)),
                // A task on its way from one process to another is given back in a moment.
                Err(OpenError::Owned(_) | OpenError::Queue(Error::ConsumedBy { .. })) if !patience.is_long() => {}
                Err(OpenError::Owned(reason)) => self.fault(format!("waits: another process runs it ({reason})")),
                Err(OpenError::Queue(error)) => self.fault(format!("waits: {error}")),
                Err(error) => return Err(self.failed(&format!("not started: {error}"))),
            }
            self.counters.idle.store(true, Ordering::Release);
            tokio::select! {
                order = self.orders.recv() => match order {
                    // The task is made with it when it is opened.
                    Some(Order::Configure) => {
                        self.take_config();
                    }
                    // It has nothing: what its record holds belongs to whoever opens that.
                    Some(Order::Append(_)) => {}
                    Some(Order::Quiesce) => self.quiet = true,
                    Some(Order::Stop { .. }) | None => return Err(Ended::Orderly),
                },
                () = tokio::time::sleep(patience.pause()) => {}
            }
        }
    }

    fn try_open(&mut self, first: FirstState<'_>) -> Result<String, OpenError> {
        let setup = &self.setup;
        let (durable, differences) = Durable::open(&Opening {
            office: &setup.office,
            bell: &setup.bell,
            description: &setup.description,
            state_dir: &setup.state_dir,
            task: &setup.name,
            settings: setup.settings(),
            check_state: setup.kind.check_state,
            initial: &|| first(&setup.own),
        })?;
        for line in &differences.0 {
            self.error(line);
        }
        let saved = durable.committer.saved().clone();
        self.source = Source::Durable(Some(Box::new(durable)));
        self.configure_commits();
        failpoint!("recovery.opened");
        self.hand_out_pending(&saved);
        failpoint!("recovery.pending_handed_out");
        Ok(saved.state.clone())
    }

    /// Hands out what the record lists as not yet handled, listed again. It counts as this task's output.
    fn hand_out_pending(&mut self, saved: &Record) {
        let Some(ledger) = self.durable().map(|durable| durable.ledger.clone()) else { return };
        for entry in &saved.pending {
            let message = match Message::from_encoded(entry.stamp, entry.body.clone()) {
                Ok(message) => message,
                Err(error) => {
                    self.error(&format!("its record lists a message for {} that cannot be read: {error}", entry.task));
                    continue;
                }
            };
            self.post.hand_out(&ledger, &entry.task, message);
        }
    }

    pub(super) fn configure_commits(&mut self) {
        let interval = self.setup.framework.intervals.get("save_state").copied();
        let every = self.setup.framework.commit_every;
        let delivery = self.setup.framework.delivery;
        if let Some(durable) = self.durable() {
            durable.committer.configure(interval, every, Instant::now());
            durable.ledger.set_delivery(delivery);
        }
    }

    /// Begins a commit of a state of this text, unless one is being written.
    pub(super) fn begin_commit(&mut self, state: Result<String, String>, began: Instant) {
        match state {
            Ok(state) => {
                self.commit_first = false;
                if let Some(durable) = self.durable() {
                    durable.begin_commit(state, began);
                }
            }
            Err(reason) => self.fault(format!("its state cannot be written as RON: {reason}")),
        }
    }

    /// Takes notice of a write that is done.
    pub(super) async fn written_meanwhile(&mut self) {
        if self.durable().is_some_and(|durable| durable.committer.write_is_done()) {
            self.join_write().await;
        }
    }

    async fn join_write(&mut self) {
        let Some(durable) = self.durable().filter(|durable| durable.committer.is_writing()) else { return };
        let outcome = durable.committer.written().await;
        self.after_write(outcome);
    }

    pub(super) fn after_write(&mut self, outcome: Result<Safe, StoreError>) {
        match outcome {
            Ok(Safe { record, not_through }) => {
                match not_through {
                    Some(error) => self.fault(format!("its state is saved, but not written through: {error}")),
                    None => self.last_fault = None,
                }
                failpoint!("commit.record_written");
                if let Some(durable) = self.durable() {
                    durable.publish(&record);
                }
                failpoint!("commit.finished");
            }
            // The inputs stay in the queue, and the next commit tries again.
            Err(error) => self.fault(format!("its state could not be saved: {error}")),
        }
    }

    /// Output that found no room waits; what its queue refuses for good goes to `dead`.
    pub(super) fn outbox_appended(&mut self, appended: Appended) {
        if appended.tried {
            let ring = |_: &QueueName| Ring { bell: self.post.room().clone(), mailbox: None };
            self.full.are(&appended.full, &self.setup.office.waits, &self.setup.name, ring);
        }
        if let Some(AppendRefusal::NotNow { reason, fault: true }) = appended.waits {
            self.fault(format!("its output waits: {reason}"));
        }
        for (entry, reason) in appended.refused {
            match Message::from_encoded(entry.stamp, entry.body) {
                Ok(message) => self.post.refuse(&entry.queue, &message, &reason),
                Err(error) => self.error(&format!("its record held output that cannot be read: {error}")),
            }
        }
    }

    /// Saves now, for an activation that waits for it.
    pub(super) async fn commit_now(&mut self, request: CommitRequest) {
        let CommitRequest { state, mut emitted, done } = request;
        let outcome = self.send_and_save(state, &mut emitted).await;
        // The activation may have been dropped; what is saved is saved.
        done.send(outcome).unwrap_or_default();
    }

    async fn send_and_save(
        &mut self,
        state: Result<String, String>,
        emitted: &mut Vec<crate::sdk::Emission>,
    ) -> Result<(), String> {
        let state = state?;
        let ledger = self.durable().map(|durable| durable.ledger.clone()).ok_or("the task has no state")?;
        self.post.send(emitted, &Course::Task(ledger), None).await.map_err(|error| error.to_string())?;
        self.save(state).await
    }

    /// Writes a record of now and waits for it.
    async fn save(&mut self, state: String) -> Result<(), String> {
        self.join_write().await;
        let Some(durable) = self.durable() else { return Ok(()) };
        durable.begin_commit(state, Instant::now());
        self.saved().await
    }

    /// Writes the last record and waits for it. The neighbours get a moment to handle the copies they have: what
    /// the record lists is handled again after the next start.
    async fn save_last(&mut self, state: String) -> Result<(), String> {
        self.join_write().await;
        let end = Instant::now() + NEIGHBOURS;
        while self.durable().is_some_and(|durable| !durable.ledger.is_clear()) && Instant::now() < end {
            tokio::time::sleep(NEIGHBOURS / 100).await;
        }
        let Some(durable) = self.durable() else { return Ok(()) };
        durable.begin_last_commit(state, Instant::now());
        self.saved().await
    }

    /// Waits for the write under way.
    async fn saved(&mut self) -> Result<(), String> {
        let Some(durable) = self.durable() else { return Ok(()) };
        let outcome = durable.committer.written().await;
        let saved = outcome.as_ref().map(drop).map_err(ToString::to_string);
        self.after_write(outcome);
        saved
    }

    /// After a panic: goes back to the last record; returns its state.
    pub(super) async fn roll_back(&mut self) -> Option<String> {
        self.join_write().await;
        self.commit_first = true;
        let saved = self.durable().map(Durable::roll_back)?;
        self.post.drop_backlog();
        self.hand_out_pending(&saved);
        Some(saved.state.clone())
    }

    /// Ends the actor: saves, writes through to the disk, gives everything back.
    pub(super) async fn close(mut self: Box<Self>, state: Result<String, String>) -> Ended {
        if !self.is_stateful() {
            return self.leave().await;
        }
        let outcome = match state {
            Ok(_) if self.spoiled => {
                Err("what it emitted last could not be sent; it goes on from its last record".into())
            }
            Ok(state) => self.save_last(state).await,
            Err(reason) => Err(format!("its state cannot be written as RON: {reason}")),
        };
        failpoint!("release.saved");
        // What the last record holds back goes out now, and not at the next start, which may be far.
        if let Some(appended) = self.durable().map(Durable::append_outbox) {
            self.outbox_appended(appended);
        }
        failpoint!("release.outbox_appended");
        if let Some(durable) = self.durable() {
            durable.committer.checkpoint(Instant::now());
        }
        self.join_write().await;
        failpoint!("release.checkpointed");
        if let Some(durable) = self.durable() {
            durable.ledger.release();
        }
        failpoint!("release.lanes_released");
        match outcome {
            Ok(()) => Ended::Orderly,
            Err(reason) => self.failed(&reason),
        }
    }

    /// A stateless task leaves: what it has not handled goes to its queue, as what comes from now on does.
    pub(super) async fn leave(&mut self) -> Ended {
        let Source::Mailbox(neighbour, batch) = &mut self.source else { return Ended::Orderly };
        let (neighbour, mut left) = (neighbour.clone(), std::mem::take(batch));
        let queue = self.setup.name.queue();
        // Senders wait meanwhile, so that what they send next comes behind it.
        neighbour.mailbox.refuse();
        failpoint!("release.mailbox_closed");
        let mut waiting = VecDeque::new();
        neighbour.mailbox.take(&mut waiting);
        left.extend(waiting);
        // Before anything is waited for: only who reads the queue next makes room in it.
        left.retain(|delivery| !delivery.abandon());
        self.post.send_on(&queue, left).await;
        failpoint!("release.mailbox_sent_on");
        self.setup.office.leave(&neighbour);
        Ended::Orderly
    }

    /// Ends the actor with a fault.
    pub(super) fn failed(&self, reason: &str) -> Ended {
        self.error(reason);
        Ended::Failed
    }
}
