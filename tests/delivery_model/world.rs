//! What all processes of a run share: the transit, the records on disk, the config, chance.

use crate::case::{Case, Configured, Delivery};
use crate::commit::Commit;
use crate::lane::{Lane, LaneId, Queue, Transit, Writer};
use crate::random::Random;
use crate::rules::Rule;
use crate::seats::Locks;

/// How many messages the mailbox of a stateless task holds: few, so that it is full now and then.
pub(crate) const MAILBOX: usize = 4;

/// A stateful task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    A,
    B,
}

/// Everything outside the memory of the processes.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) case: Case,
    pub(crate) random: Random,
    pub(crate) transit: Transit,
    /// The record of A and that of B.
    pub(crate) commits: [Commit; 2],
    /// What the config says now.
    pub(crate) delivery: Delivery,
    /// The bounded queues of tasks divert what does not fit, as those do that nobody will read for now.
    pub(crate) is_parked: bool,
    /// The locks of A and those of B.
    pub(crate) locks: [Locks; 2],
    /// A broken rule: records that a thread still writes though its process let the task go, and from where.
    pub(crate) late_writes: Vec<(Task, usize, Commit)>,
    /// Somebody appended to the lane of a task without its lock.
    pub(crate) two_write: bool,
    /// How many steps were made.
    pub(crate) step: usize,
}

impl World {
    pub(crate) fn new(case: Case, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let commits = [Self::first_commit(case, &mut random), Self::first_commit(case, &mut random)];
        let delivery = match case.configured {
            Configured::Always(delivery) => delivery,
            Configured::Changing => Delivery::AtLeastOnce,
        };
        Self {
            case,
            random,
            transit: Transit::default(),
            commits,
            delivery,
            is_parked: false,
            locks: Default::default(),
            late_writes: Vec::new(),
            two_write: false,
            step: 0,
        }
    }

    pub(crate) fn has(&self, rule: Rule) -> bool {
        self.case.rules.has(rule)
    }

    pub(crate) fn commit(&mut self, task: Task) -> &mut Commit {
        &mut self.commits[task as usize]
    }

    /// A record that begins a new epoch.
    pub(crate) fn begin_record(&mut self, task: Task) {
        self.commits[task as usize] = Self::first_commit(self.case, &mut self.random);
    }

    /// A reload now and then turns delivery over.
    pub(crate) fn reload(&mut self) {
        if self.case.configured == Configured::Changing && self.random.happens(100) {
            self.delivery = match self.delivery {
                Delivery::ExactlyOnce => Delivery::AtLeastOnce,
                Delivery::AtLeastOnce => Delivery::ExactlyOnce,
            };
        }
    }

    /// Now and then a person parks the tasks or clears them, and `dead` loses its oldest.
    pub(crate) fn park(&mut self) {
        if self.case.parking_permille > 0 {
            self.is_parked ^= self.random.happens(self.case.parking_permille);
            let dead: Vec<LaneId> = self.transit.of(Queue::Dead).map(|lane| lane.id).collect();
            for lane in dead {
                let count = self.random.below(3);
                self.transit.shorten(lane, count);
            }
        }
    }

    /// Whether `place` has the owner's lock of the task now.
    pub(crate) fn take_owner(&mut self, task: Task, place: usize) -> bool {
        *self.locks[task as usize].owner.get_or_insert(place) == place
    }

    /// Whether `place` has the locks of the task's queue and lanes now.
    pub(crate) fn take_lanes(&mut self, task: Task, place: usize) -> bool {
        *self.locks[task as usize].lanes.get_or_insert(place) == place
    }

    /// The process gives back what it holds of the task, or the kernel does.
    pub(crate) fn release(&mut self, task: Task, place: usize) {
        let locks = &mut self.locks[task as usize];
        locks.lanes.take_if(|holder| *holder == place);
        locks.owner.take_if(|holder| *holder == place);
    }

    /// A thread that nobody waited for comes to the end of its write.
    pub(crate) fn write_late(&mut self) {
        if !self.late_writes.is_empty() && self.random.happens(100) {
            let (task, _, commit) = self.late_writes.remove(0);
            *self.commit(task) = commit;
        }
    }

    /// Whether what would go to this queue now goes to `dead` instead.
    pub(crate) fn diverts(&self, queue: Queue) -> bool {
        self.is_parked && matches!(queue, Queue::B | Queue::S) && self.is_full(queue)
    }

    /// Whether a process that started at `started` can read the lane: it is there, or it was when that opened it.
    pub(crate) fn can_read(&self, lane: &Lane, started: usize) -> bool {
        lane.removed_at.is_none_or(|at| at > started && self.has(Rule::DrainOld))
    }

    pub(crate) fn is_full(&self, queue: Queue) -> bool {
        self.transit.is_full(queue, self.case.bound)
    }

    fn first_commit(case: Case, random: &mut Random) -> Commit {
        Commit::first(if case.rules.has(Rule::Epoch) { random.next() } else { 0 }, case.numbers)
    }
}

impl Task {
    pub(crate) fn queue(self) -> Queue {
        match self {
            Self::A => Queue::A,
            Self::B => Queue::B,
        }
    }

    pub(crate) fn writer(self) -> Writer {
        match self {
            Self::A => Writer::TaskA,
            Self::B => Writer::TaskB,
        }
    }
}
