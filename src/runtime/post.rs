//! Sends what an activation emitted: stamps it, routes it, and puts each copy where it belongs.
//!
//! Copies for one destination go out together, in order; between destinations there is no order to keep.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::dead;
use super::delivery::{Course, Delivery, Origin};
use super::ledger::{Entered, Ledger, Listing, Output};
use super::office::{FULL_REPORT, Office, PostError};
use super::switchboard::{Destination, Switchboard};
use super::waits::{OutputWaits, Waits};
use crate::mailbox::{Closed, Mailbox};
use crate::message::{Message, PREVIOUS_SOURCE, SOURCE, Stamp, time_ns};
use crate::name::{QueueName, TaskName};
use crate::router::Target;
use crate::sdk::Emission;
use crate::value::{Map, Text, Value};

/// One actor's way out. Its buffers are kept from activation to activation.
pub(super) struct Post {
    office: Arc<Office>,
    task: TaskName,
    source: Value,
    /// Copies by destination, of the activation that is being sent; a run's buffer is used again.
    runs: Vec<Run>,
    used: usize,
    scratch: Vec<u8>,
    /// Mailboxes that have no room for the copies that are staged.
    full: OutputWaits,
}

/// What cannot be routed, and why.
struct Letter {
    message: Message,
    reason: String,
}

struct Run {
    target: Target,
    destination: Destination,
    messages: VecDeque<Message>,
    /// What did not fit into the mailbox yet.
    batch: VecDeque<Delivery>,
}

impl Post {
    pub(super) fn new(office: Arc<Office>, task: TaskName) -> Self {
        let source = Value::Text(Text::from(task.as_str()));
        Self { office, task, source, runs: Vec::new(), used: 0, scratch: Vec::new(), full: OutputWaits::default() }
    }

    /// Sends `emitted`, in order, in the given course; `done` is the listed copy that was handled by it. In the
    /// course of a stateful task nothing is waited for: see [`Post::backlog`]. Else it waits where a queue is full.
    pub(super) async fn send(
        &mut self,
        emitted: &mut Vec<Emission>,
        course: &Course,
        done: Option<&Listing>,
    ) -> Result<(), PostError> {
        let letters = self.stage_all(emitted);
        match course {
            Course::Task(_) => {
                self.enter(course, done, letters);
                Ok(())
            }
            Course::Process | Course::Queue(_) => {
                for Letter { message, reason } in letters {
                    dead::bury(&self.office, &message, self.task.as_str(), &reason);
                }
                self.deliver(course).await
            }
        }
    }

    /// Stages copies for where the table says; returns what cannot be routed.
    fn stage_all(&mut self, emitted: &mut Vec<Emission>) -> Vec<Letter> {
        let office = self.office.clone();
        let switchboard = office.switchboard.load();
        // The runs of a backlog may be of an older table, in which the same index meant another queue.
        for run in &mut self.runs[..self.used] {
            run.target = Target::Named(run.destination.queue());
        }
        let (now, mut letters) = (time_ns(), Vec::new());
        for emission in emitted.drain(..) {
            let message = match emission {
                Emission::New(fields) => self.message(fields, now),
                Emission::Route(message) => message,
            };
            letters.extend(self.stage(&switchboard, message).err());
        }
        letters
    }

    fn message(&self, mut fields: Map, now: u64) -> Message {
        if let Some(previous) = fields.insert(SOURCE, self.source.clone()) {
            fields.insert(PREVIOUS_SOURCE, previous);
        }
        Message::stamped(Stamp::at(now), fields)
    }

    fn stage(&mut self, switchboard: &Switchboard, message: Message) -> Result<(), Letter> {
        let (runs, used) = (&mut self.runs, &mut self.used);
        let routed = switchboard.table().route(message, |target, message| {
            let run = match runs[..*used].iter().position(|run| run.target == target) {
                Some(run) => run,
                None => find_or_begin_run(runs, used, target, switchboard),
            };
            runs[run].messages.push_back(message);
        });
        routed.map(drop).map_err(|error| {
            tracing::error!(task = self.task.as_str(), "{error}");
            let reason = error.to_string();
            Letter { message: error.message, reason }
        })
    }

