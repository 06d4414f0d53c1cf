//! What a tree of processes uses, added up.
//!
//! A look goes from parent to child: a child that ends under way is missed once and never counted twice, see `ledger`.
//! Who has been seen stays a member until that very process is gone, also when its parent ends and another process,
//! of the tree or not, becomes its parent.
//!
//! It costs 1 to 3 µs for each file it reads, of which each process has three and one more for each thread; nothing
//! is ever looked for in the whole of `/proc`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::handles::Handles;
use super::ledger::{Account, Change};
use super::member::{Depth, Look, Member, Reading, Tools};
use super::parse::Storage;
use crate::process::ProcessRef;

/// The processes of one tree that are looked at. Further ones are counted, as far as the lists of children tell, and
/// not looked at: a fork bomb trips by their number, and not by our time (some 50 ms for so many).
pub const MAX_PROCESSES: usize = 2000;

/// The first processes of a tree keep their files open; a tree of more is unusual, and takes no room from others.
const KEPT_PROCESSES: usize = 16;

/// What the root of a tree counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// It is a process like those below it: a host without a keeper, the daemon.
    Counted,
    /// It is a keeper: what its ended hosts used is known through it, what it is itself (a process, a thread, a few
    /// files, little memory) is not the task's.
    Keeper,
}

/// What a tree of processes uses now, and has used since its root began (or since its members were seen first).
/// Nothing of it that counts up ever falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time, in steps of the kernel's clock tick (10 ms as a rule).
    pub cpu: Duration,
    /// Resident memory; what processes share counts for each.
    pub resident_bytes: u64,
    /// Open files, of the processes that may be looked at; none when no process may.
    pub files: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// Processes, zombies too.
    pub processes: u64,
    /// Bytes read from storage, of the processes that may be looked at; none when no process may.
    pub read_bytes: Option<u64>,
    /// Bytes written to storage, the same way. A page counts when it becomes dirty, mapped or not.
    pub written_bytes: Option<u64>,
    /// Whether there were more than [`MAX_PROCESSES`]: only their number is whole then.
    pub cut: bool,
}

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    /// The root has ended, and whatever has its pid is another process.
    #[error("process {0} is gone")]
    Gone(u32),
    /// The root cannot be looked at for the first time.
    #[error("cannot look at process {pid}: {source}")]
    Unknown {
        /// Its pid.
        pid: u32,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A process whose files and storage traffic may not be known: it runs as another user, or forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable {
    /// The process.
    pub pid: u32,
}

/// Measures one tree. It holds files open, see [`Handles`].
#[derive(Debug)]
pub struct Meter {
    root: u32,
    members: HashMap<u32, Seen>,
    left_out: HashSet<ProcessRef>,
    cpu: Account,
    read: Account,
    written: Account,
    /// Who may have inherited what ended in the sample before.
    late_heirs: HashSet<u32>,
    unreadable: Told,
    tools: Tools,
    tick_ns: u64,
    page_bytes: u64,
    max_processes: usize,
}

/// Whether it was said that something is unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Waiting(Unreadable),
    Said,
}

/// A member, and what it was last seen to have.
#[derive(Debug)]
struct Seen {
    member: Member,
    last: Option<Reading>,
    /// What its storage traffic has grown by in this sample.
    grown: Storage,
    visited: bool,
}

/// What one sample has found so far.
#[derive(Debug, Default)]
struct Sample {
    usage: Usage,
    waiting: VecDeque<(u32, Option<u32>)>,
    cpu: Change,
    gone: Vec<u32>,
    uncounted: HashSet<u32>,
}

