//! The process of a stateful task: recovery, activations, commits. A's process also holds the slow stateless T.
//!
//! ```text
//! take ─► handle ─► (A: T's mailbox ─► T) ─► output ─► outbox ─► snapshot ─► write ─► seal ─► finish ─► append
//!                                                │         ▲                                              │
//!                                                │         └── no room ───────────── no room ─────────────┤
//!                                                └──── at least once: put, if nothing waits before it ────┘
//! ```
//!
//! The write is another thread's: it may be done a while before the task knows (`seal`), and it may fail.
//!
//! Invariant: one step changes one thing that survives a crash. What is in this struct does not.

use std::collections::{BTreeMap, VecDeque};

use crate::case::Delivery;
use crate::commit::{Commit, Counts, Entry, LaneKey};
use crate::lane::{Lane, LaneId, Message, Queue, Tag};
use crate::outbox::Outbox;
use crate::poison::{self, POISON};
use crate::recovery::{key_of, position_in, went_out};
use crate::rules::Rule;
use crate::world::{MAILBOX, Task, World};

#[path = "committing.rs"]
mod committing;
#[path = "leaving.rs"]
mod leaving;

/// The memory of one process.
#[derive(Debug)]
pub(crate) struct Stateful {
    task: Task,
    /// Which of the processes that may run the task this is.
    place: usize,
    /// The step at which it started: what was removed before, it cannot open.
    pub(crate) started: usize,
    state: Counts,
    positions: BTreeMap<LaneKey, usize>,
    true_positions: BTreeMap<LaneId, usize>,
    delivery: Delivery,
    outbox: Outbox,
    /// T's messages, listed with their origin A.
    mailbox: VecDeque<u32>,
    /// At least once: what the last activation emitted, to go out before the next one begins.
    putting: VecDeque<Entry>,
    to_write: Option<Commit>,
    to_seal: bool,
    to_finish: bool,
    /// It goes back to its last record once the write under way is through.
    panicked: bool,
    /// A broken rule: the tag that still has to reach the lane's slot.
    late_slot: Option<(LaneId, Tag)>,
    /// The lanes it writes, by descriptor: a removed one stays open until that is noticed.
    open_lanes: BTreeMap<Queue, LaneId>,
    /// Activations since the last commit began, while that is not yet through.
    ahead: usize,
    /// The record under way, or the one just written, is the last before it leaves.
    is_last: bool,
    /// An input was buried, and no written record holds that yet; and whether the one under way does.
    buried: bool,
    holds_burial: bool,
    /// An input ended the process.
    pub(crate) is_dead: bool,
    /// The last append found the queue full.
    pub(crate) is_blocked: bool,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Put,
    Write,
    Seal,
    Finish,
    Append,
    Take,
    Snapshot,
    RunStateless,
    Stray,
}

impl Stateful {
    /// Starts the process: goes on from the record, and sends again what of its outbox is on no lane.
    pub(crate) fn recover(world: &mut World, task: Task, place: usize, commit: Commit) -> Self {
        poison::count_ends(world, task.queue());
        let unsent = commit.outbox.iter().filter(|entry| !went_out(world, task, &commit, entry)).copied().collect();
        let outbox = Outbox::open(&commit, unsent);
        Self {
            task,
            place,
            started: world.step,
            state: commit.state,
            positions: commit.positions,
            true_positions: commit.true_positions,
            delivery: world.delivery,
            outbox,
            mailbox: commit.pending.into(),
            putting: VecDeque::new(),
            to_write: None,
            to_seal: false,
            to_finish: true,
            panicked: false,
            late_slot: None,
            open_lanes: BTreeMap::new(),
            ahead: 0,
            is_blocked: false,
            is_last: false,
            buried: false,
            holds_burial: false,
            is_dead: false,
        }
    }

    /// One step: of the commit under way, or one of the task's own, as chance has it.
    pub(crate) fn step(&mut self, world: &mut World) {
        if let Some((lane, tag)) = self.late_slot.take() {
            world.transit.lanes[lane].slot_tag = Some(tag);
            return;
        }
        if self.panicked && self.to_write.is_none() && !self.to_seal {
            return self.roll_back(world);
        }
        let actions = self.actions(world);
        let action = actions[world.random.below(actions.len())];
        self.perform(world, action);
    }

