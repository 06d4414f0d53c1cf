//! Sends what an activation emitted: stamps it, routes it, and puts each copy where it belongs.
//!
//! Copies for one destination go out together, in order; between destinations there is no order to keep.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use super::dead;
use super::delivery::{Course, Delivery, Origin};
use super::ledger::{Emitted, Entered, Ledger, Listing, Refused};
use super::neighbour::Neighbour;
use super::office::{FULL_REPORT, Office, PostError};
use super::process_lane::Way;
use super::switchboard::{Destination, Switchboard};
use super::waits::{OutputWaits, Ring, Waits};
use crate::mailbox::Closed;
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
    /// Rung when there may be room for what waits, here or in the outbox.
    room: Arc<Notify>,
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
        let (source, full) = (Value::Text(Text::from(task.as_str())), OutputWaits::default());
        Self { office, task, source, runs: Vec::new(), used: 0, scratch: Vec::new(), full, room: Arc::default() }
    }

    /// Rung when there may be room for what waits.
    pub(super) fn room(&self) -> &Arc<Notify> {
        &self.room
    }

    /// Whether mailboxes have no room for what is staged.
    pub(super) fn is_rung_for(&self) -> bool {
        !self.full.is_empty()
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
        let task = self.task.as_str();
        let letters = letters.iter().map(|Letter { message, reason }| Emitted {
            to: Destination::Transit(dead::queue()),
            message: dead::letter(message, task, reason),
        });
        let routed = self.runs[..self.used].iter_mut().flat_map(|run| {
            let to = &run.destination;
            run.messages.drain(..).map(|message| Emitted { to: to.clone(), message })
        });
        let entered = ledger.enter(done, letters.chain(routed));
        self.take_over(entered);
        self.push_backlog();
    }

    /// Puts entered copies where they wait for room.
    fn take_over(&mut self, mut entered: Entered) {
        for (neighbour, delivery) in std::mem::take(&mut entered.copies) {
            let run = match self.runs[..self.used].iter().position(|run| run.destination.leads_to(&neighbour)) {
                Some(run) => run,
                None => {
                    let (target, to) = (Target::Named(neighbour.task.queue()), Destination::Neighbour(neighbour));
                    begin_run(&mut self.runs, &mut self.used, target, to)
                }
            };
            self.runs[run].batch.push_back(delivery);
        }
        self.not_even_dead(entered);
    }

    /// Hands over what the mailboxes take now.
    pub(super) fn push_backlog(&mut self) {
        let (mut closed, mut full) = (Vec::new(), BTreeMap::new());
        for run in &mut self.runs[..self.used] {
            let Destination::Neighbour(neighbour) = &run.destination else { continue };
            let before = run.batch.len();
            if neighbour.mailbox.push(&mut run.batch).is_err() {
                closed.push((neighbour.task.queue(), std::mem::take(&mut run.batch)));
            } else if !run.batch.is_empty() {
                full.insert(neighbour.task.queue(), run.batch.len() < before);
            }
        }
        let mailbox = |queue: &QueueName| {
            let runs = self.runs[..self.used].iter();
            let mut neighbours = runs.filter_map(|run| match &run.destination {
                Destination::Neighbour(neighbour) if !run.batch.is_empty() => Some(neighbour),
                _ => None,
            });
            neighbours.find(|neighbour| neighbour.task.queue() == *queue).map(|neighbour| neighbour.mailbox.clone())
        };
        let ring = |queue: &QueueName| Ring { bell: self.room.clone(), mailbox: mailbox(queue) };
        self.full.are(&full, &self.office.waits, &self.task, ring);
        for (queue, batch) in closed {
            batch.into_iter().for_each(|delivery| self.enter_anew(&queue, delivery));
        }
        if self.runs[..self.used].iter().all(|run| run.batch.is_empty()) {
            self.used = 0;
        }
    }

    /// Hands out one message of a record's `pending`, listed again.
    pub(super) fn hand_out(&mut self, ledger: &Arc<Ledger>, task: &TaskName, message: Message) {
        let to = self.office.switchboard.load().named(&task.queue());
        let entered = ledger.enter(None, std::iter::once(Emitted { to, message }));
        self.hand_over(entered);
    }

    /// Pushes entered copies whatever the bound: a record lists no more than once found room.
    fn hand_over(&mut self, mut entered: Entered) {
        for (neighbour, delivery) in std::mem::take(&mut entered.copies) {
            if let Err(delivery) = neighbour.mailbox.push_unbounded(delivery) {
                self.enter_anew(&neighbour.task.queue(), delivery);
            }
        }
        self.not_even_dead(entered);
    }

    /// After a rollback: what was listed since is void.
    pub(super) fn drop_backlog(&mut self) {
        for run in &mut self.runs[..std::mem::take(&mut self.used)] {
            run.messages.clear();
            run.batch.clear();
        }
    }

    /// Copies that a task had not handled when it left go on to its queue, before all that is sent there from now on.
    /// What it took from that queue is not among them. What does not get there before the process ends is handed out
    /// again at the next start, unless it lived in memory alone: that is said.
    pub(super) async fn send_on(&mut self, queue: &QueueName, left: VecDeque<Delivery>) {
        for Delivery { message, origin } in left {
            match origin {
                Some(Origin::Input(_)) => {}
                Some(Origin::Task(listing)) => {
                    if let Err(reason) = listing.ledger().send_on(&listing, queue, &message) {
                        self.refuse(queue, &message, &reason);
                    }
                }
                copy => match self.office.append_waiting(&self.task, queue, &message, &mut self.scratch).await {
                    Ok(()) => copy.into_iter().for_each(Origin::done),
                    Err(PostError::Refused(reason)) => self.refuse(queue, &message, &reason),
                    Err(error) => tracing::error!(task = self.task.as_str(), "{error}: {message}"),
                },
            }
        }
    }

    /// A listed copy whose task has left is entered again, and goes where that task is now.
    fn enter_anew(&mut self, queue: &QueueName, Delivery { message, origin }: Delivery) {
        let Some(Origin::Task(listing)) = origin else { return };
        let to = Destination::Transit(queue.clone());
        let entered = listing.ledger().enter(Some(&listing), std::iter::once(Emitted { to, message }));
        self.take_over(entered);
    }

    /// What not even `dead` takes is printed, so that it can be found in the log.
    pub(super) fn not_even_dead(&self, entered: Entered) {
        for Refused { queue, message, reason } in entered.refused {
            self.refuse(&queue, &message, &reason);
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
                Destination::Neighbour(neighbour) => self.push(number, &neighbour, &mut messages, course).await,
                Destination::Transit(queue) => self.send_all(&queue, None, &mut messages, course).await,
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
        neighbour: &Arc<Neighbour>,
        messages: &mut VecDeque<Message>,
        course: &Course,
    ) -> Result<(), PostError> {
        if neighbour.is_open() {
            let batch = &mut self.runs[number].batch;
            batch.extend(messages.drain(..).map(|message| course.delivery(message)));
            if push_all(&self.office.waits, &self.task, neighbour, batch).await.is_ok() {
                return Ok(());
            }
            let left = std::mem::take(batch);
            self.take_back(&neighbour.task.queue(), left, messages);
        }
        Box::pin(self.send_all(&neighbour.task.queue(), Some(neighbour), messages, course)).await
    }

    /// Sends messages by the process's lane, or to whom that leads; `neighbour` is the queue's task, where it is here.
    async fn send_all(
        &mut self,
        queue: &QueueName,
        neighbour: Option<&Arc<Neighbour>>,
        messages: &mut VecDeque<Message>,
        course: &Course,
    ) -> Result<(), PostError> {
        debug_assert!(!matches!(course, Course::Task(_)), "a stateful task's output goes through its ledger");
        loop {
            if let Way::Memory(there) = self.office.send_some(queue, neighbour, messages, &mut self.scratch) {
                let mut batch = messages.drain(..).map(|message| course.delivery(message)).collect();
                if push_all(&self.office.waits, &self.task, &there, &mut batch).await.is_ok() {
                    return Ok(());
                }
                self.take_back(queue, batch, messages);
                continue;
            }
            // What is refused is tried again by itself: it waits, or it is told why.
            let Some(message) = messages.front() else { return Ok(()) };
            match Box::pin(self.office.send_waiting(&self.task, queue, neighbour, message, &mut self.scratch)).await {
                Ok(Way::Memory(_)) => continue,
                Ok(Way::Appended) => {}
                Err(PostError::Refused(reason)) => self.refuse(queue, message, &reason),
                Err(error) => return Err(error),
            }
            messages.pop_front();
        }
    }

    /// The task has left before it took these. Their origins are done with: the activation under way holds its own.
    fn take_back(&mut self, queue: &QueueName, left: VecDeque<Delivery>, messages: &mut VecDeque<Message>) {
        for delivery in left.into_iter().rev() {
            if let Some(Origin::Task(_)) = &delivery.origin {
                self.enter_anew(queue, delivery);
                continue;
            }
            messages.push_front(delivery.message);
            delivery.origin.into_iter().for_each(Origin::done);
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
    begin_run(runs, used, target, destination)
}

fn begin_run(runs: &mut Vec<Run>, used: &mut usize, target: Target, destination: Destination) -> usize {
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
    to: &Neighbour,
    batch: &mut VecDeque<Delivery>,
) -> Result<(), Closed> {
    to.mailbox.push(batch)?;
    if batch.is_empty() {
        return Ok(());
    }
    // Waiting is the exception: an actor holds no room for it.
    let _waiting = waits.begin(from, &to.task.queue(), None);
    Box::pin(push_waiting(from, to, batch)).await
}

async fn push_waiting(from: &TaskName, to: &Neighbour, batch: &mut VecDeque<Delivery>) -> Result<(), Closed> {
    let Neighbour { task: to, mailbox, .. } = to;
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
