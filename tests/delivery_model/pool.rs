//! A pool: a dispatcher without a record deals the inputs of its queue to workers, and deals again what a worker left.
//!
//! ```text
//! two lanes ─► dispatcher ─┬─► lane of worker 0 ─► worker 0
//!                 ▲        ├─► lane of worker 1 ─► worker 1        on whom three workers ended ─► dead
//!                 │        └─► lane of worker 2 ─► worker 2
//!                 └── the consumer's lock of a worker that ended, and what it has not finished
//! ```
//!
//! To deal is: append a copy to a worker's lane, tagged with the lane and the position that it comes from; then
//! finish it there. To deal again is the same, from the worker's lane, under that queue's consumer lock. The rules:
//!
//! 1. **One at a time:** an input is finished before the next is appended, to whichever worker. So after a crash at
//!    most one stands in both places, and its copy is the last record of some worker's lane. A lane keeps that record
//!    however far it is finished, and no other: a dispatcher that finished in batches would look for tags that are gone.
//! 2. **At its start**, holding the queue's lock and before it appends anything, the dispatcher looks at the last tag of
//!    every worker's lane, and finishes the input that one of them names. No lane is walked.
//! 3. **Ends travel:** a copy bears how many workers ended on the message before, for the words of the lane's slot
//!    count within that lane.
//! 4. **A lock is given back** when nobody else has room: a dispatcher that held those of all workers and waited
//!    for room would wait for itself. The worker that comes back goes on with what is left.
//!
//! An input is dealt once. It may be handled again when a worker that had it ended, or when the dispatcher ended
//! while it dealt that worker's messages again.

use crate::poison::{ENDS, POISON, UnderWay};
use crate::random::Random;
use crate::rules::{Rule, Rules};
use crate::seeds::Scenario;
use crate::verdict::Verdict;

const INPUTS: usize = 2;
const WORKERS: usize = 3;
/// The lanes of `dead` stand behind those of the workers: one of each worker, and the dispatcher's.
const DEAD: usize = INPUTS + WORKERS;
/// So many messages of a worker are unfinished, at most.
const AHEAD: usize = 3;
/// A broken rule: so many are finished together.
const BATCH: usize = 3;
/// Some ten times what the longest run needs.
const MAX_STEPS: usize = 60_000;

/// One case; a seed makes a run of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool {
    pub(crate) rules: Rules,
    /// How many messages are sent to the pool.
    pub(crate) numbers: u32,
    pub(crate) crash_permille: usize,
    /// Some numbers end whichever worker handles them.
    pub(crate) poisoned: bool,
}

impl Pool {
    pub(crate) const PLAIN: Self = Self { rules: Rules::ALL, numbers: 40, crash_permille: 40, poisoned: false };
}

impl Scenario for Pool {
    fn judge(self, seed: u64) -> (Verdict, u32) {
        Run::new(self, seed).judge()
    }

    fn without(self, rule: Rule) -> Self {
        Self { rules: Rules::without(rule), ..self }
    }

    fn may_crash(self) -> bool {
        self.crash_permille > 0
    }
}

/// Where a message comes from: a lane, and its position there.
type Origin = (usize, usize);

/// A record of a lane.
#[derive(Debug, Clone, Copy)]
struct Record {
    tag: Option<Origin>,
    number: u32,
    /// How many workers ended on the message before it came here.
    ended: u32,
}

#[derive(Debug, Default)]
struct Lane {
    records: Vec<Record>,
    finished: usize,
    under_way: UnderWay,
}

/// Who consumes the queue of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nobody,
    /// The worker, and how far it has handled its lane.
    Worker(usize),
    Dispatcher,
}

#[derive(Debug)]
struct Run {
    case: Pool,
    random: Random,
    sent: u32,
    lanes: [Lane; DEAD + WORKERS + 1],
    holders: [Holder; WORKERS],
    /// The dispatcher's memory, if it runs: what it has appended and not finished, or, by a broken rule, finished and
    /// not appended.
    dispatcher: Option<Vec<(Origin, Record)>>,
    /// A broken rule: the workers whose messages are dealt again though they hold their lock.
    robbed: [bool; WORKERS],
    /// How often each number was handled.
    handled: Vec<u32>,
    /// How often it may be handled again.
    excused: Vec<u32>,
    /// How many workers each number ended.
    ends: Vec<u32>,
    crashes: u32,
}

impl Run {
    fn new(case: Pool, seed: u64) -> Self {
        Self {
            case,
            random: Random::new(seed),
            sent: 0,
            lanes: Default::default(),
            holders: [Holder::Nobody; WORKERS],
            dispatcher: None,
            robbed: [false; WORKERS],
            handled: vec![0; case.numbers as usize],
            excused: vec![0; case.numbers as usize],
            ends: vec![0; case.numbers as usize],
            crashes: 0,
        }
    }

