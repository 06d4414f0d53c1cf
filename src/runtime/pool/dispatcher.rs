//! The loop of a pool's dispatcher.
//!
//! ```text
//!   step: look after the workers, if it is time ─► deal what is taken ─┬─ Moved   go on
//!                                                                      ├─ NoRoom  look again in a moment
//!                                                                      └─ Empty   sleep until the queue rings
//! ```
//!
//! A step never waits, so whatever ends the dispatcher meets it between two messages, or at a kill.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;

use super::super::inlet::report_once;
use super::super::office::Office;
use super::super::patience::Patience;
use super::crew::Crew;
use super::dealer::{Dealer, Dealt};
use super::handle::Terms;
use crate::name::TaskName;
use crate::transit::{Bell, Consumer, Error, Reader, Taken};

/// So many messages are dealt before others of this thread get their turn.
const STEP: usize = 64;
/// How long it waits when no worker has room: at first about as long as sixteen small messages take, at last short
/// against the time of sixteen large ones.
const NO_ROOM: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(8)];
/// How often it looks after the workers: while they work, while none is there and something waits, and else.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_FOR_FIRST: Duration = Duration::from_millis(5);
const LOOK_IDLE: Duration = Duration::from_secs(1);
/// So many workers are looked after at once, in turn: some calls into the kernel each.
const LOOKS: usize = 64;

/// The dispatcher of one pool.
pub(super) struct Dispatcher {
    office: Arc<Office>,
    pool: TaskName,
    reader: Reader,
    rung: Arc<Notify>,
    dealer: Dealer,
    /// Taken and not dealt.
    taken: VecDeque<Taken>,
    looked: Instant,
    look_every: Duration,
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
    pub(super) fn new(office: Arc<Office>, bell: Arc<Bell>, description: String, pool: TaskName, terms: Terms) -> Self {
        let rung = Arc::new(Notify::new());
        let bell_rung = rung.clone();
        let reader = Reader { bell, waker: Some(Arc::new(move || bell_rung.notify_one())), description };
        let crew = Crew::new(office.transit.clone(), pool.clone(), terms);
        let dealer = Dealer::new(office.transit.clone(), pool.clone(), crew);
        let (now, taken, look_every) = (Instant::now(), VecDeque::new(), Duration::ZERO);
        let (looked, tidied, turn, fault) = (now, now, 0, None);
        Self { office, pool, reader, rung, dealer, taken, looked, look_every, tidied, turn, fault }
    }

    /// Deals until it is told to end.
    pub(super) async fn run(mut self, mut terms: watch::Receiver<Option<Terms>>) {
        let Some(mut source) = self.open(&mut terms).await else { return };
        let [mut pause, longest] = NO_ROOM;
        loop {
            if self.is_to_end(&terms, &source) {
                return;
            }
            match self.step(&mut source) {
                Step::Moved => {
                    [pause, _] = NO_ROOM;
                    tokio::task::yield_now().await;
                }
                Step::NoRoom { moved } => {
                    pause = if moved { NO_ROOM[0] } else { (pause * 2).min(longest) };
                    self.wait(&mut terms, Instant::now() + pause).await;
                }
                Step::Empty => {
                    if source.prepare_sleep() {
                        let next = self.looked + self.look_every;
                        self.wait(&mut terms, next).await;
                    }
                }
            }
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
        let set = set.and_then(|()| self.dealer.crew.set_terms(new, Instant::now()));
        set.unwrap_or_else(|error| self.dealer.report(error.to_string()));
        self.look_every = Duration::ZERO;
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
        self.dealer.crew.set_terms(terms, Instant::now())?;
        self.dealer.settle(&mut source)?;
        Ok(source)
    }

    fn step(&mut self, source: &mut Consumer) -> Step {
        let now = Instant::now();
        if now >= self.looked + self.look_every {
            self.look(now);
            self.look_after(source, now);
        }
        let mut batch = Vec::new();
        for dealt in 0..STEP {
            if self.taken.is_empty() {
                match source.take(&mut batch) {
                    Ok(0) => return self.empty(),
                    Ok(_) => self.taken.extend(batch.drain(..)),
                    Err(error) => return self.put_off(&error),
                }
            }
            let Some(taken) = self.taken.front() else { return Step::Empty };
            if self.dealer.deal(source, taken, None) == Dealt::NoRoom {
                return self.no_room(dealt > 0);
            }
            self.taken.pop_front();
        }
        self.look_every = LOOK;
        Step::Moved
    }

    fn empty(&mut self) -> Step {
        self.fault = None;
        self.look_every = if self.dealer.crew.is_idle() { LOOK_IDLE } else { LOOK };
        Step::Empty
    }

    fn no_room(&mut self, moved: bool) -> Step {
        self.look_every = if self.dealer.crew.is_away() { LOOK_FOR_FIRST } else { LOOK };
        Step::NoRoom { moved }
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

    /// Sees who is there, and deals again what those have who are not.
    fn look(&mut self, now: Instant) {
        let numbers = self.dealer.crew.numbers();
        let begin = numbers.partition_point(|number| *number <= self.turn);
        for number in numbers.iter().cycle().skip(begin).take(numbers.len().min(LOOKS)) {
            self.visit(*number).unwrap_or_else(|error| self.dealer.report(error.to_string()));
            self.turn = *number;
        }
        self.dealer.crew.look(now);
        (self.looked, self.look_every) = (now, LOOK);
    }

    /// Tries to get what a worker has: only when it is away its queue can be had. What is left, it finds when it is back.
    fn visit(&mut self, number: u32) -> Result<(), Error> {
        let Some(queue) = self.dealer.queue_of(number) else { return Ok(()) };
        // Nobody waits by this reader: it must not wake anybody, and least of all by the bell.
        let reader = Reader { waker: Some(Arc::new(|| ())), ..self.reader.clone() };
        let mut consumer = match self.office.transit.consumer(&queue, None, &reader) {
            Ok(consumer) => consumer,
            Err(Error::ConsumedBy { .. }) => {
                self.dealer.note(number, true);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.dealer.note(number, false);
        let is_drained = self.dealer.crew.may_be_relieved(number) && self.dealer.relieve(number, &mut consumer)?;
        if is_drained {
            self.dealer.crew.forget(number);
        }
        Ok(())
    }

    /// Once a second: are the files still the ones that the path names, and did something happen to the queue?
    fn look_after(&mut self, source: &mut Consumer, now: Instant) {
        if now < self.tidied + LOOK_IDLE {
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
