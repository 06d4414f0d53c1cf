//! The loop of a pool's dispatcher.
//!
//! ```text
//!   step: look after the workers, if it is time ─► deal what is taken ─┬─ Moved   go on
//!                                                                      ├─ NoRoom  sleep until a worker rings
//!                                                                      └─ Empty   sleep until the queue rings
//! ```
//!
//! A step never waits, so whatever ends the dispatcher meets it between two messages, or at a kill. It sleeps a second
//! at most: rings, and what it hears of workers that end and begin, make it quicker and are needed for nothing else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;

use super::super::inlet::report_once;
use super::super::office::Office;
use super::super::patience::Patience;
use super::dealer::{Dealer, Dealt};
use super::handle::{Hearsay, Terms};
use super::lanes::Asked;
use super::pauses::{CALM, Looks, RoomWait};
use crate::name::TaskName;
use crate::transit::{Bell, Consumer, Error, Reader, Taken};

/// So many messages are dealt before others of this thread get their turn.
const STEP: usize = 64;
/// How often it looks after the workers of what is no pool any more.
const DISSOLVING: Duration = Duration::from_millis(100);
/// So many workers are looked after at once, in turn: some calls into the kernel each.
const LOOKS: usize = 64;

/// The dispatcher of one pool.
pub(super) struct Dispatcher {
    office: Arc<Office>,
    pool: TaskName,
    reader: Reader,
    rung: Arc<Notify>,
    hearsay: Arc<Hearsay>,
    dealer: Dealer,
    /// Taken and not dealt.
    taken: VecDeque<Taken>,
    looks: Looks,
    room_wait: RoomWait,
    tidied: Instant,
    /// Where the turn of looking after workers stands.
    turn: u32,
    fault: Option<String>,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Moved,
    NoRoom { moved: bool },
    Empty,
}

impl Dispatcher {
    pub(super) fn new(
        office: Arc<Office>,
        bell: Arc<Bell>,
        description: String,
        pool: TaskName,
        terms: Terms,
        hearsay: Arc<Hearsay>,
    ) -> Self {
        let rung = hearsay.rung.clone();
        let bell_rung = rung.clone();
        let reader = Reader { bell, waker: Some(Arc::new(move || bell_rung.notify_one())), description };
        let dealer = Dealer::new(office.transit.clone(), pool.clone(), terms);
        let (now, taken, room_wait) = (Instant::now(), VecDeque::new(), RoomWait::default());
        let (looks, tidied, turn, fault) = (Looks::new(now), now, 0, None);
        Self { office, pool, reader, rung, hearsay, dealer, taken, looks, room_wait, tidied, turn, fault }
    }

    /// Deals until it is told to end.
    pub(super) async fn run(mut self, mut terms: watch::Receiver<Option<Terms>>) {
        let Some(mut source) = self.open(&mut terms).await else { return };
        loop {
            if self.is_to_end(&terms, &source) {
                return;
            }
            match self.step(&mut source) {
                Step::Moved => {
                    self.room_wait.moved();
                    tokio::task::yield_now().await;
                }
                Step::NoRoom { moved } => {
                    if moved {
                        self.room_wait.moved();
                    }
                    self.wait_for_room(&mut terms, &source).await;
                }
                Step::Empty => {
                    if source.prepare_sleep() {
                        self.wait(&mut terms, self.looks.next()).await;
                    }
                }
            }
        }
    }

    async fn wait_for_room(&mut self, terms: &mut watch::Receiver<Option<Terms>>, source: &Consumer) {
        let asked = self.dealer.ask_for_room(source);
        if asked == Asked::IsThere {
            return tokio::task::yield_now().await;
        }
        let until = Instant::now() + self.room_wait.pause(asked);
        self.wait(terms, until.min(self.looks.next())).await;
        if asked == Asked::Rings
            && let Some(rang) = self.dealer.room_came()
        {
            self.room_wait.is_there(rang);
        }
    }

    /// Puts what workers have left back into the queue of a task that is no pool any more, until nothing is left or it
    /// is told to end.
    pub(super) async fn dissolve(mut self, mut terms: watch::Receiver<Option<Terms>>) {
        loop {
            let newest = terms.borrow_and_update().clone();
            let Some(none) = newest.filter(|_| terms.has_changed().is_ok()) else { return };
            match self.dealer.set_terms(none, Instant::now()) {
                Ok(()) => self.look(Instant::now()),
                Err(error) => self.dealer.report(error.to_string()),
            }
            if self.dealer.crew.numbers().is_empty() {
                return;
            }
            self.wait(&mut terms, Instant::now() + DISSOLVING).await;
        }
    }

    async fn wait(&self, terms: &mut watch::Receiver<Option<Terms>>, until: Instant) {
        tokio::select! {
            // An end that nobody announces is one, too: see `is_to_end`.
            _ = terms.changed() => {}
            () = self.rung.notified() => {}
            () = sleep_until(until.into()) => {}
        }
    }