impl Meter {
    /// A meter of the tree below `root`, which began at `start_ticks` (clock ticks since boot).
    ///
    /// # Errors
    /// [`MeterError`]: there is no such process, or it cannot be looked at.
    pub fn open(root: ProcessRef, kind: Root, handles: &Handles) -> Result<Self, MeterError> {
        let depth = if kind == Root::Keeper { Depth::Heir } else { Depth::Whole };
        let mut tools = Tools { handles: handles.clone(), no_handles: Handles::new(0), buffer: Vec::new() };
        let mut member = Member::new(root.pid, Some(root.start_ticks), depth, true);
        match member.look(&mut tools, &mut Vec::new()) {
            Look::There(_) => {}
            Look::Gone => return Err(MeterError::Gone(root.pid)),
            Look::Failed(source) => return Err(MeterError::Unknown { pid: root.pid, source }),
        }
        Ok(Self {
            root: root.pid,
            members: HashMap::from([(root.pid, Seen::new(member))]),
            left_out: HashSet::new(),
            cpu: Account::default(),
            read: Account::default(),
            written: Account::default(),
            late_heirs: HashSet::new(),
            unreadable: Told::Nothing,
            tools,
            tick_ns: 1_000_000_000 / system_value(SysconfVar::CLK_TCK, 100),
            page_bytes: system_value(SysconfVar::PAGE_SIZE, 4096),
            max_processes: MAX_PROCESSES,
        })
    }

    /// Counts this process too, and what is below it, wherever it hangs: a keeper's host, on a kernel that does not
    /// list children.
    pub fn include(&mut self, process: ProcessRef) {
        let member = Member::new(process.pid, Some(process.start_ticks), Depth::Whole, true);
        self.members.entry(process.pid).or_insert_with(|| Seen::new(member));
    }

    /// Does not count this process, nor what is below it: a keeper that became a child of the daemon, since the daemon
    /// is the first process of a container.
    pub fn leave_out(&mut self, process: ProcessRef) {
        self.left_out.insert(process);
    }

    /// The first process that may not be looked at whole, once.
    pub fn take_unreadable(&mut self) -> Option<Unreadable> {
        let Told::Waiting(unreadable) = self.unreadable else { return None };
        self.unreadable = Told::Said;
        Some(unreadable)
    }

    /// Looks at the tree.
    ///
    /// # Errors
    /// [`MeterError::Gone`]: the root has ended; a new one needs a new meter.
    pub fn sample(&mut self) -> Result<Usage, MeterError> {
        let mut sample = Sample::default();
        sample.waiting.push_back((self.root, None));
        self.visit_waiting(&mut sample);
        if sample.gone.contains(&self.root) {
            return Err(MeterError::Gone(self.root));
        }
        // Those whose parent is no longer one of ours.
        let others = self.members.iter().filter(|(_, seen)| !seen.visited).map(|(pid, _)| (*pid, None));
        sample.waiting.extend(others);
        self.visit_waiting(&mut sample);
        Ok(self.settle(sample))
    }

    fn visit_waiting(&mut self, sample: &mut Sample) {
        let mut children = Vec::new();
        while let Some((pid, parent)) = sample.waiting.pop_front() {
            self.visit(pid, parent, sample, &mut children);
            sample.waiting.extend(children.drain(..).map(|child| (child, Some(pid))));
        }
    }

    /// Looks at a member, or at what may become one: a child that `parent` was said to have.
    fn visit(&mut self, pid: u32, parent: Option<u32>, sample: &mut Sample, children: &mut Vec<u32>) {
        if self.members.get(&pid).is_some_and(|seen| seen.visited) {
            return;
        }
        if !self.members.contains_key(&pid) && self.members.len() >= self.max_processes {
            sample.uncounted.insert(pid);
            return;
        }
        let keeps_files = self.members.len() < KEPT_PROCESSES;
        let fresh = || Seen::new(Member::new(pid, None, Depth::Whole, keeps_files));
        let mut seen = self.members.remove(&pid).unwrap_or_else(fresh);
        seen.visited = true;
        match seen.member.look(&mut self.tools, children) {
            Look::There(reading) if seen.last.is_some() || self.belongs(&seen, reading, parent) => {
                self.count(&mut seen, reading, sample);
            }
            Look::There(_) => return children.clear(),
            Look::Gone if seen.last.is_some() || pid == self.root => sample.gone.push(pid),
            Look::Gone => return,
            // It is taken to be as it was.
            Look::Failed(_) => {
                if let Some(last) = seen.last {
                    self.count(&mut seen, last, sample);
                }
            }
        }
        self.members.insert(pid, seen);
    }