    /// Enters the staged copies into the ledger of the course, and hands over what the mailboxes take now.
    fn enter(&mut self, course: &Course, done: Option<&Listing>, letters: Vec<Letter>) {
        let Course::Task(ledger) = course else { return };
        let (mut copies, mut output) = (Vec::new(), Vec::new());
        output.extend(letters.iter().map(|Letter { message, reason }| Output {
            queue: dead::queue(),
            message: dead::letter(message, self.task.as_str(), reason),
        }));
        for run in &mut self.runs[..self.used] {
            match &run.destination {
                Destination::Mailbox(task, _) => {
                    copies.extend(run.messages.iter().map(|message| (task.clone(), message.clone())));
                }
                Destination::Transit(queue) => {
                    let outputs = run.messages.drain(..);
                    output.extend(outputs.map(|message| Output { queue: queue.clone(), message }));
                }
            }
        }
        let mut entered = ledger.enter(done, &copies, output);
        let mut listings = std::mem::take(&mut entered.listings).into_iter();
        for run in &mut self.runs[..self.used] {
            for message in run.messages.drain(..) {
                // A void activation has no listings: its copies are dropped with it.
                let Some(listing) = listings.next() else { continue };
                run.batch.push_back(Delivery { message, origin: Some(Origin::Task(listing)) });
            }
        }
        self.not_even_dead(entered);
        self.push_backlog();
    }

    /// Hands over what the mailboxes take now.
    pub(super) fn push_backlog(&mut self) {
        let (mut closed, mut full) = (Vec::new(), BTreeMap::new());
        for run in &mut self.runs[..self.used] {
            let Destination::Mailbox(task, mailbox) = &run.destination else { continue };
            let before = run.batch.len();
            if mailbox.push(&mut run.batch).is_err() {
                closed.push((task.queue(), std::mem::take(&mut run.batch)));
            } else if !run.batch.is_empty() {
                full.insert(task.queue(), run.batch.len() < before);
            }
        }
        self.full.are(&full, &self.office.waits, &self.task);
        for (queue, batch) in closed {
            batch.into_iter().for_each(|delivery| self.forward(&queue, delivery));
        }
        if self.runs[..self.used].iter().all(|run| run.batch.is_empty()) {
            self.used = 0;
        }
    }

    /// Hands out one message of a record's `pending`, listed again.
    pub(super) fn hand_out(&mut self, ledger: &Arc<Ledger>, task: &TaskName, message: Message) {
        let destination = self.office.switchboard.load().named(&task.queue());
        let copies = [(task.clone(), message.clone())];
        let listing = ledger.enter(None, &copies, Vec::new()).listings.pop();
        let delivery = Delivery { message, origin: listing.map(Origin::Task) };
        let refused = match destination {
            Destination::Mailbox(_, mailbox) => mailbox.push_unbounded(delivery).err(),
            Destination::Transit(_) => Some(delivery),
        };
        if let Some(delivery) = refused {
            self.forward(&task.queue(), delivery);
        }
    }

    /// After a rollback: what was listed since is void.
    pub(super) fn drop_backlog(&mut self) {
        for run in &mut self.runs[..std::mem::take(&mut self.used)] {
            run.messages.clear();
            run.batch.clear();
        }
    }

    /// Copies that a task had not handled when it left go on to its queue. What does not get there before the process
    /// ends is handed out again at the next start, unless it lived in memory alone: that is said.
    pub(super) async fn send_on(&mut self, queue: &QueueName, left: VecDeque<Delivery>) {
        for delivery in left {
            if matches!(delivery.origin, Some(Origin::Task(_))) {
                self.forward(queue, delivery);
                continue;
            }
            match self.append(queue, &delivery.message, &Course::Process).await {
                Ok(()) => delivery.origin.into_iter().for_each(Origin::done),
                Err(error) => tracing::error!(task = self.task.as_str(), "{error}: {}", delivery.message),
            }
        }
    }

    /// A listed copy whose task has left goes on to the task's queue.
    fn forward(&mut self, queue: &QueueName, Delivery { message, origin }: Delivery) {
        let Some(Origin::Task(listing)) = origin else { return };
        let output = Output { queue: queue.clone(), message };
        let entered = listing.ledger().enter(Some(&listing), &[], vec![output]);
        self.not_even_dead(entered);
    }

    /// What not even `dead` takes is printed, so that it can be found in the log.
    pub(super) fn not_even_dead(&self, entered: Entered) {
        for (output, reason) in entered.refused {
            self.refuse(&output.queue, &output.message, &reason);
        }
    }

    /// Whether listed copies wait for room in their mailbox.
    pub(super) fn backlog(&self) -> bool {
        self.used > 0
    }

