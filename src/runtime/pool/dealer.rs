//! Deals one message after another, so that none is dealt twice, whatever is killed and when.

use std::time::Instant;

use super::super::dead;
use super::super::office::AppendRefusal;
use super::crew::Crew;
use crate::message::Message;
use crate::name::{LaneName, QueueName, TaskName};
use crate::transit::{
    AppendError, Consumer, Error, LaneState, Outgoing, POISON, Sender, StartOutcome, Tag, Taken, Transit,
};

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
    /// Our lane of `dead`.
    grave: Option<Sender>,
    /// What was said of a queue that takes nothing, so that it is said once.
    fault: Option<String>,
}

/// The lane by which the dispatcher of `pool` writes: a `task:` lane, for those keep their last tag.
pub(in super::super) fn lane(pool: &TaskName) -> LaneName {
    LaneName::Task(pool.clone())
}

impl Dealer {
    pub(super) fn new(transit: Transit, pool: TaskName, crew: Crew) -> Self {
        Self { transit, pool, crew, grave: None, fault: None }
    }

    /// Finishes what a dispatcher before had dealt of this queue and not finished. Before anything is appended, for an
    /// append hides a last tag.
    pub(super) fn settle(&self, consumer: &mut Consumer) -> Result<(), Error> {
        let lanes = consumer.lanes();
        let unfinished = |lane: &&LaneState| lane.finished.0 < lane.written.0;
        if !lanes.iter().any(|lane| unfinished(&lane)) {
            return Ok(());
        }
        let (dead, pool) = (dead::queue(), self.pool.queue());
        for queue in self.crew.queues().chain([&dead, &pool]) {
            let Some(tag) = self.transit.last_tag(queue, &lane(&self.pool))? else { continue };
            let Some(lane) = lanes.iter().find(|lane| lane.id.0 == tag.epoch && tag.n > lane.finished.0) else {
                continue;
            };
            // One at a time: it is the first that is not finished.
            let count = lane.finished.1 + 1;
            if consumer.start_at(lane.id, tag.n, count) == StartOutcome::AsRecorded {
                consumer.finish(lane.id, tag.n, count);
            }
        }
        Ok(())
    }

    /// Deals a message of `consumer`, that of the pool's queue or of the worker `from`, and finishes it there.
    pub(super) fn deal(&mut self, consumer: &mut Consumer, taken: &Taken, from: Option<u32>) -> Dealt {
        let ended = taken.ended + from.map_or(0, |_| self.ended_before(consumer, taken));
        let tag = Tag { epoch: taken.lane.0, n: taken.end, index: ended };
        let dealt = match ended >= POISON {
            true => self.bury(taken, tag, &dead::poison()),
            false => self.append(taken, tag, from),
        };
        if dealt == Dealt::Done {
            consumer.finish(taken.lane, taken.end, taken.count);
        }
        dealt
    }

    /// How many workers ended on it before it came to the queue in which it is found.
    fn ended_before(&self, consumer: &Consumer, taken: &Taken) -> u64 {
        let tag = taken.tag.filter(|tag| tag.index > 0 && consumer.is_named(taken.lane, &lane(&self.pool)));
        tag.map_or(0, |tag| tag.index)
    }

    fn append(&mut self, taken: &Taken, tag: Tag, from: Option<u32>) -> Dealt {
        let Some(worker) = self.crew.choose(taken, from) else { return Dealt::NoRoom };
        let out = Outgoing { stamp: taken.stamp, tag: Some(tag), body: &taken.body };
        match self.crew.append(worker, &out) {
            Ok(()) => {
                self.fault = None;
                Dealt::Done
            }
            Err(error) => self.refused(error, |dealer, reason| dealer.bury(taken, tag, reason)),
        }
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
        match &mut self.grave {
            Some(grave) => Ok(grave),
            empty => Ok(empty.insert(self.transit.sender(&dead::queue(), &lane(&self.pool))?)),
        }
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

    /// See [`Crew::note`].
    pub(super) fn note(&mut self, number: u32, present: bool) {
        self.crew.note(number, present, Instant::now());
    }

    /// Tells of something that lasts, once.
    pub(super) fn report(&mut self, reason: String) {
        if self.fault.as_ref() != Some(&reason) {
            tracing::error!(task = self.pool.as_str(), "{}: its workers get nothing: {reason}", self.pool);
            self.fault = Some(reason);
        }
    }

    pub(super) fn queue_of(&self, number: u32) -> Option<QueueName> {
        self.crew.queue(number)
    }
}
