//! The monitor's own state: a meter for each tree of processes, and what is judged.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::facts::{Facts, Report, Tree};
use super::queues::Queues;
use super::subjects::{Moment, Subjects};
use crate::limits::Subject;
use crate::name::TaskName;
use crate::process::{ProcessIdentity, ProcessRef};
use crate::transit::Transit;
use crate::usage::{Handles, Machine, Meter, MeterError, Own, Root, Usage};

/// Files that meters hold open: enough for some 130 trees; beyond, each reading opens anew, which costs a few µs.
const HANDLES: usize = 2000;

/// With fewer open files than this no level is near, and it is not looked which of them are the framework's.
const MANY_FILES: u64 = 50;

/// See the module.
pub(super) struct Sampler {
    begun: Instant,
    machine: Machine,
    handles: Handles,
    daemon: TaskName,
    own_meter: Option<Meter>,
    own: Own,
    meters: BTreeMap<TaskName, (Tree, Meter, Own)>,
    transit: Transit,
    queues: Queues,
    subjects: Subjects,
    complaints: Vec<String>,
}

impl Sampler {
    /// One that judges this process under the name `daemon`, and looks at queues of `transit`.
    pub(super) fn new(daemon: TaskName, transit: Transit) -> Self {
        let (machine, handles) = (Machine::look(), Handles::new(HANDLES));
        let mut complaints = Vec::new();
        let itself = ProcessIdentity::own().map_err(|error| error.to_string());
        let own_meter = itself.and_then(|itself| {
            Meter::open(itself.reference(), Root::Counted, &handles).map_err(|error| error.to_string())
        });
        let own_meter = own_meter
            .map_err(|error| complaints.push(format!("what the daemon itself uses is not known: {error}")))
            .ok();
        Self {
            begun: Instant::now(),
            machine,
            handles,
            daemon,
            own_meter,
            own: Own::default(),
            meters: BTreeMap::new(),
            transit,
            queues: Queues::default(),
            subjects: Subjects::default(),
            complaints,
        }
    }

    /// Samples and judges.
    pub(super) fn look(&mut self, facts: &Facts) -> Report {
        // The first look is not at the beginning of time: something was before it.
        let elapsed = self.begun.elapsed() + Duration::from_secs(1);
        let now_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let at = Moment { now_ms, thresholds: &facts.thresholds };
        facts.forget.iter().for_each(|name| self.subjects.forget(name));
        let daemon = self.sample_daemon(facts, at);
        let usages = self.sample_trees(facts, at);
        for (name, task) in facts.tasks.iter() {
            let of_process = facts.trees.get(name).map_or(0, |tree| tree.unmade);
            self.subjects.task(name, task, of_process, at);
        }
        for (name, tree) in facts.trees.iter().filter(|(name, _)| !facts.tasks.contains_key(*name)) {
            self.subjects.unmade(name, tree.unmade, at);
        }
        // One that cannot be read is not judged; whoever uses it says why.
        self.queues.look(&facts.queues, |queue| self.transit.fullness(queue).ok().flatten());
        for (name, share) in self.queues.shares() {
            let of_task = || facts.tasks.get(name).map_or(Subject::Internal, |task| task.subject);
            let subject = if *name == self.daemon { Subject::Daemon } else { of_task() };
            self.subjects.queue(name, subject, *share, at);
        }
        let known = |name: &TaskName| facts.trees.contains_key(name) || facts.tasks.contains_key(name);
        self.subjects.retain(|name| *name == self.daemon || known(name) || facts.queues.contains_key(name));
        let complaints = std::mem::take(&mut self.complaints);
        Report { usages, daemon, cores: self.subjects.take_cores(), verdicts: self.subjects.take(), complaints }
    }

    fn sample_daemon(&mut self, facts: &Facts, at: Moment<'_>) -> Option<Usage> {
        let usage = self.own_meter.as_mut()?.sample().ok()?;
        let files = bookkeeping(std::process::id(), &facts.roots);
        self.own.set_files(files.saturating_add(self.handles.held() as u64));
        let usage = self.own.without(usage, Some(facts.own_bytes));
        self.subjects.process(&self.daemon, Subject::Daemon, &usage, self.machine.memory_bytes, at);
        Some(usage)
    }

    fn sample_trees(&mut self, facts: &Facts, at: Moment<'_>) -> BTreeMap<TaskName, Usage> {
        self.meters.retain(|name, _| facts.trees.contains_key(name));
        let mut usages = BTreeMap::new();
        for (name, tree) in &facts.trees {
            self.subjects.starts(name, tree.starts, at);
            if let Some(mut usage) = self.sample(name, *tree) {
                if let (Some(files), Some(host)) = (usage.files.filter(|files| *files >= MANY_FILES), tree.host) {
                    usage.files = Some(files.saturating_sub(bookkeeping(host.pid, &facts.roots)));
                }
                self.subjects.process(name, Subject::External, &usage, self.machine.memory_bytes, at);
                usages.insert(name.clone(), usage);
            }
        }
        usages
    }

    fn sample(&mut self, name: &TaskName, tree: Tree) -> Option<Usage> {
        let (root, kind) = match (tree.keeper, tree.host) {
            (Some(keeper), _) => (keeper, Root::Keeper),
            (None, Some(host)) => (host, Root::Counted),
            (None, None) => {
                self.meters.remove(name);
                return None;
            }
        };
        let is_same = |known: &Tree| (known.keeper, known.keeper.or(known.host)) == (tree.keeper, Some(root));
        if !self.meters.get(name).is_some_and(|(known, ..)| is_same(known)) {
            let meter = self.open(name, root, kind)?;
            self.meters.insert(name.clone(), (tree, meter, Own::default()));
        }
        let (_, meter, own) = self.meters.get_mut(name)?;
        let usage = meter.sample().map(|usage| own.without(usage, tree.own_bytes));
        if let Some(unreadable) = meter.take_unreadable() {
            let pid = unreadable.pid;
            let text = format!("{name}: files and disk traffic of pid {pid} are not ours to see, and not counted");
            self.complaints.push(text);
        }
        // One that is gone is seen to be by the supervisor, too.
        usage.map_err(|_| self.meters.remove(name)).ok()
    }

    fn open(&mut self, name: &TaskName, root: ProcessRef, kind: Root) -> Option<Meter> {
        match Meter::open(root, kind, &self.handles) {
            Ok(meter) => Some(meter),
            Err(MeterError::Gone(_)) => None,
            Err(error) => {
                self.complaints.push(format!("{name}: what it uses is not known: {error}"));
                None
            }
        }
    }
}

/// How many open files of a process lie below `roots`: queues, states, locks and logs.
fn bookkeeping(pid: u32, roots: &[PathBuf]) -> u64 {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    targets.filter(|target| roots.iter().any(|root| target.starts_with(root))).count() as u64
}