    /// Whether a process that is seen for the first time is of this tree: its pid may have passed to another since
    /// the list was read.
    fn belongs(&self, seen: &Seen, reading: Reading, parent: Option<u32>) -> bool {
        let process = ProcessRef { pid: seen.member.pid, start_ticks: reading.stat.start_ticks };
        !self.left_out.contains(&process) && parent.is_none_or(|parent| parent == reading.stat.parent)
    }

    fn count(&mut self, seen: &mut Seen, reading: Reading, sample: &mut Sample) {
        let last = seen.last.unwrap_or_default();
        let grown = |now: u64, before: u64| now.saturating_sub(before);
        sample.cpu.grown += grown(reading.stat.own_ticks, last.stat.own_ticks);
        let children = grown(reading.stat.children_ticks, last.stat.children_ticks);
        // What it had inherited before it was seen is of processes that were never seen.
        *(if seen.last.is_some() { &mut sample.cpu.inherited } else { &mut sample.cpu.grown }) += children;
        let (now, before) = (reading.storage.unwrap_or_default(), last.storage.unwrap_or_default());
        seen.grown = Storage { read: grown(now.read, before.read), written: grown(now.written, before.written) };
        if seen.member.depth == Depth::Whole {
            sample.usage.add(reading, self.page_bytes);
            if self.unreadable == Told::Nothing && (reading.files.is_none() || reading.storage.is_none()) {
                self.unreadable = Told::Waiting(Unreadable { pid: seen.member.pid });
            }
        }
        seen.last = Some(reading);
    }

    /// Books what was found.
    fn settle(&mut self, sample: Sample) -> Usage {
        let Sample { mut usage, mut cpu, gone, uncounted, .. } = sample;
        let mut ended = Storage::default();
        let mut heirs = HashSet::from([self.root]);
        for last in gone.iter().filter_map(|pid| self.members.remove(pid)?.last) {
            let storage = last.storage.unwrap_or_default();
            cpu.ended += last.stat.own_ticks + last.stat.children_ticks;
            ended = Storage { read: ended.read + storage.read, written: ended.written + storage.written };
            heirs.insert(last.stat.parent);
        }
        let (mut read, mut written) = (Change::default(), Change::default());
        for (pid, seen) in &mut self.members {
            let is_heir = heirs.contains(pid) || self.late_heirs.contains(pid);
            read.add(is_heir, seen.grown.read);
            written.add(is_heir, seen.grown.written);
            (seen.visited, seen.grown) = (false, Storage::default());
        }
        (read.ended, written.ended) = (ended.read, ended.written);
        self.late_heirs = heirs;
        let ticks = self.cpu.book(cpu);
        let [read, written] = [self.read.book(read), self.written.book(written)];
        usage.cpu = Duration::from_nanos(ticks.saturating_mul(self.tick_ns));
        usage.read_bytes = usage.read_bytes.map(|_| read);
        usage.written_bytes = usage.written_bytes.map(|_| written);
        usage.processes += uncounted.len() as u64;
        usage.cut = !uncounted.is_empty();
        usage
    }
}

impl Usage {
    /// Adds what a process has at this moment.
    fn add(&mut self, reading: Reading, page_bytes: u64) {
        self.resident_bytes += reading.resident_pages * page_bytes;
        self.threads += reading.stat.threads;
        self.processes += 1;
        if let Some(files) = reading.files {
            *self.files.get_or_insert(0) += files;
        }
        if reading.storage.is_some() {
            // There is something to be known; the sums are the accounts'.
            (self.read_bytes, self.written_bytes) = (Some(0), Some(0));
        }
    }
}

impl Change {
    fn add(&mut self, is_heir: bool, grown: u64) {
        *(if is_heir { &mut self.inherited } else { &mut self.grown }) += grown;
    }
}

impl Seen {
    fn new(member: Member) -> Self {
        Self { member, last: None, grown: Storage::default(), visited: false }
    }
}

/// What the system says of itself.
fn system_value(which: SysconfVar, usual: u64) -> u64 {
    sysconf(which)
        .ok()
        .flatten()
        .and_then(|value| u64::try_from(value).ok())
        .filter(|value| *value > 0)
        .unwrap_or(usual)
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;
