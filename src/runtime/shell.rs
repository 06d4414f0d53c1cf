//! The part of an actor that is the same for every task: where its input comes from, when its timers are due, what
//! becomes of its output, and its orders.
//!
//! ```text
//!             open ──► Running ──Quiesce──► Quiet ──Stop──► closed
//!                         └───────────────Stop────────────────┘
//!   Running: orders, ticks, commits, input       Quiet: orders, commits, input from memory
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::dead;
use super::delivery::{Delivery, Origin};
use super::durable::{Durable, Place};
use super::handle::{Changed, Counters, Order, Role, Setup};
use super::neighbour::Neighbour;
use super::office::RING_MISSED;
use super::post::Post;
use super::timers::Timers;
use super::waits::OutputWaits;
use super::watch::Turn;
use super::work::{Event, Input, Work};
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::name::TaskName;
use crate::value::Map;

/// How often it looks whether what it emitted can go where nobody rings for that: short against what a person notices,
/// long against a message.
const ROOM_LOOK: Duration = Duration::from_millis(1);
/// How often it tries again to read a queue that cannot be read: its lanes that can be read wait as long, too.
const UNREADABLE_LOOK: Duration = Duration::from_millis(50);
/// So many inputs are handled between two looks at clock and orders: a look costs as much as a small message.
const LOOK_EVERY: u32 = 16;

/// An actor without its task.
pub(crate) struct Shell {
    pub(super) setup: Setup,
    pub(super) orders: mpsc::Receiver<Order>,
    changed: Changed,
    pub(super) source: Source,
    pub(super) turn: Arc<Turn>,
    pub(super) counters: Arc<Counters>,
    pub(super) post: Post,
    pub(super) timers: Timers,
    pub(super) quiet: bool,
    /// Told to end: what is in memory is worked off until then.
    stopping: Option<Instant>,
    until_look: u32,
    /// Something that an activation emitted could not be sent: no record may count its input.
    pub(super) spoiled: bool,
    /// The commit after a panic comes before the next tick, lest a tick that always panics undoes all progress.
    pub(super) commit_first: bool,
    pub(super) last_fault: Option<String>,
    /// Queues that have no room for what is in the outbox.
    pub(super) full: OutputWaits,
    next_look_after: Instant,
    /// What the last look found.
    last_look: Vec<String>,
    /// After the queue could not be read: when to try again.
    take_again: Option<Instant>,
}

/// Where input comes from.
pub(super) enum Source {
    /// A stateless task's mailbox, and what was taken from it.
    Mailbox(Arc<Neighbour>, VecDeque<Delivery>),
    /// A stateful task's queue and records; nothing until it is opened.
    Durable(Option<Box<Durable>>),
}

impl Shell {
    pub(super) fn new(
        setup: Setup,
        orders: mpsc::Receiver<Order>,
        changed: Changed,
        source: Source,
        counters: Arc<Counters>,
    ) -> Self {
        let mut timers = Timers::default();
        timers.set_overrides(setup.framework.intervals.clone());
        let turn = Arc::new(setup.office.watch.register(setup.name.clone()));
        turn.set_may_block(setup.framework.blocking);
        let post = Post::new(setup.office.clone(), setup.name.clone());
        let now = Instant::now();
        Self {
            setup,
            orders,
            changed,
            source,
            turn,
            counters,
            post,
            timers,
            quiet: false,
            stopping: None,
            until_look: 0,
            spoiled: false,
            commit_first: false,
            last_fault: None,
            full: OutputWaits::default(),
            next_look_after: now,
            last_look: Vec::new(),
            take_again: None,
        }
    }

    pub(super) fn name(&self) -> &TaskName {
        &self.setup.name
    }

    pub(super) fn own(&self) -> &Arc<Map> {
        &self.setup.own
    }

    pub(super) fn turn(&self) -> &Arc<Turn> {
        &self.turn
    }

    pub(super) fn is_stateful(&self) -> bool {
        matches!(self.source, Source::Durable(_))
    }

    /// Whether the task's home is another process.
    pub(super) fn is_copy(&self) -> bool {
        self.setup.role == Role::Copy
    }

    pub(super) fn durable(&mut self) -> Option<&mut Durable> {
        match &mut self.source {
            Source::Durable(durable) => durable.as_deref_mut(),
            Source::Mailbox(..) => None,
        }
    }

    /// Reports something about this task that a person should act on.
    pub(super) fn error(&self, text: &str) {
        tracing::error!(task = self.setup.name.as_str(), "{}: {text}", self.setup.name);
    }

