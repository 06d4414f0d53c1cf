//! The processes that may run one stateful task, one after another: the daemon, its host, a host that a keeper started
//! anew while the first still runs. Any may start at any time, is told to go at any time, and may end at any time.
//!
//! ```text
//!          owner taken?                    record read          lanes taken, tags looked at
//! empty ──────────────► coming: owner ─────────────► coming: record ─────────► there
//!   ▲ no: nothing opened                                                         │ told to go
//!   └── owner released ◄── lanes released ◄── last record written, joined ◄── going: takes nothing more
//! ```
//!
//! Whoever holds the owner's lock is the only one who reads or writes the record and appends to the task's lanes; so the
//! lock is taken before anything is read, and released after the last write is through. The queue's and the lanes'
//! locks may go at any moment between the last append and the owner's: nobody asks for them without that.
//! What the last record does not hold is void, and what a stateless copy of this process has not handled by then
//! is in its `pending`: the next process hands it out.

use crate::commit::Commit;
use crate::rules::Rule;
use crate::stateful::Stateful;
use crate::world::{Task, World};

/// How many of a thousand chances an idle place takes to start the task.
const START_PERMILLE: usize = 500;

/// The kernel's locks that belong to a task: which place holds them.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    pub(crate) owner: Option<usize>,
    /// The queue's and the lanes'.
    pub(crate) lanes: Option<usize>,
}

/// One process, as far as this task is concerned.
#[derive(Debug)]
enum Seat {
    Empty,
    /// It has read the record, perhaps.
    Coming(Option<Commit>),
    There(Stateful),
    Going(Stateful),
    /// A broken rule: its stateless copy goes on after the task has gone.
    Ghost(Stateful),
}

impl Seat {
    /// An input ended the process.
    fn is_dead(&self) -> bool {
        matches!(self, Self::There(process) if process.is_dead)
    }
}

/// All processes that may run one task.
#[derive(Debug)]
pub(crate) struct Seats {
    task: Task,
    seats: Vec<Seat>,
}

impl Seats {
    pub(crate) fn new(task: Task, count: usize) -> Self {
        Self { task, seats: (0..count).map(|_| Seat::Empty).collect() }
    }

    /// Nobody runs the task now.
    pub(crate) fn is_down(&self) -> bool {
        self.running().next().is_none()
    }

    pub(crate) fn is_quiet(&self, world: &World) -> bool {
        self.running().any(|process| process.is_quiet(world))
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.running().any(|process| process.is_blocked)
    }

    /// One of the processes makes a step, or ends: then this is true.
    pub(crate) fn step(&mut self, world: &mut World) -> bool {
        let place = world.random.below(self.seats.len());
        let was_empty = matches!(self.seats[place], Seat::Empty);
        let is_killed = !was_empty && world.random.happens(world.case.crash_permille);
        if !is_killed {
            let seat = std::mem::replace(&mut self.seats[place], Seat::Empty);
            self.seats[place] = self.next(world, place, seat);
        }
        let is_dead = is_killed || self.seats[place].is_dead();
        if is_dead {
            self.seats[place] = Seat::Empty;
            world.release(self.task, place);
            world.late_writes.retain(|(task, of, _)| (*task, *of) != (self.task, place));
        }
        is_dead
    }

    fn running(&self) -> impl Iterator<Item = &Stateful> {
        self.seats.iter().filter_map(|seat| match seat {
            Seat::There(process) | Seat::Going(process) => Some(process),
            Seat::Empty | Seat::Coming(_) | Seat::Ghost(_) => None,
        })
    }

    fn next(&self, world: &mut World, place: usize, seat: Seat) -> Seat {
        match seat {
            Seat::Empty if world.random.happens(START_PERMILLE) => self.start(world, place),
            Seat::Empty => Seat::Empty,
            Seat::Coming(record) => self.come(world, place, record),
            Seat::There(process) if world.random.happens(world.case.moving_permille) => self.go(world, process),
            Seat::There(mut process) => {
                process.step(world);
                Seat::There(process)
            }
            Seat::Going(mut process) => match process.leave(world) {
                true => self.leave(world, place, process),
                false => Seat::Going(process),
            },
            Seat::Ghost(mut process) => {
                process.haunt(world);
                Seat::Ghost(process)
            }
        }
    }

    fn start(&self, world: &mut World, place: usize) -> Seat {
        if !world.has(Rule::OwnerFirst) {
            return Seat::Coming(Some(world.commit(self.task).clone()));
        }
        match world.take_owner(self.task, place) {
            true => Seat::Coming(None),
            false => Seat::Empty,
        }
    }

    fn come(&self, world: &mut World, place: usize, record: Option<Commit>) -> Seat {
        let Some(record) = record else { return Seat::Coming(Some(world.commit(self.task).clone())) };
        if !world.take_owner(self.task, place) || !world.take_lanes(self.task, place) {
            return Seat::Coming(Some(record));
        }
        Seat::There(Stateful::recover(world, self.task, place, record))
    }

    /// From here on it takes nothing more.
    fn go(&self, world: &mut World, process: Stateful) -> Seat {
        let (owner, lanes) = (world.has(Rule::OwnerLast), world.has(Rule::LanesAfterOutput));
        let locks = &mut world.locks[self.task as usize];
        locks.owner = locks.owner.filter(|_| owner);
        locks.lanes = locks.lanes.filter(|_| lanes);
        Seat::Going(process)
    }

    fn leave(&self, world: &mut World, place: usize, process: Stateful) -> Seat {
        world.release(self.task, place);
        if world.has(Rule::VoidAfterLast) { Seat::Empty } else { Seat::Ghost(process) }
    }
}
