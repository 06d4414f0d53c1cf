//! A stateless task S changes its place, between the daemon's memory and a process of its own, while two stateful
//! tasks send to it and move between processes themselves.
//!
//! ```text
//! daemon: p ─┬─► memory of S ─► handled      S internal: memory, where its sender is; the daemon reads the queue
//! host:   q ─┼─► memory of S (a copy) ─► handled
//!            └─► queue of S, a lane for p, one for q ─► S's own process ─► handled        S external: all to the queue
//! ```
//!
//! Processes hear of a reload at different times. The weakest rules that keep the order, which need nothing but what
//! the sender's process can see:
//!
//! 1. **Away from memory:** a sender appends to the queue only when nothing of its own is left in its process's memory
//!    of S: it was handled, or forwarded to the queue in order; what stands behind something forwarded is forwarded too,
//!    and the handler under way returns before the first is; a sender of which something was forwarded is back at the
//!    queue, as if it had appended that itself. Until then the sender waits. It does not help if the old
//!    home keeps the queue's lock meanwhile: a crash frees that, and what was in memory is appended behind.
//! 2. **Back to memory:** a sender uses memory only when its own lane in S's queue is finished to the end, whoever reads
//!    that. Other lanes need not be. The look and the change are one step, under the lock that its appends take.
//! 3. **A sender begins at the queue**, wherever it starts, also after a crash or a move and in a process where others
//!    have used memory for long: its lane may hold what it sent from elsewhere. By rule 2 it goes over to memory at
//!    once where that lane is empty. What its record lists as pending goes out first, the same way.
//! 4. **Finished means handled**, not taken.

use std::collections::{BTreeSet, VecDeque};

use crate::random::Random;
use crate::rules::{Rule, Rules};
use crate::seeds::Scenario;
use crate::verdict::{Verdict, first_behind};

const DAEMON: usize = 0;
const HOST: usize = 1;
const OWN: usize = 2;
/// How many messages the memory of S holds in a process.
const MAILBOX: usize = 4;
/// Some ten times what the longest run needs.
const MAX_STEPS: usize = 60_000;

/// One case; a seed makes a run of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) rules: Rules,
    /// How many messages each sender sends.
    pub(crate) numbers: u32,
    pub(crate) crash_permille: usize,
    /// How many of a thousand steps are a reload that changes the place of S.
    pub(crate) reload_permille: usize,
}

impl Places {
    pub(crate) const CHANGING: Self = Self { rules: Rules::ALL, numbers: 40, crash_permille: 15, reload_permille: 15 };
}

