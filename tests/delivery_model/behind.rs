//! What stands behind a stateless task S that changes its place: the task B hears what A caused, in A's order.
//!
//! ```text
//! process of A:  A ─┬─► memory of S ─► handled ──lane of A──────────────┐
//!                   └─► queue of S ─► home of S ──lane of its process──►┴─► B (stateful), reads its lanes in any order
//! ```
//!
//! A lane of B's queue is read in order, but one of two lanes may be read long before the other. So whenever what A
//! sends begins to take another way to B, what went the old way comes first:
//!
//! 1. **The home of S changes:** S is nowhere for one generation of the config. The daemon, where S may be at home,
//!    is the first to take it: who uses memory goes over to the queue when nobody reads that. The next one is published
//!    when nobody reads S's queue any more and all that stood in B's queue then is finished. Before that is looked at, each
//!    process has appended what its tasks' outboxes held. B may be on its way to another place, too: it gets there first.
//! 2. **A returns to memory:** its lane in S's queue is finished, so all that came of it stands in the lane that the
//!    home of S writes in B's queue. A's own lane there *follows* that lane: what it appends from now on is taken after
//!    what stands in that one now. Nobody waits for anybody, and the order stands in the queue's index: it survives A, the
//!    home and B.
//!
//! Not modelled: a process that does not answer for so long that the daemon goes on without it.

use std::collections::VecDeque;

use crate::random::Random;
use crate::rules::{Rule, Rules};
use crate::seeds::Scenario;
use crate::verdict::{Verdict, first_behind};

const DAEMON: usize = 0;
const HOST: usize = 1;
const OWN: usize = 2;
/// The lanes of B's queue: A's own, and those of the two homes of S, by process.
const LANE_OF_A: usize = 1;
/// How many messages the memory of S holds.
const MAILBOX: usize = 4;
/// Some ten times what the longest run needs.
const MAX_STEPS: usize = 60_000;

/// One case; a seed makes a run of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behind {
    pub(crate) rules: Rules,
    /// How many messages A sends.
    pub(crate) numbers: u32,
    pub(crate) crash_permille: usize,
    /// How many of a thousand steps begin a move of S.
    pub(crate) move_permille: usize,
    /// Whether what A emits waits for its next record.
    pub(crate) exactly_once: bool,
}

impl Behind {
    pub(crate) const MOVING: Self =
        Self { rules: Rules::ALL, numbers: 60, crash_permille: 10, move_permille: 15, exactly_once: false };
}

impl Scenario for Behind {
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

/// Where a config has S.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Internal,
    Nowhere,
    External,
}

/// What stands in no record yet, or waits for one.
#[derive(Debug, Clone, Copy)]
enum Output {
    ToQueue(u32),
    ToB(u32),
}

#[derive(Debug, Default)]
struct Lane {
    records: Vec<u32>,
    taken: usize,
    finished: usize,
}

/// From `from` on A's lane is taken after the daemon's was taken up to `to`.
#[derive(Debug, Clone, Copy)]
struct Follows {
    from: usize,
    to: usize,
}

#[derive(Debug, Default)]
struct Sender {
    next: u32,
    pending: VecDeque<u32>,
    outbox: Vec<Output>,
    mailbox: VecDeque<u32>,
    uses_memory: bool,
    record: (u32, VecDeque<u32>),
}

#[derive(Debug)]
struct Run {
    case: Behind,
    random: Random,
    /// Where A runs.
    process: usize,
    a: Sender,
    place: Place,
    target: Place,
    known: [Place; 3],
    /// What the daemon tells the others, and leaves for those that start.
    published: Place,
    /// While S is nowhere: how far B's lanes must be finished before it is somewhere again.
    look: Option<[usize; 3]>,
    /// B is on its way, too, and reads nothing.
    b_moves: bool,
    queue: Lane,
    consumer: Option<usize>,
    /// The daemon reads the queue no more, and works off what its memory holds for S.
    pauses: bool,
    lanes: [Lane; 3],
    follows: Option<Follows>,
    /// What B handled, and how much of that its record holds.
    handled: Vec<u32>,
    saved: usize,
    crashes: u32,
}

