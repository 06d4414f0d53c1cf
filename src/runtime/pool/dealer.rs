//! Deals one message after another, so that none is dealt twice, whatever is killed and when.

use std::time::Instant;

use super::super::dead;
use super::super::office::AppendRefusal;
use super::crew::{Choice, Crew, Room};
use super::handle::Terms;
use super::lanes::{Asked, WorkerLanes, lane};
use super::rules::{self, Deal};
use crate::message::Message;
use crate::name::{QueueName, TaskName};
use crate::transit::{AppendError, Consumer, Error, Outgoing, Sender, StartOutcome, Tag, Taken, Transit};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dealt {
    /// It is finished.
    Done,
    /// Nobody has room for it now.
    NoRoom,
}

/// See the module.
pub(super) struct Dealer {
    transit: Transit,
    pool: TaskName,
    pub(super) crew: Crew,
    lanes: WorkerLanes,
    /// What the last message that found no room waits for; none: it was refused for another reason.
    room: Option<Room>,
    /// Our lane of `dead`.
    grave: Option<Sender>,
    /// Our lane of the task's own queue, where that is no pool's any more.
    back: Option<Sender>,
    /// What was said of a queue that takes nothing, so that it is said once.
    fault: Option<String>,
}

impl Dealer {
    pub(super) fn new(transit: Transit, pool: TaskName, terms: Terms) -> Self {
        let lanes = WorkerLanes::new(transit.clone(), pool.clone(), terms.settings);
        let (crew, room) = (Crew::new(terms), None);
        Self { transit, pool, crew, lanes, room, grave: None, back: None, fault: None }
    }

    /// Learns whose queues there are, and goes on by these terms.
    pub(super) fn set_terms(&mut self, terms: Terms, now: Instant) -> Result<(), Error> {
        let settings = terms.settings;
        self.crew.set_terms(terms, self.lanes.found()?.into_iter(), now);
        self.lanes.are(&self.crew.numbers(), settings);
        Ok(())
    }

    /// Finishes what a dispatcher before had dealt of this queue and not finished. Before anything is appended, for an
    /// append hides a last tag.
    pub(super) fn settle(&self, consumer: &mut Consumer) -> Result<(), Error> {
        let lanes = consumer.lanes();
        if !rules::have_unfinished(&lanes) {
            return Ok(());
        }
        let (dead, pool) = (dead::queue(), self.pool.queue());
        for queue in self.lanes.queues().chain([&dead, &pool]) {
            let tag = self.transit.last_tag(queue, &lane(&self.pool))?;
            let Some((lane, end, count)) = tag.and_then(|tag| rules::dealt_already(&lanes, tag)) else { continue };
            if consumer.start_at(lane, end, count) == StartOutcome::AsRecorded {
                consumer.finish(lane, end, count);
            }
        }
        Ok(())
    }

    /// Deals a message of `consumer`, that of the pool's queue or of the worker `from`, and finishes it there.
    pub(super) fn deal(&mut self, consumer: &mut Consumer, taken: &Taken, from: Option<u32>) -> Dealt {
        let by_dealer = taken.tag.is_some() && consumer.is_named(taken.lane, &lane(&self.pool));
        let dealt = match rules::deal(taken, by_dealer) {
            Deal::Bury(tag) => self.bury(taken, tag, &dead::poison()),
            Deal::Hand(tag) => self.append(taken, tag, from),
        };
        if dealt == Dealt::Done {
            if from.is_none() {
                failpoint!("pool.dealt");
            } else {
                failpoint!("pool.dealt_again");
            }
            consumer.finish(taken.lane, taken.end, taken.count);
            failpoint!("pool.finished");
        }
        dealt
    }

    fn append(&mut self, taken: &Taken, tag: Tag, from: Option<u32>) -> Dealt {
        let out = Outgoing { stamp: taken.stamp, tag: Some(tag), body: &taken.body };
        self.room = None;
        let appended = if self.crew.is_dissolved() {
            self.lane_back().and_then(|back| back.append(&out))
        } else {
            let lanes = &mut self.lanes;
            match self.crew.choose(|field| key(taken, field), from, |number| lanes.unfinished(number)) {
                Choice::Worker(worker) => self.lanes.append(worker, &out).map(|()| self.crew.dealt(worker)),
                Choice::Wait(room) => {
                    self.room = Some(room);
                    return Dealt::NoRoom;
                }
            }
        };
        match appended {
            Ok(()) => {
                self.fault = None;
                Dealt::Done
            }
            Err(error) => self.refused(error, |dealer, reason| dealer.bury(taken, tag, reason)),
        }
    }

    /// Has the consumer `waiting` rung for when there is room for the message that found none.
    pub(super) fn ask_for_room(&mut self, waiting: &Consumer) -> Asked {
        self.room.as_ref().map_or(Asked::Nobody, |room| self.lanes.ask(room, waiting))
    }