    fn judge(mut self) -> (Verdict, u32) {
        let is_quiet = (0..MAX_STEPS).any(|_| {
            self.step();
            self.is_quiet()
        });
        let verdict = if is_quiet { self.verdict() } else { Verdict::Stuck };
        (verdict, self.crashes)
    }

    fn verdict(&self) -> Verdict {
        let count = |lanes: &[Lane], number: u32, of_input: bool| {
            let records = lanes.iter().flat_map(|lane| &lane.records).filter(|record| record.number == number);
            records.filter(|record| !of_input || record.tag.is_some_and(|(lane, _)| lane < INPUTS)).count()
        };
        for number in 0..self.case.numbers {
            let (place, is_poison) = (number as usize, self.is_poison(number));
            let buried = count(&self.lanes[DEAD..], number, false);
            if buried > 0 && !is_poison {
                return Verdict::Buried(number);
            }
            if buried == 0 && self.handled[place] == 0 {
                return Verdict::Lost(number);
            }
            let is_dealt_twice = count(&self.lanes[INPUTS..DEAD], number, true) > 1;
            // A dispatcher that ends while it deals again may leave two copies, and each counts for itself.
            if self.ends[place] > ENDS && !self.case.may_crash() {
                return Verdict::NotBuried(number);
            }
            if is_dealt_twice || self.handled[place] > 1 + self.excused[place] {
                return Verdict::Twice(number);
            }
        }
        Verdict::Kept
    }

    fn has(&self, rule: Rule) -> bool {
        self.case.rules.has(rule)
    }

    fn is_poison(&self, number: u32) -> bool {
        self.case.poisoned && POISON.contains(&number)
    }

    fn is_quiet(&self) -> bool {
        self.sent == self.case.numbers
            && self.dispatcher.as_ref().is_some_and(Vec::is_empty)
            && self.lanes[..DEAD].iter().all(|lane| lane.finished == lane.records.len())
    }

    fn step(&mut self) {
        let (worker, is_killed) = (self.random.below(WORKERS), self.random.happens(self.case.crash_permille));
        match self.random.below(6) {
            0 => self.send(),
            1 | 2 if is_killed => self.end_dispatcher(),
            1 | 2 => self.step_dispatcher(),
            _ if is_killed => self.end_worker(worker),
            _ => self.step_worker(worker),
        }
    }

    fn send(&mut self) {
        if self.sent < self.case.numbers {
            let lane = self.random.below(INPUTS);
            self.lanes[lane].records.push(Record { tag: None, number: self.sent, ended: 0 });
            self.sent += 1;
        }
    }

    fn end_dispatcher(&mut self) {
        let Some(under_way) = self.dispatcher.take() else { return };
        self.crashes += 1;
        for (_, record) in under_way.iter().filter(|((lane, _), _)| *lane >= INPUTS) {
            self.excused[record.number as usize] += 1;
        }
        self.robbed = [false; WORKERS];
        for holder in self.holders.iter_mut().filter(|holder| **holder == Holder::Dispatcher) {
            *holder = Holder::Nobody;
        }
    }

    fn end_worker(&mut self, worker: usize) {
        if let Holder::Worker(_) = self.holders[worker] {
            self.crashes += 1;
            self.holders[worker] = Holder::Nobody;
            let lane = &self.lanes[INPUTS + worker];
            for record in &lane.records[lane.finished..] {
                self.excused[record.number as usize] += 1;
            }
        }
    }

    fn step_dispatcher(&mut self) {
        let Some(under_way) = &self.dispatcher else {
            self.start_dispatcher();
            return;
        };
        let may_append = under_way.is_empty() || (!self.has(Rule::OneAtATime) && under_way.len() < BATCH);
        if !may_append || (!under_way.is_empty() && self.random.happens(500)) {
            return self.settle();
        }
        let source = self.random.below(DEAD);
        if source < INPUTS || self.may_deal_again(source - INPUTS) {
            self.deal(source);
        }
    }

    /// It goes on from the finished positions, and from the last tag of each lane.
    fn start_dispatcher(&mut self) {
        self.dispatcher = Some(Vec::new());
        for lane in 0..INPUTS {
            while self.is_dealt((lane, self.lanes[lane].finished)) {
                self.lanes[lane].finished += 1;
            }
        }
    }

    /// Whether a copy of it can still be found: what a lane keeps is its last record, and what is not finished.
    fn is_dealt(&self, origin: Origin) -> bool {
        let still_there = |lane: &Lane| lane.finished.min(lane.records.len().saturating_sub(1));
        let is_copy = |record: &Record| record.tag == Some(origin);
        self.has(Rule::InputTagged)
            && self.lanes[INPUTS..].iter().any(|lane| lane.records[still_there(lane)..].iter().any(is_copy))
    }