impl Run {
    fn new(case: Behind, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            case,
            process: random.below(2),
            random,
            a: Sender::default(),
            place: Place::Internal,
            target: Place::Internal,
            known: [Place::Internal; 3],
            published: Place::Internal,
            look: None,
            b_moves: false,
            queue: Lane::default(),
            consumer: None,
            pauses: false,
            lanes: Default::default(),
            follows: None,
            handled: Vec::new(),
            saved: 0,
            crashes: 0,
        }
    }

    fn judge(mut self) -> (Verdict, u32) {
        let is_quiet = (0..MAX_STEPS).any(|_| {
            self.step();
            self.is_quiet()
        });
        (if is_quiet { self.verdict() } else { Verdict::Stuck }, self.crashes)
    }

    fn verdict(&self) -> Verdict {
        let lost = (0..self.case.numbers).find(|number| !self.handled.contains(number)).map(Verdict::Lost);
        lost.unwrap_or_else(|| first_behind(&self.handled).map_or(Verdict::Kept, Verdict::OutOfOrder))
    }

    fn has(&self, rule: Rule) -> bool {
        self.case.rules.has(rule)
    }

    fn is_quiet(&self) -> bool {
        let Sender { next, pending, outbox, mailbox, .. } = &self.a;
        let is_sent = *next == self.case.numbers && pending.is_empty() && outbox.is_empty() && mailbox.is_empty();
        let is_finished = |lane: &Lane| lane.finished == lane.records.len();
        is_sent && is_finished(&self.queue) && self.lanes.iter().all(is_finished)
    }

    fn step(&mut self) {
        if self.random.happens(self.case.crash_permille) {
            let process = self.random.below(4);
            return self.crash(process);
        }
        if self.random.happens(self.case.move_permille) && self.place == self.target {
            self.target = if self.place == Place::Internal { Place::External } else { Place::Internal };
            self.place = Place::Nowhere;
            self.b_moves = self.random.happens(300);
            // It leaves in order.
            self.commit_b();
        }
        match self.random.below(12) {
            0 => self.learn(),
            1 => self.go_on(),
            2 => self.change_consumer(),
            3 | 4 => self.handle_at_home(),
            5 => self.finish_at_home(),
            6 | 7 => self.handle_in_memory(),
            8 => self.commit(),
            9 => self.take_at_b(),
            10 => self.commit_b(),
            _ => self.send(),
        }
    }

    /// The fourth process is that of B.
    fn crash(&mut self, process: usize) {
        self.crashes += 1;
        if process == 3 {
            self.handled.truncate(self.saved);
            return self.lanes.iter_mut().for_each(|lane| lane.taken = lane.finished);
        }
        self.consumer.take_if(|consumer| *consumer == process);
        if process == DAEMON {
            // The next one begins a move again that the last one has told nobody the end of.
            self.place = if self.published == self.place { self.place } else { Place::Nowhere };
            (self.look, self.pauses) = (None, false);
        }
        self.known[process] = if process == DAEMON { self.place } else { self.published };
        if process == self.process {
            let record = self.a.record.clone();
            self.a = Sender { next: record.0, pending: record.1.clone(), record, ..Sender::default() };
        }
    }

    /// A process takes the config. One in which S leaves works off, or sends on, what S has there.
    fn learn(&mut self) {
        let process = self.random.below(3);
        let is_home_gone = self.known[DAEMON] == self.place && self.consumer != Some(DAEMON);
        if is_home_gone || self.place != Place::Nowhere || !self.has(Rule::HomeLeavesFirst) {
            self.published = self.place;
        }
        let told = if process == DAEMON { self.place } else { self.published };
        self.pauses |= process == DAEMON && told != Place::Internal;
        if process == self.process
            && told != Place::Internal
            && let Some(number) = self.a.mailbox.pop_front()
        {
            return if self.random.happens(500) { self.put(Output::ToB(number)) } else { self.send_on(number) };
        }
        self.known[process] = told;
        self.pauses &= process != DAEMON;
    }

    fn send_on(&mut self, number: u32) {
        self.put(Output::ToQueue(number));
        for number in std::mem::take(&mut self.a.mailbox) {
            self.put(Output::ToQueue(number));
        }
        self.a.uses_memory = false;
    }

    /// The daemon: is everybody through with the old place?
    fn go_on(&mut self) {
        let is_known = self.known.iter().chain([&self.published]).all(|known| *known == Place::Nowhere);
        let is_settled = self.a.outbox.is_empty() || !self.has(Rule::OutboxBeforeTheLook);
        if self.place != Place::Nowhere || !is_known || self.consumer.is_some() || !is_settled && self.look.is_none() {
            return;
        }
        self.b_moves &= !self.has(Rule::ReceiversHomeFirst);
        let written = [0, 1, 2].map(|lane| self.lanes[lane].records.len());
        let look = *self.look.get_or_insert(written);
        let is_handled = look.iter().zip(&self.lanes).all(|(to, lane)| lane.finished >= *to);
        // Who reads nothing is not waited for.
        if is_handled || self.b_moves || !self.has(Rule::ReceiversFirst) {
            (self.place, self.look, self.b_moves) = (self.target, None, false);
        }
    }

    fn home(&self, process: usize) -> bool {
        match process {
            DAEMON => self.known[DAEMON] == Place::Internal && !self.pauses,
            HOST => false,
            _ => self.known[OWN] == Place::External,
        }
    }

    /// What was taken is finished before the lock is given back.
    fn change_consumer(&mut self) {
        let process = [DAEMON, OWN][self.random.below(2)];
        match self.consumer {
            None if self.home(process) => {
                self.consumer = Some(process);
                self.queue.taken = self.queue.finished;
            }
            Some(holder) if holder == process && !self.home(process) && self.queue.taken == self.queue.finished => {
                self.consumer = None;
            }
            _ => {}
        }
    }

    fn handle_at_home(&mut self) {
        let Some(home) = self.consumer.filter(|home| self.home(*home)) else { return };
        let Some(number) = self.queue.records.get(self.queue.taken) else { return };
        self.queue.taken += 1;
        self.lanes[home].records.push(*number);
    }

    fn finish_at_home(&mut self) {
        if self.consumer.is_some() {
            self.queue.finished = self.queue.taken;
        }
    }

    fn handle_in_memory(&mut self) {
        if let Some(number) = self.a.mailbox.pop_front() {
            self.put(Output::ToB(number));
        }
    }

    fn put(&mut self, output: Output) {
        self.a.outbox.push(output);
        if !self.case.exactly_once {
            self.append_outbox();
        }
    }

    fn append_outbox(&mut self) {
        for output in std::mem::take(&mut self.a.outbox) {
            match output {
                Output::ToQueue(number) => self.queue.records.push(number),
                Output::ToB(number) => self.lanes[LANE_OF_A].records.push(number),
            }
        }
    }

    /// A's record, its outbox with it; what crashes in between do is the larger model's affair.
    fn commit(&mut self) {
        let listed = self.a.mailbox.iter().chain(&self.a.pending).copied().collect();
        self.a.record = (self.a.next, listed);
        self.append_outbox();
    }

    fn send(&mut self) {
        if self.a.pending.is_empty() && self.a.next == self.case.numbers {
            return;
        }
        let is_here = self.known[self.process] == Place::Internal;
        if !is_here && !self.a.mailbox.is_empty() {
            return;
        }
        self.a.uses_memory = is_here && (self.a.uses_memory || self.goes_over());
        if self.a.uses_memory && self.a.mailbox.len() >= MAILBOX {
            return;
        }
        let number = self.a.pending.pop_front().unwrap_or_else(|| {
            self.a.next += 1;
            self.a.next - 1
        });
        if self.a.uses_memory {
            self.a.mailbox.push_back(number);
        } else {
            self.put(Output::ToQueue(number));
        }
    }

    /// Whether memory may be the way from now on.
    fn goes_over(&mut self) -> bool {
        let waits = self.a.outbox.iter().any(|output| matches!(output, Output::ToQueue(_)));
        if waits || self.queue.finished < self.queue.records.len() {
            return false;
        }
        if self.has(Rule::FollowsTheHome) {
            let (from, to) = (self.lanes[LANE_OF_A].records.len(), self.lanes[DAEMON].records.len());
            // An order that still counts stands for what was appended since.
            let earlier = self.follows.filter(|earlier| self.lanes[DAEMON].finished < earlier.to);
            let from = earlier.filter(|_| self.has(Rule::EarlierOrderStands)).map_or(from, |earlier| earlier.from);
            self.follows = Some(Follows { from, to });
        }
        true
    }

    fn take_at_b(&mut self) {
        let at = self.random.below(3);
        let daemon = self.lanes[DAEMON].taken;
        let lane = &mut self.lanes[at];
        let is_held = self.follows.is_some_and(|follows| lane.taken >= follows.from && daemon < follows.to);
        if self.b_moves || at == LANE_OF_A && is_held {
            return;
        }
        let Some(number) = lane.records.get(lane.taken) else { return };
        lane.taken += 1;
        self.handled.push(*number);
    }

    fn commit_b(&mut self) {
        self.saved = self.handled.len();
        self.lanes.iter_mut().for_each(|lane| lane.finished = lane.taken);
    }
}