    /// Nothing is under way, and the record covers all that its queue holds.
    pub(crate) fn is_quiet(&self, world: &World) -> bool {
        let record = &world.commits[self.task as usize];
        let is_read = |lane: &Lane| position_in(&record.positions, world, lane) >= lane.records.len();
        let holds_nothing = self.outbox.is_empty() && self.putting.is_empty() && self.mailbox.is_empty();
        holds_nothing && self.may_snapshot() && self.readable(world).all(is_read)
    }

    fn actions(&mut self, world: &mut World) -> Vec<Action> {
        let mut of_commit = self.actions_of_commit(world);
        if self.panicked {
            of_commit.retain(|action| matches!(action, Action::Write | Action::Seal));
            return of_commit;
        }
        if !self.putting.is_empty() {
            of_commit.push(Action::Put);
            return of_commit;
        }
        if of_commit.is_empty() {
            self.ahead = 0;
        }
        let must_wait = self.ahead >= world.case.ahead || world.random.happens(500);
        if of_commit.is_empty() || !must_wait {
            return self.own_actions(world);
        }
        if self.may_snapshot() {
            of_commit.push(Action::Snapshot);
        }
        of_commit
    }

    fn actions_of_commit(&self, world: &World) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.to_write.is_some() {
            actions.push(Action::Write);
        }
        if self.to_seal {
            actions.push(Action::Seal);
        }
        let finish_first = world.has(Rule::FinishFirst);
        let is_written = self.to_write.is_none() && !self.to_seal;
        let may_finish = is_written || !world.has(Rule::WriteFirst);
        if self.to_finish && may_finish && (finish_first || !self.outbox.has_sealed()) {
            actions.push(Action::Finish);
        }
        let gives_back_first = self.to_finish && is_written && finish_first;
        if !gives_back_first && !self.outbox.appendable(world).is_empty() {
            actions.push(Action::Append);
        }
        actions
    }

    /// One record is written at a time.
    fn may_snapshot(&self) -> bool {
        self.to_write.is_none() && !self.to_seal && !self.to_finish
    }

    fn own_actions(&self, world: &World) -> Vec<Action> {
        let mut actions = vec![Action::Take; 3];
        if self.may_snapshot() {
            actions.push(Action::Snapshot);
        }
        if !self.mailbox.is_empty() {
            actions.extend([Action::RunStateless; 3]);
        }
        if !world.has(Rule::TaskLane) && self.task == Task::A {
            actions.push(Action::Stray);
        }
        actions
    }

    fn perform(&mut self, world: &mut World, action: Action) {
        match action {
            Action::Put => self.put(world),
            Action::Write => self.write(world),
            Action::Seal => self.seal(world),
            Action::Finish => self.finish(world),
            Action::Append => self.append(world),
            Action::Take => self.take(world),
            Action::Snapshot => self.snapshot(world),
            Action::RunStateless => self.run_stateless(world),
            Action::Stray => self.stray(world),
        }
    }

    fn take(&mut self, world: &mut World) {
        let waits = self.buried && world.has(Rule::BurialRecorded);
        if waits || self.mailbox.len() >= MAILBOX || self.outbox.is_full() {
            return;
        }
        let unread = |lane: &&Lane| position_in(&self.positions, world, lane) < lane.records.len();
        let lanes: Vec<&Lane> = self.readable(world).filter(unread).collect();
        // Of one sender the older lane goes first: it left that before it wrote the next.
        let is_oldest = |lane: &&&Lane| !lanes.iter().any(|other| other.writer == lane.writer && other.id < lane.id);
        let ready: Vec<LaneId> = lanes.iter().filter(is_oldest).map(|lane| lane.id).collect();
        if ready.is_empty() {
            return;
        }
        self.panicked = world.random.happens(world.case.fault_permille);
        self.delivery = world.delivery;
        let lane = &world.transit.lanes[ready[world.random.below(ready.len())]];
        let position = position_in(&self.positions, world, lane);
        self.positions.insert(key_of(world, lane), position + 1);
        self.true_positions.insert(lane.id, position + 1);
        self.ahead += 1;
        let (lane, message) = (lane.id, lane.records[position].message);
        if world.transit.lanes[lane].under_way.is_poison(position + 1) {
            self.buried = true;
            return self.emit_to(Queue::Dead, self.task.queue(), message);
        }
        world.transit.lanes[lane].under_way.begin(position + 1);
        let is_poison = |number| world.case.poisoned && POISON.contains(&number);
        if self.task == Task::A && message.number().is_some_and(is_poison) {
            self.is_dead = true;
            return;
        }
        self.handle(message, world.case.ring);
        poison::done(world, lane);
    }

    fn handle(&mut self, message: Message, ring: bool) {
        let Some(number) = message.number() else { return };
        self.state[number as usize] += 1;
        match self.task {
            Task::A => self.mailbox.push_back(number),
            Task::B => {
                self.emit(Queue::Sink, message);
                self.emit(Queue::S, message);
                if ring {
                    self.emit(Queue::A, Message::Answer(number));
                }
            }
        }
    }

    /// T takes its time, and then handles one message.
    fn run_stateless(&mut self, world: &mut World) {
        if world.random.happens(500) {
            self.ahead += 1;
            self.delivery = world.delivery;
            let number = self.mailbox.pop_front().expect("it runs only for a message");
            self.emit(Queue::B, Message::Number(number));
        }
    }

    fn emit(&mut self, queue: Queue, message: Message) {
        self.emit_to(queue, queue, message);
    }

    /// Emits what was meant for `queue`, and goes to `target`.
    fn emit_to(&mut self, target: Queue, queue: Queue, message: Message) {
        let entry = Entry { queue, target, coming_target: target, message, index: 0, coming: 0 };
        match self.delivery {
            Delivery::AtLeastOnce => self.putting.push_back(entry),
            Delivery::ExactlyOnce => self.outbox.push(entry),
        }
    }

    /// What was emitted goes out at once, unless something waits or there is no room.
    fn put(&mut self, world: &mut World) {
        let mut entry = self.putting[0];
        let settled = entry.target;
        if world.diverts(entry.target) {
            entry.target = Queue::Dead;
        }
        let is_full = world.is_full(entry.target);
        self.is_blocked = is_full && !world.has(Rule::BlockedOutbox);
        if self.is_blocked {
            return;
        }
        self.putting.pop_front();
        if is_full || !self.outbox.is_empty() {
            entry.target = settled;
            return self.outbox.push(entry);
        }
        let tag = self.outbox.direct_tag(world);
        self.append_to_lane(world, entry, tag);
    }

    fn append(&mut self, world: &mut World) {
        let places = self.outbox.appendable(world);
        let place = places[world.random.below(places.len())];
        let diverts = !world.has(Rule::OnlyARecordDiverts) && world.diverts(self.outbox.queue(place));
        self.is_blocked = !diverts && world.is_full(self.outbox.queue(place));
        if !self.is_blocked {
            let (mut entry, tag) = self.outbox.remove(place);
            entry.target = if diverts { Queue::Dead } else { entry.target };
            self.append_to_lane(world, entry, tag);
        }
    }

    fn append_to_lane(&mut self, world: &mut World, entry: Entry, tag: Tag) {
        world.two_write |= world.locks[self.task as usize].lanes != Some(self.place);
        let lane = self.open(world, entry.target);
        world.transit.append_for(lane, Some(tag), entry.message, entry.queue);
        if !world.has(Rule::TagInRecord) {
            self.late_slot = Some((lane, tag));
        }
    }

    /// The lane it writes: the one it has open, until it looks and sees that another one lies at that path.
    fn open(&mut self, world: &mut World, queue: Queue) -> LaneId {
        let looks = world.random.happens(250);
        let open = self.open_lanes.get(&queue).copied();
        let kept = open.filter(|lane| !looks || world.transit.lanes[*lane].removed_at.is_none());
        let lane = kept.unwrap_or_else(|| world.transit.open(self.task.writer(), queue));
        self.open_lanes.insert(queue, lane);
        lane
    }

    /// A broken rule: another writer on this task's lane.
    fn stray(&mut self, world: &mut World) {
        if world.random.happens(50) {
            let lane = self.open(world, Queue::B);
            world.transit.append(lane, Some(Tag { epoch: 1, n: u32::MAX, index: 0 }), Message::Stray);
        }
    }

    fn readable<'world>(&self, world: &'world World) -> impl Iterator<Item = &'world Lane> + use<'world> {
        let (queue, started) = (self.task.queue(), self.started);
        world.transit.of(queue).filter(move |lane| world.can_read(lane, started))
    }
}