    /// Once that room is there: whether somebody rang for it.
    pub(super) fn room_came(&mut self) -> Option<bool> {
        let room = self.room.as_ref()?;
        let is_there = room.is_there(|number| self.lanes.unfinished(number));
        is_there.then(|| self.lanes.rang(room))
    }

    fn refused(&mut self, error: AppendError, never: impl FnOnce(&mut Self, &str) -> Dealt) -> Dealt {
        match AppendRefusal::from(error) {
            AppendRefusal::Never(reason) => never(self, &reason),
            AppendRefusal::Dropped(_) => Dealt::Done,
            AppendRefusal::NotNow { reason, fault } => {
                if fault {
                    self.report(reason);
                }
                Dealt::NoRoom
            }
        }
    }

    /// Puts a message into `dead`, with the tag that says so.
    fn bury(&mut self, taken: &Taken, tag: Tag, reason: &str) -> Dealt {
        let nothing = || Message::stamped(taken.stamp, crate::value::Map::new());
        let message = Message::from_encoded(taken.stamp, taken.body.clone()).unwrap_or_else(|_| nothing());
        let letters = [message, nothing()].map(|message| dead::letter(&message, self.pool.as_str(), reason));
        let Some(body) = letters.iter().find_map(|letter| letter.encoded().ok()) else { return Dealt::Done };
        let out = Outgoing { stamp: taken.stamp, tag: Some(tag), body };
        match self.grave().and_then(|grave| grave.append(&out)) {
            Ok(()) => {
                tracing::error!(task = self.pool.as_str(), "{}: a message goes to `dead`: {reason}", self.pool);
                Dealt::Done
            }
            Err(error) => self.refused(error, |dealer, why| {
                let letter = &letters[0];
                tracing::error!(
                    task = dealer.pool.as_str(),
                    "the queue `dead` did not take a message ({why}): {letter}"
                );
                Dealt::Done
            }),
        }
    }

    fn grave(&mut self) -> Result<&Sender, AppendError> {
        open(&mut self.grave, &self.transit, &dead::queue(), &self.pool)
    }

    fn lane_back(&mut self) -> Result<&Sender, AppendError> {
        open(&mut self.back, &self.transit, &self.pool.queue(), &self.pool)
    }