    /// Takes changed terms; true if it is to end, or if nobody is left who could say so.
    fn is_to_end(&mut self, terms: &watch::Receiver<Option<Terms>>, source: &Consumer) -> bool {
        let new = {
            let newest = terms.borrow();
            match newest.as_ref().filter(|_| terms.has_changed().is_ok()) {
                None => return true,
                Some(newest) if newest == self.dealer.crew.terms() => return false,
                Some(newest) => newest.clone(),
            }
        };
        let set = source.set_settings(&new.settings);
        let set = set.and_then(|()| self.dealer.set_terms(new, Instant::now()));
        set.unwrap_or_else(|error| self.dealer.report(error.to_string()));
        self.looks.news(Instant::now());
        false
    }

    /// Waits for the right to consume the pool's queue, and finishes what an earlier dispatcher had begun.
    async fn open(&mut self, terms: &mut watch::Receiver<Option<Terms>>) -> Option<Consumer> {
        let (mut patience, mut reported) = (Patience::default(), false);
        loop {
            let newest = terms.borrow_and_update().clone()?;
            match self.try_open(newest) {
                Ok(source) => return Some(source),
                Err(error) => {
                    let on_its_way = matches!(error, Error::ConsumedBy { .. }) && !patience.is_long();
                    if !on_its_way {
                        report_once(&mut reported, &self.pool.queue(), &error);
                    }
                }
            }
            let until = Instant::now() + patience.pause();
            self.wait(terms, until).await;
            terms.has_changed().ok()?;
        }
    }

    fn try_open(&mut self, terms: Terms) -> Result<Consumer, Error> {
        let queue = self.pool.queue();
        let mut source = self.office.transit.consumer(&queue, Some(&terms.settings), &self.reader)?;
        self.dealer.set_terms(terms, Instant::now())?;
        self.dealer.settle(&mut source)?;
        failpoint!("pool.settled");
        Ok(source)
    }

    fn step(&mut self, source: &mut Consumer) -> Step {
        let now = Instant::now();
        self.heed(now);
        if now >= self.looks.next() {
            self.look(now);
            self.look_after(source, now);
        }
        let mut batch = Vec::new();
        for dealt in 0..STEP {
            if self.taken.is_empty() {
                match source.take(&mut batch) {
                    Ok(0) => {
                        self.fault = None;
                        return Step::Empty;
                    }
                    Ok(_) => self.taken.extend(batch.drain(..)),
                    Err(error) => return self.put_off(&error),
                }
            }
            let Some(taken) = self.taken.front() else { return Step::Empty };
            if self.dealer.deal(source, taken, None) == Dealt::NoRoom {
                return Step::NoRoom { moved: dealt > 0 };
            }
            self.taken.pop_front();
        }
        Step::Moved
    }

    /// What cannot be taken now is reported once, and tried again.
    fn put_off(&mut self, error: &Error) -> Step {
        let text = error.to_string();
        if self.fault.as_ref() != Some(&text) {
            tracing::error!("{text}");
            self.fault = Some(text);
        }
        Step::NoRoom { moved: false }
    }

    /// Looks at those who are said to have come or gone. One that has just begun may show itself a little later.
    fn heed(&mut self, now: Instant) {
        let heard = self.hearsay.take();
        if !heard.is_empty() {
            self.looks.news(now);
            for number in heard {
                self.visit(number);
            }
        }
    }

    /// Sees who is there, and deals again what those have who are not.
    fn look(&mut self, now: Instant) {
        let numbers = self.dealer.crew.numbers();
        let begin = numbers.partition_point(|number| *number <= self.turn);
        for number in numbers.iter().cycle().skip(begin).take(numbers.len().min(LOOKS)) {
            self.visit(*number);
            self.turn = *number;
        }
        self.dealer.crew.look(now);
        self.looks.looked(self.dealer.crew.is_changing(), now);
        failpoint!("pool.looked");
    }

    fn visit(&mut self, number: u32) {
        let visited = self.try_visit(number);
        visited.unwrap_or_else(|error| self.dealer.report(error.to_string()));
    }

    /// Tries to get what a worker has: only when it is away its queue can be had. What is left, it finds when it is back.
    fn try_visit(&mut self, number: u32) -> Result<(), Error> {
        let Some(queue) = self.dealer.queue_of(number) else { return Ok(()) };
        // Nobody waits by this reader: it must not wake anybody, and least of all by the bell.
        let reader = Reader { waker: Some(Arc::new(|| ())), ..self.reader.clone() };
        let mut consumer = match self.office.transit.consumer(&queue, None, &reader) {
            Ok(consumer) => consumer,
            Err(Error::ConsumedBy { .. }) => {
                self.note(number, true);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.note(number, false);
        failpoint!("pool.taken_over");
        let is_drained = self.dealer.crew.may_be_relieved(number) && self.dealer.relieve(number, &mut consumer)?;
        if is_drained {
            self.dealer.forget(number);
        }
        Ok(())
    }

    fn note(&mut self, number: u32, present: bool) {
        let now = Instant::now();
        if self.dealer.crew.note(number, present, now) {
            self.looks.news(now);
        }
    }

    /// Once a second: are the files still the ones that the path names, and did something happen to the queue?
    fn look_after(&mut self, source: &mut Consumer, now: Instant) {
        if now < self.tidied + CALM {
            return;
        }
        self.tidied = now;
        let tidied = source.check_replaced().and_then(|_| source.tidy());
        if let Err(error) = tidied {
            tracing::error!("{error}");
        }
        for incident in source.incidents() {
            tracing::error!("{incident}");
        }
    }
}
