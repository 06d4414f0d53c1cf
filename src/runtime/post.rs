//! Sends what an activation emitted: stamps it, routes it, and puts each copy where it belongs.

use std::collections::VecDeque;
use std::sync::Arc;

use super::delivery::{Course, Delivery, Origin};
use super::office::{Office, PostError};
use super::switchboard::{Destination, Switchboard};
use super::{dead, ledger};
use crate::message::{Message, PREVIOUS_SOURCE, SOURCE, Stamp, time_ns};
use crate::name::{QueueName, TaskName};
use crate::router::{STATIC_FORWARDS, Target};
use crate::sdk::Emission;
use crate::value::{Map, Text, Value};

/// One actor's way out. Its buffers are kept from activation to activation.
pub(super) struct Post {
    office: Arc<Office>,
    task: TaskName,
    source: Value,
    staged: Vec<(Destination, Message)>,
    batch: VecDeque<Delivery>,
    scratch: Vec<u8>,
}

impl Post {
    pub(super) fn new(office: Arc<Office>, task: TaskName) -> Self {
        let source = Value::Text(Text::from(task.as_str()));
        Self { office, task, source, staged: Vec::new(), batch: VecDeque::new(), scratch: Vec::new() }
    }

    /// Sends `emitted`, in order, in the given course. Waits where a queue is full. When this returns, every copy
    /// is in a queue or listed. Copies that a queue refuses for good go to `dead`.
    pub(super) async fn send(&mut self, emitted: &mut Vec<Emission>, course: &Course) -> Result<(), PostError> {
        let switchboard = self.office.switchboard.load_full();
        let now = time_ns();
        for emission in emitted.drain(..) {
            let message = match emission {
                Emission::New(fields) => self.message(fields, now),
                Emission::Route(message) => message,
            };
            self.stage(&switchboard, message);
        }
        self.flush(course).await
    }

    fn message(&self, mut fields: Map, now: u64) -> Message {
        if let Some(previous) = fields.insert(SOURCE, self.source.clone()) {
            fields.insert(PREVIOUS_SOURCE, previous);
        }
        Message::stamped(Stamp::at(now), fields)
    }

    fn stage(&mut self, switchboard: &Switchboard, message: Message) {
        let staged = &mut self.staged;
        // Only these can be refused; keeping a copy of every message would make each transform copy its fields.
        let copy = message.get(STATIC_FORWARDS).is_some().then(|| message.clone());
        let routed = switchboard.table().route(message, |target, message| {
            let destination = match target {
                Target::Known(index) => switchboard.known(index).clone(),
                Target::Named(queue) => switchboard.named(&queue),
            };
            staged.push((destination, message));
        });
        if let Err(error) = routed {
            tracing::error!(task = self.task.as_str(), "{error}");
            let copy = copy.unwrap_or_else(|| Message::new(Map::new()));
            dead::bury(&self.office, &copy, self.task.as_str(), &error.to_string());
        }
    }

    async fn flush(&mut self, course: &Course) -> Result<(), PostError> {
        let mut staged = std::mem::take(&mut self.staged);
        let mut outcome = Ok(());
        let mut run: Option<Destination> = None;
        for (destination, message) in staged.drain(..) {
            match destination {
                Destination::Mailbox(task, mailbox) => {
                    let same = matches!(&run, Some(Destination::Mailbox(_, last)) if Arc::ptr_eq(last, &mailbox));
                    if !same {
                        outcome = outcome.and(self.push(run.take(), course).await);
                        run = Some(Destination::Mailbox(task.clone(), mailbox));
                    }
                    self.batch.push_back(Delivery { origin: origin(course, &task, &message), message });
                }
                Destination::Transit(queue) => {
                    outcome = outcome.and(self.push(run.take(), course).await);
                    outcome = outcome.and(self.append(&queue, &message, course).await);
                }
            }
        }
        outcome = outcome.and(self.push(run.take(), course).await);
        self.staged = staged;
        outcome
    }

    /// Pushes the batch into its mailbox. A mailbox that closed belonged to a task that left: its copies go to its
    /// queue.
    async fn push(&mut self, run: Option<Destination>, course: &Course) -> Result<(), PostError> {
        let Some(Destination::Mailbox(task, mailbox)) = run else { return Ok(()) };
        if mailbox.push_all(&mut self.batch).await.is_ok() {
            return Ok(());
        }
        let queue = task.queue();
        for delivery in std::mem::take(&mut self.batch) {
            self.append(&queue, &delivery.message, course).await?;
            if let Some(origin) = delivery.origin {
                origin.done();
            }
        }
        Ok(())
    }

    async fn append(&mut self, queue: &QueueName, message: &Message, course: &Course) -> Result<(), PostError> {
        match self.office.append_waiting(course, queue, message, &mut self.scratch).await {
            Err(PostError::Refused(reason)) => {
                tracing::error!(task = self.task.as_str(), "a message for queue {queue} was refused: {reason}");
                dead::bury(&self.office, message, self.task.as_str(), &reason);
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// The origin of a copy that is made in `course`.
pub(super) fn origin(course: &Course, task: &TaskName, message: &Message) -> Option<Origin> {
    match course {
        Course::Process => None,
        Course::Task(ledger) => Some(Origin::Task(ledger::Ledger::list(ledger, task.clone(), message.clone()))),
        Course::Queue(token) => Some(Origin::Queue(token.copy())),
    }
}