    /// Reports a fault that lasts, once.
    pub(super) fn fault(&mut self, text: String) {
        if self.last_fault.as_ref() != Some(&text) {
            self.error(&text);
            self.last_fault = Some(text);
        }
    }

    /// What to do next; waits until there is something.
    pub(super) async fn next(&mut self) -> Work {
        loop {
            if self.until_look == 0 {
                // A steady stream of input must not keep the others of this thread from running.
                tokio::task::coop::consume_budget().await;
                self.until_look = LOOK_EVERY;
                if let Some(work) = self.look().await {
                    self.until_look = 0;
                    return work;
                }
            }
            self.until_look -= 1;
            let held_up = self.held_up();
            match if held_up { None } else { self.take() } {
                Some(input) => return Work::Message(input),
                None if self.stopping.is_some() && !held_up => return Work::Stop,
                None => {
                    self.until_look = 0;
                    if let Some(work) = self.wait().await {
                        return work;
                    }
                }
            }
        }
    }

    /// Orders, ticks and commits that are due.
    async fn look(&mut self) -> Option<Work> {
        while let Ok(order) = self.orders.try_recv() {
            if let Some(work) = self.obey(order) {
                return Some(work);
            }
        }
        let now = Instant::now();
        self.written_meanwhile().await;
        if let Some(work) = self.commit_if_due(now) {
            return Some(work);
        }
        if self.held_up() {
            return None;
        }
        // The rest goes to its queue.
        let too_long = self.stopping.is_some_and(|until| now >= until);
        if too_long { Some(Work::Stop) } else { self.timers.due(now).map(Work::Tick) }
    }

    /// Whether what was emitted must find room first. Meanwhile orders and commits go on.
    fn held_up(&mut self) -> bool {
        if self.post.backlog() {
            self.post.push_backlog();
        }
        let outbox_full = self.durable().is_some_and(|durable| durable.ledger.is_full());
        self.post.backlog() || outbox_full
    }

    fn commit_if_due(&mut self, now: Instant) -> Option<Work> {
        let tick_waits = self.commit_first && self.timers.next().is_some_and(|next| next <= now);
        let durable = self.durable()?;
        durable.committer.checkpoint_if_due(now);
        let appended = durable.append_outbox();
        let pressed = durable.pressed() || tick_waits;
        let due = durable.committer.due(now, pressed);
        self.outbox_appended(appended);
        (due && !self.spoiled).then_some(Work::Commit)
    }

    fn obey(&mut self, order: Order) -> Option<Work> {
        match order {
            Order::Configure => self.take_config().then(|| Work::Configure(self.setup.own.clone())),
            Order::Append(appended) => {
                if let Some(durable) = self.durable() {
                    durable.tell_when_appended(appended);
                }
                None
            }
            Order::Quiesce => {
                self.timers.clear();
                self.quiet = true;
                None
            }
            Order::Stop { until } => {
                self.stopping = Some(until);
                // What a queue holds is still there at the next start; what a mailbox holds is worked off.
                self.is_stateful().then_some(Work::Stop)
            }
        }
    }

    /// Takes the framework's part of a changed config; false if there is none.
    pub(super) fn take_config(&mut self) -> bool {
        let Some((own, framework)) = self.changed.take() else { return false };
        self.timers.set_overrides(framework.intervals.clone());
        (self.setup.own, self.setup.framework) = (own, framework);
        self.configure_commits();
        true
    }

    /// The next input that is at hand.
    fn take(&mut self) -> Option<Input> {
        match &mut self.source {
            Source::Mailbox(neighbour, batch) => loop {
                if batch.is_empty() && !neighbour.mailbox.take(batch) {
                    return None;
                }
                let Delivery { message, origin } = batch.pop_front()?;
                // The activation that made a void copy was rolled back; it is made again.
                if !matches!(&origin, Some(Origin::Task(listing)) if listing.is_void()) {
                    return Some(Input { message, origin, place: None });
                }
            },
            Source::Durable(_) => self.take_durable(),
        }
    }

    /// Whether the queue is left alone: for good, or for a moment.
    fn takes_nothing(&mut self) -> bool {
        self.take_again = self.take_again.filter(|at| Instant::now() < *at);
        self.quiet || self.take_again.is_some()
    }

