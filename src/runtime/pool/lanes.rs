//! The lanes in which a pool's dispatcher writes: one in the queue of each worker.

use std::collections::BTreeMap;

use super::choice::AHEAD;
use super::crew::Room;
use crate::name::{LaneName, QueueName, TaskName};
use crate::task::{pool_of, worker_name};
use crate::transit::{AppendError, Consumer, Error, Outgoing, Overflow, Sender, Settings, Transit};

/// See the module.
pub(super) struct WorkerLanes {
    transit: Transit,
    pool: TaskName,
    /// What the pool's queue is told about its bound.
    settings: Settings,
    workers: BTreeMap<u32, WorkerLane>,
}

struct WorkerLane {
    queue: QueueName,
    sender: Option<Sender>,
}

/// What came of asking for a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The room is there already.
    IsThere,
    /// It will ring, if who has the queue knows how to.
    Rings,
    /// Nobody will.
    Nobody,
    /// Nobody is there: who comes is found by looking after the workers.
    Absent,
}

/// The lane by which the dispatcher of `pool` writes: a `task:` lane, for those keep their last tag.
pub(in super::super) fn lane(pool: &TaskName) -> LaneName {
    LaneName::Task(pool.clone())
}

/// What a worker's queue is told about its bound, where `settings` are those of the pool's: what was dealt is neither
/// dropped nor diverted, for the pool's own queue has decided over it.
pub(in super::super) fn of_worker(settings: Settings) -> Settings {
    let max_messages = settings.max_messages.max(2 * AHEAD);
    Settings { overflow: Overflow::Block, max_messages, ..settings }
}

impl WorkerLanes {
    pub(super) fn new(transit: Transit, pool: TaskName, settings: Settings) -> Self {
        Self { transit, pool, settings, workers: BTreeMap::new() }
    }

    /// The workers of this pool that have a queue.
    pub(super) fn found(&self) -> Result<Vec<u32>, Error> {
        let queues = self.transit.queues()?;
        let workers = queues.iter().filter_map(|queue| pool_of(&queue.task()));
        Ok(workers.filter(|(pool, _)| *pool == self.pool).map(|(_, number)| number).collect())
    }

    /// Has lanes for these workers, and no others.
    pub(super) fn are(&mut self, numbers: &[u32], settings: Settings) {
        self.settings = settings;
        self.workers.retain(|number, _| numbers.contains(number));
        for number in numbers {
            // The name is no longer than that of its process, which was checked.
            if let Ok(name) = worker_name(&self.pool, *number) {
                self.workers.entry(*number).or_insert(WorkerLane { queue: name.queue(), sender: None });
            }
        }
    }

    pub(super) fn forget(&mut self, number: u32) {
        self.workers.remove(&number);
    }

    pub(super) fn queue(&self, number: u32) -> Option<QueueName> {
        Some(self.workers.get(&number)?.queue.clone())
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &QueueName> {
        self.workers.values().map(|worker| &worker.queue)
    }

    /// How much a worker has unfinished. One whose lane cannot be opened counts as busy.
    pub(super) fn unfinished(&mut self, number: u32) -> u64 {
        self.sender(number).map_or(u64::MAX, Sender::unfinished)
    }

    fn sender(&mut self, number: u32) -> Result<&Sender, AppendError> {
        let Some(worker) = self.workers.get_mut(&number) else { return Err(no_worker(&self.pool)) };
        match &mut worker.sender {
            Some(sender) => Ok(sender),
            empty => {
                let sender = self.transit.sender(&worker.queue, &lane(&self.pool))?;
                self.transit.set_settings(&worker.queue, &of_worker(self.settings))?;
                Ok(empty.insert(sender))
            }
        }
    }

    pub(super) fn append(&mut self, number: u32, out: &Outgoing<'_>) -> Result<(), AppendError> {
        self.sender(number)?.append(out)
    }

    /// Has `waiting` rung for when there is room.
    pub(super) fn ask(&mut self, room: &Room, waiting: &Consumer) -> Asked {
        if room.workers.is_empty() {
            return Asked::Absent;
        }
        let (mut rings, mut silent) = (false, false);
        for number in &room.workers {
            match self.sender(*number) {
                Err(_) => silent = true,
                Ok(sender) if sender.await_finished(room.most, waiting) => rings = true,
                Ok(_) if room.all => {}
                Ok(_) => return Asked::IsThere,
            }
        }
        match (rings, room.all && !silent) {
            (true, _) => Asked::Rings,
            (false, true) => Asked::IsThere,
            (false, false) => Asked::Nobody,
        }
    }

    /// Whether all those rang who were asked to and have the room.
    pub(super) fn rang(&mut self, room: &Room) -> bool {
        let mut senders = room.workers.iter().filter_map(|number| self.workers.get(number)?.sender.as_ref());
        senders.all(|sender| sender.unfinished() > room.most || !sender.awaits_ring())
    }
}

fn no_worker(pool: &TaskName) -> AppendError {
    AppendError::Full { queue: pool.queue(), messages: 0, max_messages: 0, bytes: 0, max_bytes: 0 }
}
