//! A run: the chain of processes, chance that picks who makes the next step, crashes, and the person.
//!
//! Invariant: a crash takes a process's memory and nothing else.

use std::collections::BTreeSet;

use crate::case::{Case, Person};
use crate::home::Home;
use crate::lane::{Message, Queue, Writer};
use crate::seats::Seats;
use crate::world::{Task, World};

/// How many steps a run may take: some ten times what the longest needs.
const MAX_STEPS: usize = 60_000;

/// One run under way, or at its end.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) world: World,
    tasks: [Seats; 2],
    home: Option<Home>,
    sent: u32,
    person_was_here: bool,
    pub(crate) crashes: u32,
    pub(crate) excuses: Excuses,
}

/// What a person did to the files, which no protocol can make good: judged mildly.
#[derive(Debug, Default)]
pub(crate) struct Excuses {
    /// What the removed record of A had counted.
    pub(crate) forgotten: BTreeSet<u32>,
    /// What stood in the removed record of A alone.
    pub(crate) may_miss: BTreeSet<u32>,
    /// What A sent to the removed queue under its last record, and cannot know it when it starts again.
    pub(crate) may_repeat: BTreeSet<u32>,
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Quiet,
    /// Every task waited for room.
    Deadlock,
    Stuck,
}

impl Chain {
    pub(crate) fn new(case: Case, seed: u64) -> Self {
        Self {
            world: World::new(case, seed),
            tasks: [Task::A, Task::B].map(|task| Seats::new(task, case.places)),
            home: None,
            sent: 0,
            person_was_here: false,
            crashes: 0,
            excuses: Excuses::default(),
        }
    }

    /// Makes steps until everything that was sent has come out.
    pub(crate) fn run(&mut self) -> Ending {
        for step in 1..MAX_STEPS {
            self.world.step = step;
            if self.is_quiet() {
                return Ending::Quiet;
            }
            self.send();
            self.world.reload();
            self.world.park();
            self.world.write_late();
            self.let_person_act();
            match self.world.random.below(3) {
                0 => self.step_task(Task::A),
                1 => self.step_task(Task::B),
                _ => self.step_home(),
            }
        }
        let all_wait = self.tasks.iter().all(Seats::is_blocked);
        if all_wait { Ending::Deadlock } else { Ending::Stuck }
    }

    fn is_quiet(&self) -> bool {
        self.sent == self.world.case.numbers
            && self.world.late_writes.is_empty()
            && self.tasks.iter().all(|task| task.is_quiet(&self.world))
            && self.home.as_ref().is_some_and(|home| home.is_quiet(&self.world))
    }

    fn send(&mut self) {
        let world = &mut self.world;
        let may_send = self.sent < world.case.numbers && self.sent < answered(world) + world.case.window;
        if may_send && world.random.happens(200) && !world.is_full(Queue::A) {
            let lane = world.transit.open(Writer::Source(self.sent % 2), Queue::A);
            world.transit.append(lane, None, Message::Number(self.sent));
            self.sent += 1;
        }
    }

    fn step_task(&mut self, task: Task) {
        let place = task as usize;
        if self.tasks[place].is_down() {
            self.excuse_repeats(task);
        }
        if self.tasks[place].step(&mut self.world) {
            self.crash(task);
        }
    }

    fn crash(&mut self, task: Task) {
        self.crashes += 1;
        match task {
            Task::A if self.world.case.person == Person::RemovesTheRecordOfA => self.remove_record(),
            Task::A => {}
            Task::B => self.abandon_removed(),
        }
    }

    fn step_home(&mut self) {
        let mut home = self.home.take().unwrap_or_else(Home::start);
        if self.world.random.happens(self.world.case.crash_permille) {
            self.crashes += 1;
            return;
        }
        home.step(&mut self.world);
        self.home = Some(home);
    }

    fn let_person_act(&mut self) {
        let is_time = self.sent > self.world.case.numbers / 3 && self.world.random.happens(20);
        if self.world.case.person == Person::RemovesTheQueueOfB && is_time && !self.person_was_here {
            self.person_was_here = true;
            self.world.transit.remove(Queue::B, self.world.step);
            if self.tasks[Task::B as usize].is_down() {
                self.abandon_removed();
            }
        }
    }

    /// The person removes A's record while A is down, once it holds something.
    fn remove_record(&mut self) {
        let record = self.world.commit(Task::A).clone();
        if self.person_was_here || self.sent <= self.world.case.numbers / 3 || record.n <= 3 {
            return;
        }
        self.person_was_here = true;
        self.world.begin_record(Task::A);
        self.excuses.forgotten = (0..).zip(record.state).filter(|(_, count)| *count > 0).map(|(n, _)| n).collect();
        self.excuses.may_miss = record.pending.into_iter().collect();
        self.excuses.may_miss.extend(record.outbox.iter().filter_map(|entry| entry.message.number()));
    }

    /// B's process is gone, and with it the last descriptor of the removed files.
    fn abandon_removed(&mut self) {
        let recorded = self.world.commit(Task::B).true_positions.clone();
        for lane in self.world.transit.lanes.iter_mut().filter(|lane| lane.removed_at.is_some()) {
            lane.abandoned_from.get_or_insert(recorded.get(&lane.id).copied().unwrap_or(lane.finished));
        }
    }

    /// A task that starts again does not see what it appended to removed files.
    fn excuse_repeats(&mut self, task: Task) {
        let commit = &self.world.commits[task as usize];
        let removed = self.world.transit.of(Queue::B).filter(|lane| lane.removed_at.is_some());
        let records = removed.flat_map(|lane| &lane.records);
        let of_commit = records.filter(|r| r.tag.is_some_and(|tag| (tag.epoch, tag.n) == (commit.epoch, commit.n)));
        self.excuses.may_repeat.extend(of_commit.filter_map(|record| record.message.number()));
    }
}

/// How many answers A is through with.
fn answered(world: &World) -> u32 {
    let answers = world.transit.of(Queue::A).filter(|lane| lane.writer == Writer::TaskB);
    u32::try_from(answers.map(|lane| lane.finished).sum::<usize>()).expect("few answers")
}
