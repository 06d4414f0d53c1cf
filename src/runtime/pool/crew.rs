//! The workers of a pool, as its dispatcher sees them.
//!
//! ```text
//!   wanted   1..=N     present ──its queue has no consumer──► away since t ──it has one──► present
//!   surplus  others whose queues still hold something: they get nothing more, and are forgotten when theirs is drained
//! ```
//!
//! A sticky pool has *members*: the wanted workers but those away for long. Their set changes only when no worker has
//! anything unfinished, so what a field's value had at one worker is done before more of it goes to another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::choice::{AHEAD, least, sticky};
use super::dealer::lane;
use super::handle::Terms;
use crate::config::Balance;
use crate::message::Message;
use crate::name::{QueueName, TaskName};
use crate::task::{pool_of, worker_name};
use crate::transit::{AppendError, Error, Outgoing, Overflow, Sender, Settings, Taken, Transit};

/// A sticky pool waits so long for a worker that is away before its messages go to others: a keeper starts it again
/// within a second, unless it ends again and again.
const OUT: Duration = Duration::from_secs(3);

/// The workers.
pub(super) struct Crew {
    transit: Transit,
    pool: TaskName,
    terms: Terms,
    workers: BTreeMap<u32, Worker>,
    /// Those among whom a sticky pool deals, and those among whom it will.
    members: BTreeSet<u32>,
    next: BTreeSet<u32>,
    last: u32,
}

struct Worker {
    queue: QueueName,
    sender: Option<Sender>,
    away: Option<Instant>,
}

/// What a worker's queue is told about its bound, where `settings` are those of the pool's: what was dealt is neither
/// dropped nor diverted, for the pool's own queue has decided over it.
pub(in super::super) fn of_worker(settings: Settings) -> Settings {
    let max_messages = settings.max_messages.max(2 * AHEAD);
    Settings { overflow: Overflow::Block, max_messages, ..settings }
}

impl Crew {
    pub(super) fn new(transit: Transit, pool: TaskName, terms: Terms) -> Self {
        let (workers, members, next) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { transit, pool, terms, workers, members, next, last: 0 }
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Learns whose queues there are; wanted workers count as away until they are seen.
    pub(super) fn set_terms(&mut self, terms: Terms, now: Instant) -> Result<(), Error> {
        self.terms = terms;
        let queues = self.transit.queues()?;
        let found = queues.iter().filter_map(|queue| pool_of(&queue.task())).filter(|(pool, _)| *pool == self.pool);
        for number in (1..=self.terms.workers).chain(found.map(|(_, number)| number)) {
            // The name is no longer than that of its process, which was checked.
            if let Ok(name) = worker_name(&self.pool, number) {
                let away = Some(now);
                self.workers.entry(number).or_insert(Worker { queue: name.queue(), sender: None, away });
            }
        }
        self.look(now);
        Ok(())
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.workers.keys().copied().collect()
    }

    pub(super) fn queue(&self, number: u32) -> Option<QueueName> {
        Some(self.workers.get(&number)?.queue.clone())
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &QueueName> {
        self.workers.values().map(|worker| &worker.queue)
    }

    pub(super) fn is_wanted(&self, number: u32) -> bool {
        (1..=self.terms.workers).contains(&number)
    }

    /// Whether nobody is there to work.
    pub(super) fn is_away(&self) -> bool {
        let mut wanted = self.workers.range(1..=self.terms.workers);
        wanted.all(|(_, worker)| worker.away.is_some())
    }

    /// Somebody consumes its queue, or nobody does.
    pub(super) fn note(&mut self, number: u32, present: bool, now: Instant) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.away = if present { None } else { worker.away.or(Some(now)) };
        }
    }

    /// A surplus worker is gone, and its queue drained.
    pub(super) fn forget(&mut self, number: u32) {
        if !self.is_wanted(number) {
            self.workers.remove(&number);
        }
    }

    /// Whether what the worker has may be dealt to others, if its queue has no consumer.
    pub(super) fn may_be_relieved(&self, number: u32) -> bool {
        match &self.terms.balance {
            _ if !self.is_wanted(number) => true,
            Balance::Least => true,
            // Its messages wait for it as long as it may come back to them.
            Balance::Sticky(_) => !self.next.contains(&number),
        }
    }

    /// Who is a member from now on, or as soon as all is worked off.
    pub(super) fn look(&mut self, now: Instant) {
        let is_in = |worker: &Worker| worker.away.is_none_or(|since| now.saturating_duration_since(since) < OUT);
        let wanted = self.workers.range(1..=self.terms.workers);
        let next: BTreeSet<_> = wanted.filter(|(_, worker)| is_in(worker)).map(|(number, _)| *number).collect();
        self.next = if next.is_empty() { (1..=self.terms.workers).collect() } else { next };
    }

    /// How much all workers have unfinished. One whose lane is not open counts as busy.
    pub(super) fn is_idle(&mut self) -> bool {
        self.numbers().into_iter().all(|number| self.unfinished(number) == 0)
    }

    fn unfinished(&mut self, number: u32) -> u64 {
        self.sender(number).map_or(u64::MAX, Sender::unfinished)
    }

    fn sender(&mut self, number: u32) -> Result<&Sender, AppendError> {
        let settings = of_worker(self.terms.settings);
        let Some(worker) = self.workers.get_mut(&number) else { return Err(no_worker(&self.pool)) };
        match &mut worker.sender {
            Some(sender) => Ok(sender),
            empty => {
                let sender = self.transit.sender(&worker.queue, &lane(&self.pool))?;
                self.transit.set_settings(&worker.queue, &settings)?;
                Ok(empty.insert(sender))
            }
        }
    }

    /// Who gets a message, other than `from`, if anybody has room.
    pub(super) fn choose(&mut self, taken: &Taken, from: Option<u32>) -> Option<u32> {
        match self.terms.balance.clone() {
            Balance::Least => {
                let here = self.workers.range(1..=self.terms.workers).filter(|(_, worker)| worker.away.is_none());
                let here: Vec<_> = here.map(|(number, _)| *number).filter(|number| Some(*number) != from).collect();
                let last = self.last;
                least(here.into_iter().map(|number| (number, self.unfinished(number))), last)
            }
            Balance::Sticky(field) => {
                if from.is_none() && self.members != self.next {
                    if !self.is_idle() {
                        return None;
                    }
                    self.members = self.next.clone();
                }
                let chosen = sticky(&key(taken, &field), self.next.iter().copied())?;
                (self.unfinished(chosen) < AHEAD).then_some(chosen)
            }
        }
    }

    pub(super) fn append(&mut self, number: u32, out: &Outgoing<'_>) -> Result<(), AppendError> {
        self.sender(number)?.append(out)?;
        self.last = number;
        Ok(())
    }
}

fn no_worker(pool: &TaskName) -> AppendError {
    AppendError::Full { queue: pool.queue(), messages: 0, max_messages: 0, bytes: 0, max_bytes: 0 }
}

/// What the field says; a message without it, or that cannot be read, is as one where it is empty.
fn key(taken: &Taken, field: &str) -> String {
    let message = Message::from_encoded(taken.stamp, taken.body.clone());
    let text = |message: &Message| Some(message.get(field)?.scalar_text()?.into_owned());
    message.ok().as_ref().and_then(text).unwrap_or_default()
}