    fn take_durable(&mut self) -> Option<Input> {
        if self.takes_nothing() {
            return None;
        }
        loop {
            let durable = self.durable()?;
            let taken = match durable.next() {
                Ok(taken) => taken?,
                Err(error) => {
                    self.fault(error.to_string());
                    self.take_again = Some(Instant::now() + UNREADABLE_LOOK);
                    return None;
                }
            };
            let place = Place { lane: taken.lane, end: taken.end, count: taken.count };
            let (left_out, is_poison) = (durable.is_left_out(place), taken.is_poison());
            match Message::from_encoded(taken.stamp, taken.body) {
                // The reason was noted when it was left out.
                Ok(message) if left_out => self.give_up(&message, place, ""),
                Ok(message) if is_poison => {
                    let reason = dead::poison();
                    self.error(&format!("a message goes to `dead`: {reason}"));
                    self.give_up(&message, place, &reason);
                }
                Ok(message) => return Some(Input { message, origin: None, place: Some(place) }),
                Err(error) => {
                    self.error(&format!("its queue held a message that cannot be read: {error}"));
                    let nothing = Message::stamped(taken.stamp, Map::new());
                    self.give_up(&nothing, place, &error.to_string());
                }
            }
        }
    }

    /// Waits for an order, a timer, a commit or input.
    async fn wait(&mut self) -> Option<Work> {
        let deadline = self.deadline(Instant::now());
        // Who is held up is not to be woken by what it cannot take.
        let takes_nothing = self.takes_nothing() || self.held_up();
        let room = self.post.room().clone();
        self.counters.idle.store(true, Ordering::Release);
        let event = match &mut self.source {
            Source::Mailbox(neighbour, _) => wait_for_mail(&neighbour.mailbox, &mut self.orders, &room, deadline).await,
            Source::Durable(Some(durable)) => durable.wait(&mut self.orders, &room, deadline, takes_nothing).await,
            Source::Durable(None) => Event::Order(self.orders.recv().await),
        };
        self.counters.idle.store(false, Ordering::Release);
        match event {
            Event::Order(order) => self.obey(order.unwrap_or_else(|| Order::Stop { until: Instant::now() })),
            Event::Written(outcome) => {
                self.after_write(outcome);
                None
            }
            Event::Deadline => {
                self.look_after();
                None
            }
            Event::Input => None,
        }
    }

    fn deadline(&mut self, now: Instant) -> Instant {
        let held_up = self.held_up();
        let waits = held_up || self.durable().is_some_and(|durable| durable.ledger.has_sealed());
        let rung_for = !self.full.is_empty() || self.post.is_rung_for();
        let room = waits.then(|| now + if rung_for { RING_MISSED } else { ROOM_LOOK });
        // Who is held up does not tick.
        let timer = self.timers.next().filter(|_| !held_up);
        let (look_after, spoiled) = (self.next_look_after, self.spoiled);
        let durable = self.durable().map(|durable| durable.committer.deadline().filter(|_| !spoiled));
        let commit = durable.map(|commit| commit.unwrap_or(look_after).min(look_after));
        // A stateless task without timers waits for mail and orders alone; what it wakes up for then is nothing.
        timer
            .into_iter()
            .chain(commit)
            .chain(room)
            .chain(self.take_again)
            .min()
            .unwrap_or(now + Duration::from_secs(3600))
    }

    fn look_after(&mut self) {
        let now = Instant::now();
        if now < self.next_look_after {
            return;
        }
        self.next_look_after = now + super::durable::RETRY;
        let lines = self.durable().map(Durable::look_after).unwrap_or_default();
        // What lasts is said once.
        for line in lines.iter().filter(|line| !self.last_look.contains(line)) {
            self.error(line);
        }
        self.last_look = lines;
    }
}

impl Drop for Shell {
    /// However an actor ends, nobody waits for room in its mailbox any more: its messages go to its queue.
    fn drop(&mut self) {
        if let Source::Mailbox(neighbour, batch) = &self.source {
            batch.iter().for_each(Delivery::leave_behind);
            self.setup.office.leave(neighbour);
        }
    }
}

async fn wait_for_mail(
    mailbox: &Mailbox<Delivery>,
    orders: &mut mpsc::Receiver<Order>,
    room: &Notify,
    deadline: Instant,
) -> Event {
    tokio::select! {
        biased;
        order = orders.recv() => Event::Order(order),
        () = mailbox.filled() => Event::Input,
        () = room.notified() => Event::Input,
        () = tokio::time::sleep_until(deadline) => Event::Deadline,
    }
}