impl Scenario for Places {
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

/// A message in the memory of S.
#[derive(Debug, Clone, Copy)]
struct Item {
    sender: usize,
    number: u32,
    /// Where the queue's lane of the sender holds it, if it came from there.
    position: Option<usize>,
}

#[derive(Debug, Default)]
struct Process {
    /// What it knows of the config.
    external: bool,
    mailbox: VecDeque<Item>,
    /// What is in memory goes to the queue, and is not handled here any more.
    forwards: bool,
    /// How far it has taken each lane.
    taken: [usize; 2],
}

#[derive(Debug, Default)]
struct Lane {
    records: Vec<u32>,
    finished: usize,
}

/// What of a sender survives a crash.
#[derive(Debug, Clone, Default)]
struct Record {
    next: u32,
    pending: VecDeque<u32>,
}

#[derive(Debug, Default)]
struct Sender {
    process: usize,
    next: u32,
    /// What the record listed, to be handed out before anything new.
    pending: VecDeque<u32>,
    uses_memory: bool,
    /// A broken rule: it has looked at its lane, and has not changed yet.
    has_looked: bool,
    record: Record,
}

#[derive(Debug)]
struct Run {
    case: Places,
    random: Random,
    external: bool,
    processes: [Process; 3],
    lanes: [Lane; 2],
    /// Who holds the lock of the queue's consumer.
    consumer: Option<usize>,
    senders: [Sender; 2],
    /// What S handled, anywhere: sender and number.
    handled: Vec<(usize, u32)>,
    crashes: u32,
}

impl Run {
    fn new(case: Places, seed: u64) -> Self {
        let senders = [DAEMON, HOST].map(|process| Sender { process, ..Sender::default() });
        Self {
            case,
            random: Random::new(seed),
            external: false,
            processes: Default::default(),
            lanes: Default::default(),
            consumer: None,
            senders,
            handled: Vec::new(),
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
        let of = |sender| self.handled.iter().filter(move |(from, _)| *from == sender).map(|(_, number)| *number);
        for sender in 0..2 {
            let seen: BTreeSet<u32> = of(sender).collect();
            if let Some(lost) = (0..self.case.numbers).find(|number| !seen.contains(number)) {
                return Verdict::Lost(lost);
            }
            if let Some(behind) = first_behind(&of(sender).collect::<Vec<_>>()) {
                return Verdict::OutOfOrder(behind);
            }
        }
        Verdict::Kept
    }

    fn has(&self, rule: Rule) -> bool {
        self.case.rules.has(rule)
    }

    fn is_quiet(&self) -> bool {
        self.senders.iter().all(|sender| sender.next == self.case.numbers && sender.pending.is_empty())
            && self.processes.iter().all(|process| process.mailbox.is_empty())
            && self.lanes.iter().all(|lane| lane.finished == lane.records.len())
    }

    fn step(&mut self) {
        let (process, sender) = (self.random.below(3), self.random.below(2));
        if self.random.happens(self.case.crash_permille) {
            return self.crash(process);
        }
        self.external ^= self.random.happens(self.case.reload_permille);
        match self.random.below(10) {
            0 => self.processes[process].external = self.external,
            1 => self.change_consumer(process),
            2 => self.take(process, sender),
            3 | 4 => self.handle(process),
            5 => self.forward(process),
            6 => self.commit(sender),
            7 if self.random.happens(200) => self.migrate(sender),
            _ => self.send(sender),
        }
    }

    /// What the process holds of S is gone; its senders start again from their records.
    fn crash(&mut self, process: usize) {
        self.crashes += 1;
        self.processes[process].mailbox.clear();
        self.processes[process].forwards = false;
        self.consumer.take_if(|consumer| *consumer == process);
        for sender in 0..2 {
            if self.senders[sender].process == process {
                self.recover(sender, process);
            }
        }
    }

    fn recover(&mut self, sender: usize, process: usize) {
        let record = self.senders[sender].record.clone();
        let uses_memory = !self.has(Rule::BeginsAtTheQueue) && !self.processes[process].external;
        self.senders[sender] = Sender {
            process,
            next: record.next,
            pending: record.pending.clone(),
            uses_memory,
            has_looked: false,
            record,
        };
    }

    /// A stateful sender moves: its last record lists what the old process has not handled.
    fn migrate(&mut self, sender: usize) {
        self.commit(sender);
        let old = self.senders[sender].process;
        self.processes[old].mailbox.retain(|item| item.sender != sender || item.position.is_some());
        self.recover(sender, 1 - old);
    }

    fn commit(&mut self, sender: usize) {
        let task = &mut self.senders[sender];
        let listed = self.processes[task.process].mailbox.iter().filter(|item| item.position.is_none());
        let listed = listed.filter(|item| item.sender == sender).map(|item| item.number);
        task.record = Record { next: task.next, pending: listed.chain(task.pending.iter().copied()).collect() };
    }

    /// Whether this process should read the queue, as far as it knows.
    fn is_home(&self, process: usize) -> bool {
        match process {
            DAEMON => !self.processes[DAEMON].external,
            HOST => false,
            _ => self.processes[OWN].external,
        }
    }

    /// The home takes the lock of the queue; who is home no more works off what it took, and gives it back.
    fn change_consumer(&mut self, process: usize) {
        let is_clear = self.processes[process].mailbox.iter().all(|item| item.position.is_none());
        match self.consumer {
            None if self.is_home(process) => {
                self.consumer = Some(process);
                self.processes[process].taken = [self.lanes[0].finished, self.lanes[1].finished];
            }
            Some(holder) if holder == process && !self.is_home(process) && is_clear => self.consumer = None,
            _ => {}
        }
    }

    fn take(&mut self, process: usize, sender: usize) {
        let position = self.processes[process].taken[sender];
        let may_take = self.consumer == Some(process) && self.is_home(process);
        if !may_take || self.processes[process].mailbox.len() >= MAILBOX {
            return;
        }
        if let Some(number) = self.lanes[sender].records.get(position).copied() {
            self.processes[process].taken[sender] += 1;
            self.processes[process].mailbox.push_back(Item { sender, number, position: Some(position) });
            if !self.has(Rule::LowWatermark) {
                self.lanes[sender].finished = position + 1;
            }
        }
    }

    fn handle(&mut self, process: usize) {
        let Process { mailbox, forwards, .. } = &mut self.processes[process];
        let is_kept = *forwards && mailbox.front().is_some_and(|item| item.position.is_none());
        if is_kept && self.case.rules.has(Rule::ForwardsTheRest) {
            return;
        }
        let Some(item) = mailbox.pop_front() else { return };
        self.handled.push((item.sender, item.number));
        if let Some(position) = item.position {
            let finished = &mut self.lanes[item.sender].finished;
            *finished = (position + 1).max(*finished);
        }
    }

    /// Where S leaves a process, what is in memory may go to the queue instead, in order.
    fn forward(&mut self, process: usize) {
        let Process { external, mailbox, forwards, .. } = &mut self.processes[process];
        if !*forwards && !*external {
            return;
        }
        let place = mailbox.iter().position(|item| item.position.is_none());
        *forwards = place.is_some();
        if let Some(item) = place.and_then(|place| mailbox.remove(place)) {
            self.lanes[item.sender].records.push(item.number);
            self.senders[item.sender].uses_memory &= self.senders[item.sender].process != process;
        }
    }

    fn send(&mut self, sender: usize) {
        let task = &self.senders[sender];
        if task.pending.is_empty() && task.next == self.case.numbers {
            return;
        }
        let process = task.process;
        let is_full = self.processes[process].mailbox.len() >= MAILBOX;
        match self.goes_by_memory(sender) {
            Some(true) if !is_full => {
                let number = self.next(sender);
                self.processes[process].mailbox.push_back(Item { sender, number, position: None });
            }
            Some(false) => {
                let number = self.next(sender);
                self.lanes[sender].records.push(number);
            }
            Some(true) | None => {}
        }
    }

    /// Which way the next message goes; none while it waits.
    fn goes_by_memory(&mut self, sender: usize) -> Option<bool> {
        let process = &self.processes[self.senders[sender].process];
        let mut of_sender = process.mailbox.iter().filter(|item| item.sender == sender);
        let is_worked_off = !of_sender.any(|item| item.position.is_none());
        let lane = &self.lanes[sender];
        let is_finished = lane.finished == lane.records.len() || !self.has(Rule::LaneFinished);
        let (external, at_once) = (process.external, self.has(Rule::LookAndChange));
        let is_late = self.random.happens(500);
        let must_work_off = self.has(Rule::MemoryWorkedOff);
        let task = &mut self.senders[sender];
        match (task.uses_memory, external) {
            (true, false) => {}
            (_, true) => (task.uses_memory, task.has_looked) = (false, false),
            (false, false) if at_once => task.uses_memory = is_finished,
            (false, false) => {
                task.uses_memory = task.has_looked && is_late;
                task.has_looked |= is_finished;
            }
        }
        let may_append = is_worked_off || !must_work_off;
        (task.uses_memory || may_append).then_some(task.uses_memory)
    }

    fn next(&mut self, sender: usize) -> u32 {
        let task = &mut self.senders[sender];
        task.pending.pop_front().unwrap_or_else(|| {
            task.next += 1;
            task.next - 1
        })
    }
}