    /// A worker seems to have ended: its messages are dealt again by whoever gets its lock.
    fn may_deal_again(&mut self, worker: usize) -> bool {
        let lane = &mut self.lanes[INPUTS + worker];
        match self.holders[worker] {
            Holder::Dispatcher if lane.finished == lane.records.len() => self.holders[worker] = Holder::Nobody,
            Holder::Nobody if self.random.happens(200) => {
                lane.under_way.count(lane.finished);
                self.holders[worker] = Holder::Dispatcher;
            }
            Holder::Worker(_) if !self.case.rules.has(Rule::DealtAgainUnderLock) && self.random.happens(200) => {
                self.robbed[worker] ^= true;
            }
            _ => {}
        }
        self.robbed[worker] || self.holders[worker] == Holder::Dispatcher
    }

    fn deal(&mut self, source: usize) {
        let under_way = self.dispatcher.as_ref().expect("it runs").iter();
        let ahead = under_way.filter(|((lane, _), _)| *lane == source).count();
        let is_early = !self.has(Rule::AppendFirst);
        let position = self.lanes[source].finished + if is_early { 0 } else { ahead };
        let Some(record) = self.lanes[source].records.get(position).copied() else { return };
        let origin = (source, position);
        if source >= INPUTS && self.is_dealt(origin) {
            return self.finish(origin);
        }
        let ended = record.ended + self.lanes[source].under_way.ended_on(position + 1);
        let ended = if self.has(Rule::EndsTravel) || ended >= ENDS { ended } else { 0 };
        let copy = Record { tag: Some(origin), number: record.number, ended };
        if is_early {
            self.finish(origin);
        } else if !self.append(source, copy) {
            return self.give_back(source);
        }
        self.dispatcher.as_mut().expect("it runs").push((origin, copy));
    }

    /// Where nobody else has room, the worker itself goes on when it is back.
    fn give_back(&mut self, source: usize) {
        if source >= INPUTS && self.has(Rule::GivenBack) {
            self.holders[source - INPUTS] = Holder::Nobody;
        }
    }

    /// To a worker that has room, and not to the one that had it; or to `dead`.
    fn append(&mut self, source: usize, copy: Record) -> bool {
        let target = match copy.ended >= ENDS {
            true => DEAD + WORKERS,
            false => INPUTS + self.random.below(WORKERS),
        };
        let lane = &mut self.lanes[target];
        let has_room = target >= DEAD || lane.records.len() - lane.finished < AHEAD;
        if has_room && target != source {
            lane.records.push(copy);
        }
        has_room && target != source
    }

    /// The other half of what it has under way.
    fn settle(&mut self) {
        let (origin, copy) = self.dispatcher.as_ref().expect("it runs")[0];
        let is_done = match self.has(Rule::AppendFirst) {
            true => {
                self.finish(origin);
                true
            }
            false => self.append(origin.0, copy),
        };
        if is_done {
            self.dispatcher.as_mut().expect("it runs").remove(0);
        }
    }

    fn finish(&mut self, (lane, position): Origin) {
        let finished = &mut self.lanes[lane].finished;
        *finished = (position + 1).max(*finished);
    }

    fn step_worker(&mut self, worker: usize) {
        let place = INPUTS + worker;
        let (finished, end) = (self.lanes[place].finished, self.lanes[place].records.len());
        let holder = self.holders[worker];
        match holder {
            Holder::Nobody if self.random.happens(300) => {
                self.lanes[place].under_way.count(finished);
                self.holders[worker] = Holder::Worker(finished);
            }
            Holder::Worker(handled) if handled > finished && self.finishes(worker, handled) => {
                self.finish((place, handled - 1));
            }
            Holder::Worker(position) if position < end => self.handle(worker, position),
            _ => {}
        }
    }

    /// What was buried is finished before anything more is handled.
    fn finishes(&mut self, worker: usize, handled: usize) -> bool {
        let is_buried = self.ended_on(worker, handled - 1) >= ENDS;
        (is_buried && self.has(Rule::BurialRecorded)) || self.random.happens(500)
    }

    fn ended_on(&self, worker: usize, position: usize) -> u32 {
        let lane = &self.lanes[INPUTS + worker];
        lane.records[position].ended + lane.under_way.ended_on(position + 1)
    }

    fn handle(&mut self, worker: usize, position: usize) {
        let ended = self.ended_on(worker, position);
        let lane = &mut self.lanes[INPUTS + worker];
        let record = lane.records[position];
        let origin = (INPUTS + worker, position);
        if ended >= ENDS {
            if !self.is_dealt(origin) {
                self.lanes[DEAD + worker].records.push(Record { tag: Some(origin), number: record.number, ended });
            }
        } else {
            lane.under_way.begin(position + 1);
            if self.is_poison(record.number) {
                self.ends[record.number as usize] += 1;
                return self.end_worker(worker);
            }
            self.handled[record.number as usize] += 1;
            self.lanes[INPUTS + worker].under_way.done();
        }
        self.holders[worker] = Holder::Worker(position + 1);
    }
}
