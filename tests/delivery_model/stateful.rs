//! The process of a stateful task: recovery, activations, commits. A's process also holds the slow stateless T.
//!
//! ```text
//! take ─► handle ─► (A: T's mailbox ─► T) ─► output ──► snapshot ─► write ─► finish ─► append
//!                                                └── at least once: append at once ──────┘
//! ```
//!
//! Invariant: one step changes one thing that survives a crash. What is in this struct does not.

use std::collections::{BTreeMap, VecDeque};

use crate::case::Delivery;
use crate::commit::{Commit, Counts, Entry, LaneKey};
use crate::lane::{Lane, LaneId, Message, Queue, Tag};
use crate::rules::Rule;
use crate::world::{MAILBOX, Task, World};

/// The memory of one process.
#[derive(Debug)]
pub(crate) struct Stateful {
    task: Task,
    /// The step at which it started: what was removed before, it cannot open.
    pub(crate) started: usize,
    n: u32,
    state: Counts,
    positions: BTreeMap<LaneKey, usize>,
    true_positions: BTreeMap<LaneId, usize>,
    delivery: Delivery,
    /// Exactly once: what waits for the next commit.
    output: Vec<Entry>,
    /// T's messages, listed with their origin A.
    mailbox: VecDeque<u32>,
    going_out: VecDeque<Entry>,
    /// How many entries went out at once since the last record.
    direct: u32,
    to_write: Option<Commit>,
    to_finish: bool,
    /// A broken rule: the tag that still has to reach the lane's slot.
    late_slot: Option<(LaneId, Tag)>,
    /// The lanes it writes, by descriptor: a removed one stays open until that is noticed.
    open_lanes: BTreeMap<Queue, LaneId>,
    /// Activations since a commit began that is not yet through.
    ahead: usize,
    /// The last append found the queue full.
    pub(crate) is_blocked: bool,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Write,
    Finish,
    Append,
    Take,
    Snapshot,
    RunStateless,
    Stray,
}

impl Stateful {
    /// Starts the process: goes on from the record, and sends again what of its outbox is on no lane.
    pub(crate) fn recover(world: &mut World, task: Task) -> Self {
        let commit = world.commit(task).clone();
        let unsent = commit.outbox.iter().filter(|entry| !went_out(world, task, &commit, entry)).copied().collect();
        Self {
            task,
            started: world.step,
            n: commit.n,
            state: commit.state,
            positions: commit.positions,
            true_positions: commit.true_positions,
            delivery: world.delivery,
            output: Vec::new(),
            mailbox: commit.pending.into(),
            going_out: unsent,
            direct: 0,
            to_write: None,
            to_finish: true,
            late_slot: None,
            open_lanes: BTreeMap::new(),
            ahead: 0,
            is_blocked: false,
        }
    }

    /// One step: of the commit under way, or one of the task's own, as chance has it.
    pub(crate) fn step(&mut self, world: &mut World) {
        if let Some((lane, tag)) = self.late_slot.take() {
            world.transit.lanes[lane].slot_tag = Some(tag);
            return;
        }
        let of_commit = self.actions_of_commit(world);
        if of_commit.is_empty() {
            self.ahead = 0;
        }
        let must_wait = self.ahead >= world.case.ahead;
        let actions = match (of_commit.is_empty(), must_wait || world.random.happens(500)) {
            (false, true) => of_commit,
            _ => self.own_actions(world, &of_commit),
        };
        let action = actions[world.random.below(actions.len())];
        self.perform(world, action);
    }

    /// Nothing is under way, and the record covers all that its queue holds.
    pub(crate) fn is_quiet(&self, world: &World) -> bool {
        let record = &world.commits[self.task as usize];
        let is_read = |lane: &Lane| position_in(&record.positions, world, lane) >= lane.records.len();
        let holds_nothing = self.going_out.is_empty() && self.output.is_empty() && self.mailbox.is_empty();
        holds_nothing && self.to_write.is_none() && !self.to_finish && self.readable(world).all(is_read)
    }