    /// Deals again what the worker has, whose queue `consumer` consumes now; true if nothing is left. Where nobody else
    /// has room the rest stays, and the worker goes on with it when it is back.
    pub(super) fn relieve(&mut self, number: u32, consumer: &mut Consumer) -> Result<bool, Error> {
        self.settle(consumer)?;
        let mut batch = Vec::new();
        while consumer.take(&mut batch)? > 0 {
            for taken in batch.drain(..) {
                if self.deal(consumer, &taken, Some(number)) == Dealt::NoRoom {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// A surplus worker is gone, and its queue drained.
    pub(super) fn forget(&mut self, number: u32) {
        if self.crew.forget(number) {
            self.lanes.forget(number);
        }
    }

    /// Tells of something that lasts, once.
    pub(super) fn report(&mut self, reason: String) {
        if self.fault.as_ref() != Some(&reason) {
            tracing::error!(task = self.pool.as_str(), "{}: its workers get nothing: {reason}", self.pool);
            self.fault = Some(reason);
        }
    }

    pub(super) fn queue_of(&self, number: u32) -> Option<QueueName> {
        self.lanes.queue(number)
    }
}

/// Our lane of `queue`, opened where it is not.
fn open<'a>(
    sender: &'a mut Option<Sender>,
    transit: &Transit,
    queue: &QueueName,
    pool: &TaskName,
) -> Result<&'a Sender, AppendError> {
    match sender {
        Some(sender) => Ok(sender),
        empty => Ok(empty.insert(transit.sender(queue, &lane(pool))?)),
    }
}

/// What the field says; a message without it, or that cannot be read, is as one where it is empty.
fn key(taken: &Taken, field: &str) -> String {
    let message = Message::from_encoded(taken.stamp, taken.body.clone());
    let text = |message: &Message| Some(message.get(field)?.scalar_text()?.into_owned());
    message.ok().as_ref().and_then(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Balance;
    use crate::fields;
    use crate::message::Stamp;
    use crate::name::LaneName;
    use crate::task::worker_name;
    use crate::transit::{Bell, POISON, Reader, Settings};

    /// A pool of two workers in a transit of its own.
    struct Fixture {
        _directory: tempfile::TempDir,
        transit: Transit,
        pool: TaskName,
        reader: Reader,
    }

    impl Fixture {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let transit = Transit::open(directory.path()).unwrap();
            let bell = Bell::open(&transit).unwrap();
            let reader = Reader { bell, waker: Some(std::sync::Arc::new(|| ())), description: String::new() };
            Self { _directory: directory, transit, pool: TaskName::new("Mill").unwrap(), reader }
        }

        /// One of whose workers these are there.
        fn dealer(&self, present: &[u32]) -> Dealer {
            let terms = Terms { workers: 2, balance: Balance::Least, settings: Settings::default() };
            let mut dealer = Dealer::new(self.transit.clone(), self.pool.clone(), terms.clone());
            dealer.set_terms(terms, Instant::now()).unwrap();
            for number in present {
                dealer.crew.note(*number, true, Instant::now());
            }
            dealer
        }

        fn worker(&self, number: u32) -> QueueName {
            worker_name(&self.pool, number).unwrap().queue()
        }

        fn consumer(&self, queue: &QueueName) -> Consumer {
            self.transit.consumer(queue, None, &self.reader).unwrap()
        }

        fn append(&self, queue: &QueueName, lane: &LaneName, tag: Option<Tag>, n: i64) {
            let body = Message::new(fields! { n: n }).encoded().unwrap().clone();
            let out = Outgoing { stamp: Stamp::now(), tag, body: &body };
            self.transit.sender(queue, lane).unwrap().append(&out).unwrap();
        }

        fn send(&self, numbers: std::ops::Range<i64>) {
            let lane = LaneName::Process(TaskName::new("test").unwrap());
            numbers.for_each(|n| self.append(&self.pool.queue(), &lane, None, n));
        }

        /// How many messages a queue holds.
        fn held(&self, queue: &QueueName) -> u64 {
            self.transit.status(queue).unwrap().map_or(0, |status| status.messages)
        }
    }

    fn take(consumer: &mut Consumer) -> Vec<Taken> {
        let mut batch = Vec::new();
        while consumer.take(&mut batch).unwrap() > 0 {}
        batch
    }

    #[test]
    fn what_is_dealt_is_at_a_worker_and_finished_and_where_nobody_has_room_it_stays() {
        let fixture = Fixture::new();
        fixture.send(0..40);
        let (mut dealer, mut source) = (fixture.dealer(&[1, 2]), fixture.consumer(&fixture.pool.queue()));
        let dealt: Vec<_> = take(&mut source).iter().map(|taken| dealer.deal(&mut source, taken, None)).collect();
        assert!(dealt[..32].iter().all(|dealt| *dealt == Dealt::Done));
        assert!(dealt[32..].iter().all(|dealt| *dealt == Dealt::NoRoom));
        let held = [1, 2].map(|number| fixture.held(&fixture.worker(number)));
        assert_eq!((held, fixture.held(&fixture.pool.queue())), ([16, 16], 8));
        assert_eq!((dealer.ask_for_room(&source), dealer.room_came()), (Asked::Rings, None));
        let mut worker = fixture.consumer(&fixture.worker(2));
        let half = take(&mut worker)[7].clone();
        worker.finish(half.lane, half.end, half.count);
        assert_eq!((dealer.room_came(), dealer.ask_for_room(&source)), (Some(true), Asked::IsThere));
    }

    #[test]
    fn what_was_dealt_before_a_kill_and_not_finished_is_not_dealt_again() {
        let fixture = Fixture::new();
        fixture.send(0..3);
        let first = take(&mut fixture.consumer(&fixture.pool.queue()))[0].clone();
        let tag = Tag { epoch: first.lane.0, n: first.end, index: 0 };
        fixture.append(&fixture.worker(2), &lane(&fixture.pool), Some(tag), 0);
        let (dealer, mut source) = (fixture.dealer(&[]), fixture.consumer(&fixture.pool.queue()));
        dealer.settle(&mut source).unwrap();
        assert_eq!((fixture.held(&fixture.pool.queue()), take(&mut source).len()), (2, 2));
        // Its tag names nothing more now.
        dealer.settle(&mut source).unwrap();
        assert_eq!(fixture.held(&fixture.pool.queue()), 2);
    }

    #[test]
    fn what_a_worker_leaves_goes_to_the_other_one_and_to_dead_where_three_ended_on_it() {
        let fixture = Fixture::new();
        let (mine, tag) = (lane(&fixture.pool), |index| Some(Tag { epoch: 1, n: 8, index }));
        fixture.append(&fixture.worker(1), &mine, tag(POISON), 0);
        fixture.append(&fixture.worker(1), &mine, tag(1), 1);
        let (mut dealer, mut source) = (fixture.dealer(&[2]), fixture.consumer(&fixture.worker(1)));
        assert!(dealer.relieve(1, &mut source).unwrap());
        let left = [fixture.worker(1), dead::queue()].map(|queue| fixture.held(&queue));
        assert_eq!(left, [0, 1]);
        let tags: Vec<_> = take(&mut fixture.consumer(&fixture.worker(2))).iter().map(|taken| taken.tag).collect();
        assert_eq!(tags.into_iter().map(|tag| tag.unwrap().index).collect::<Vec<_>>(), [1]);
        // Nobody but itself is there, so it stays where it is.
        fixture.append(&fixture.worker(2), &mine, tag(0), 2);
        let mut source = fixture.consumer(&fixture.worker(2));
        assert!(!dealer.relieve(2, &mut source).unwrap());
        assert_eq!((dealer.ask_for_room(&source), fixture.held(&fixture.worker(2))), (Asked::Absent, 2));
    }
}