    /// Delivers the staged copies, waiting where there is no room.
    async fn deliver(&mut self, course: &Course) -> Result<(), PostError> {
        let mut outcome = Ok(());
        for number in 0..std::mem::take(&mut self.used) {
            let mut messages = std::mem::take(&mut self.runs[number].messages);
            let sent = match self.runs[number].destination.clone() {
                Destination::Mailbox(task, mailbox) => self.push(number, &task, &mailbox, &mut messages, course).await,
                Destination::Transit(queue) => self.append_all(&queue, &mut messages, course).await,
            };
            messages.clear();
            self.runs[number].messages = messages;
            outcome = outcome.and(sent);
        }
        outcome
    }

    async fn push(
        &mut self,
        number: usize,
        task: &TaskName,
        mailbox: &Mailbox<Delivery>,
        messages: &mut VecDeque<Message>,
        course: &Course,
    ) -> Result<(), PostError> {
        let batch = &mut self.runs[number].batch;
        let origin = || if let Course::Queue(token) = course { Some(Origin::Queue(token.copy())) } else { None };
        batch.extend(messages.drain(..).map(|message| Delivery { message, origin: origin() }));
        if push_all(&self.office.waits, &self.task, task, mailbox, batch).await.is_ok() {
            return Ok(());
        }
        // The task has left: its copies go to its queue.
        for delivery in std::mem::take(batch) {
            Box::pin(self.append(&task.queue(), &delivery.message, course)).await?;
            if let Some(origin) = delivery.origin {
                origin.done();
            }
        }
        Ok(())
    }

    async fn append_all(
        &mut self,
        queue: &QueueName,
        messages: &mut VecDeque<Message>,
        course: &Course,
    ) -> Result<(), PostError> {
        loop {
            self.office.append_some(queue, messages, &mut self.scratch);
            // What is refused is tried again by itself: it waits, or it is told why.
            let Some(message) = messages.pop_front() else { return Ok(()) };
            Box::pin(self.append(queue, &message, course)).await?;
        }
    }

    async fn append(&mut self, queue: &QueueName, message: &Message, course: &Course) -> Result<(), PostError> {
        debug_assert!(!matches!(course, Course::Task(_)), "a stateful task's output goes through its ledger");
        match self.office.append_waiting(&self.task, queue, message, &mut self.scratch).await {
            Err(PostError::Refused(reason)) => {
                self.refuse(queue, message, &reason);
                Ok(())
            }
            outcome => outcome,
        }
    }

    pub(super) fn refuse(&self, queue: &QueueName, message: &Message, reason: &str) {
        tracing::error!(task = self.task.as_str(), "a message for queue {queue} was refused: {reason}");
        dead::bury(&self.office, message, self.task.as_str(), reason);
    }
}

/// The run of a target that has none yet: that of a backlog for the same destination, so that order holds, or a new one.
fn find_or_begin_run(runs: &mut Vec<Run>, used: &mut usize, target: Target, switchboard: &Switchboard) -> usize {
    let destination = match &target {
        Target::Known(index) => switchboard.known(*index).clone(),
        Target::Named(queue) => switchboard.named(queue),
    };
    if let Some(run) = runs[..*used].iter().position(|run| run.destination.is(&destination)) {
        runs[run].target = target;
        return run;
    }
    match runs.get_mut(*used) {
        Some(run) => (run.target, run.destination) = (target, destination),
        None => runs.push(Run { target, destination, messages: VecDeque::new(), batch: VecDeque::new() }),
    }
    *used += 1;
    *used - 1
}

/// Pushes a batch, waiting for room; a wait that lasts is told, for it may be a circle of tasks that all wait.
async fn push_all(
    waits: &Waits,
    from: &TaskName,
    to: &TaskName,
    mailbox: &Mailbox<Delivery>,
    batch: &mut VecDeque<Delivery>,
) -> Result<(), Closed> {
    mailbox.push(batch)?;
    if batch.is_empty() {
        return Ok(());
    }
    // Waiting is the exception: an actor holds no room for it.
    let _waiting = waits.begin(from, &to.queue());
    Box::pin(push_waiting(from, to, mailbox, batch)).await
}

async fn push_waiting(
    from: &TaskName,
    to: &TaskName,
    mailbox: &Mailbox<Delivery>,
    batch: &mut VecDeque<Delivery>,
) -> Result<(), Closed> {
    // What was pushed before the time was up stays pushed.
    if let Ok(pushed) = tokio::time::timeout(FULL_REPORT, mailbox.push_all(batch)).await {
        return pushed;
    }
    tracing::error!(
        task = from.as_str(),
        "{from} has waited {} s for room in the mailbox of {to}, which holds {} messages; does {to} send to {from}, \
         or take too long?",
        FULL_REPORT.as_secs(),
        mailbox.status().open
    );
    mailbox.push_all(batch).await
}