    fn actions_of_commit(&self, world: &World) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.to_write.is_some() {
            actions.push(Action::Write);
        }
        let finish_first = world.has(Rule::FinishFirst);
        let is_written = self.to_write.is_none() || !world.has(Rule::WriteFirst);
        if self.to_finish && is_written && (finish_first || self.going_out.is_empty()) {
            actions.push(Action::Finish);
        }
        // What goes out at once need not wait for a record with an empty outbox.
        let is_in_order = self.to_write.as_ref().is_none_or(|commit| commit.outbox.is_empty());
        if !self.going_out.is_empty() && is_in_order && !(self.to_finish && is_written && finish_first) {
            actions.push(Action::Append);
        }
        let is_no_outbox = self.going_out.iter().all(|entry| entry.index.is_none());
        let is_through = self.to_write.is_none() && !self.to_finish;
        if self.is_blocked && is_through && is_no_outbox && world.has(Rule::BlockedOutbox) {
            actions.push(Action::Snapshot);
        }
        actions
    }

    fn own_actions(&self, world: &World, of_commit: &[Action]) -> Vec<Action> {
        let mut actions = vec![Action::Take; 3];
        let only_appends = of_commit.iter().all(|action| matches!(action, Action::Append));
        if of_commit.is_empty() || (only_appends && !world.has(Rule::OneOutbox)) {
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
            Action::Write => self.write(world),
            Action::Finish => self.finish(world),
            Action::Append => self.append(world),
            Action::Take => self.take(world),
            Action::Snapshot => self.snapshot(world),
            Action::RunStateless => self.run_stateless(world),
            Action::Stray => self.stray(world),
        }
    }

    fn take(&mut self, world: &mut World) {
        if self.mailbox.len() >= MAILBOX {
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
        let lane = &world.transit.lanes[ready[world.random.below(ready.len())]];
        let position = position_in(&self.positions, world, lane);
        self.positions.insert(key_of(world, lane), position + 1);
        self.true_positions.insert(lane.id, position + 1);
        self.ahead += 1;
        self.handle(lane.records[position].message, world.case.ring);
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
            let number = self.mailbox.pop_front().expect("it runs only for a message");
            self.emit(Queue::B, Message::Number(number));
        }
    }

    fn emit(&mut self, queue: Queue, message: Message) {
        let entry = Entry { queue, message, index: None };
        match self.delivery {
            Delivery::AtLeastOnce => self.going_out.push_back(entry),
            Delivery::ExactlyOnce => self.output.push(entry),
        }
    }

    /// The commit begins between two activations: state, positions, output and listed messages, as they are now.
    fn snapshot(&mut self, world: &mut World) {
        if !world.random.happens(world.case.commit_permille) {
            return;
        }
        self.n += 1;
        let pending = if world.has(Rule::Pending) { self.mailbox.iter().copied().collect() } else { Vec::new() };
        self.to_write = Some(Commit {
            epoch: world.commit(self.task).epoch,
            n: self.n,
            state: self.state.clone(),
            positions: self.positions.clone(),
            outbox: self.outbox(),
            pending,
            true_positions: self.true_positions.clone(),
        });
        self.to_finish = true;
        // A reload that changed the delivery holds from here on, and removed files are noticed.
        self.delivery = world.delivery;
        self.open_lanes.retain(|_, lane| world.transit.lanes[*lane].removed_at.is_none());
    }

    /// What the record takes with it: what found no room, then what waited for the record.
    fn outbox(&mut self) -> Vec<Entry> {
        let is_blocked = self.going_out.iter().all(|entry| entry.index.is_none());
        let blocked = if is_blocked { std::mem::take(&mut self.going_out) } else { VecDeque::new() };
        let entries = blocked.into_iter().chain(std::mem::take(&mut self.output));
        entries.zip(1..).map(|(entry, index)| Entry { index: Some(index), ..entry }).collect()
    }

    fn write(&mut self, world: &mut World) {
        let commit = self.to_write.take().expect("the action is there only with a record");
        for entry in commit.outbox.iter().rev() {
            self.going_out.push_front(*entry);
        }
        self.direct = 0;
        *world.commit(self.task) = commit;
    }

    fn finish(&mut self, world: &mut World) {
        let written = &world.commits[self.task as usize];
        let positions = self.to_write.as_ref().unwrap_or(written).positions.clone();
        let finished: Vec<(LaneId, usize)> =
            self.readable(world).map(|lane| (lane.id, position_in(&positions, world, lane))).collect();
        for (lane, position) in finished {
            let end = world.transit.lanes[lane].records.len();
            world.transit.finish(lane, position.min(end));
        }
        self.to_finish = false;
    }

    fn append(&mut self, world: &mut World) {
        let Entry { queue, message, index } = self.going_out[0];
        self.is_blocked = world.is_full(queue);
        if self.is_blocked {
            return;
        }
        self.going_out.pop_front();
        let tag = self.tag(world, index);
        let lane = self.open(world, queue);
        world.transit.append(lane, Some(tag), message);
        if !world.has(Rule::TagInRecord) {
            self.late_slot = Some((lane, tag));
        }
    }

    fn tag(&mut self, world: &mut World, index: Option<u32>) -> Tag {
        let in_record = world.has(Rule::DirectTag);
        let commit = world.commit(self.task);
        if let Some(index) = index {
            return Tag { epoch: commit.epoch, n: commit.n, index };
        }
        self.direct += 1;
        let outbox = u32::try_from(commit.outbox.len()).expect("a short outbox");
        match in_record {
            true => Tag { epoch: commit.epoch, n: commit.n, index: outbox + self.direct },
            false => Tag { epoch: commit.epoch, n: commit.n + 1, index: self.direct },
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

fn key_of(world: &World, lane: &Lane) -> LaneKey {
    if world.has(Rule::LaneId) { LaneKey::Id(lane.id) } else { LaneKey::Writer(lane.writer) }
}

/// Where to read on: an unknown lane from its finished position, and never below it, for that room has gone.
fn position_in(positions: &BTreeMap<LaneKey, usize>, world: &World, lane: &Lane) -> usize {
    positions.get(&key_of(world, lane)).map_or(lane.finished, |position| lane.finished.max(*position))
}

/// Whether this entry of the record's outbox stands on its lane already: the lane's last tag is not before it.
fn went_out(world: &mut World, task: Task, commit: &Commit, entry: &Entry) -> bool {
    let lane = world.transit.open(task.writer(), entry.queue);
    let lane = &world.transit.lanes[lane];
    let last = if world.has(Rule::TagInRecord) { lane.last_tag() } else { lane.slot_tag };
    let Some(last) = last.filter(|last| !world.has(Rule::Epoch) || last.epoch == commit.epoch) else { return false };
    (commit.n, entry.index.unwrap_or_default()) <= (last.n, last.index)
}
