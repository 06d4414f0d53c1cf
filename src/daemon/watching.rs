//! Has everything that runs measured each second, and acts on what comes of it: alerts are told, a task that broke a
//! limit is stopped and says why.
//!
//! An external task is ended with all that it has started. A task within the daemon, and one that shares its process with
//! others, is nowhere from then on: its queue waits, as it does for a task that moves. Both run again when a person
//! removes `NAME.failsafe`, and what was read before does not count then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::assembly::Assembly;
use super::counting::Counting;
use super::places::workers;
use super::running::Daemon;
use super::share::cpus;
use crate::config::MAIN;
use crate::limits::{Alert, Overrides, Subject, Thresholds, Trip, Verdict};
use crate::monitor::{Facts, Monitor, Report, Tree};
use crate::name::{QueueName, TaskName};
use crate::process::{Evidence, Failsafe, HostFiles};
use crate::supervisor::ProcessView;
use crate::task::{Place, Placement};
use crate::value::Map;

/// So much of entries is kept as evidence, for each process: what a person reads.
const ENTRIES: usize = 16;
const ENTRY_CHARACTERS: usize = 4000;

/// What a task used when that was measured last, with all that it has started.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    /// CPU seconds per second.
    pub(super) cpu: Option<f64>,
    /// Bytes of resident memory.
    pub(super) memory: Option<u64>,
    /// Open files.
    pub(super) files: Option<u64>,
}

/// What is kept for that from second to second.
pub(super) struct Watching {
    monitor: Monitor,
    /// The levels that hold now.
    thresholds: Arc<Thresholds>,
    /// Tasks that broke a limit, were taken out of their processes, and wait for a person.
    pub(super) stopped: BTreeSet<TaskName>,
    /// Why some of them were, where that could not be written yet.
    pub(super) unwritten: BTreeMap<TaskName, Failsafe>,
    /// Those that a person has cleared since the monitor was told.
    cleared: BTreeSet<TaskName>,
    /// Processes that waited for a person when it was last looked.
    was_parked: BTreeSet<TaskName>,
    /// What is counted of tasks.
    pub(super) counting: Counting,
    /// Where queues and states lie, as links of open files name it.
    roots: Arc<[PathBuf]>,
    /// What was measured last.
    pub(super) last: Report,
}

impl Watching {
    /// With the levels that hold where nobody says otherwise; queues and states lie below `roots`.
    pub(super) fn by(monitor: Monitor, roots: [&Path; 2]) -> Self {
        Self {
            monitor,
            thresholds: Arc::new(Thresholds::defaults(cpus())),
            stopped: BTreeSet::new(),
            unwritten: BTreeMap::new(),
            cleared: BTreeSet::new(),
            was_parked: BTreeSet::new(),
            counting: Counting::default(),
            roots: roots.into_iter().filter_map(|root| std::fs::canonicalize(root).ok()).collect(),
            last: Report::default(),
        }
    }

    /// The config says other levels.
    pub(super) fn hold_to(&mut self, overrides: &Overrides) {
        self.thresholds = Arc::new(Thresholds::new(cpus(), overrides));
    }
}

impl Daemon {
    /// Has what runs now measured and judged.
    pub(super) fn measure(&mut self) {
        let parked = self.supervisor.parked();
        let trees =
            self.supervisor.views().into_iter().filter(|(name, _)| !parked.contains(name)).map(|(name, view)| {
                let ProcessView { keeper, host, restarts: starts, unmade, own_written_bytes: own_bytes, .. } = view;
                (name, Tree { keeper, host, starts, unmade, own_bytes })
            });
        let (node, hosts) = (self.node.counts(), self.supervisor.take_counts());
        let tasks = self.watching.counting.look(Instant::now(), &self.placement, node, hosts);
        let mut forget = std::mem::take(&mut self.watching.cleared);
        for process in self.watching.was_parked.difference(&parked) {
            let tasks = self.placement.tasks_of(process);
            tasks.iter().for_each(|task| self.watching.counting.started(task));
            forget.extend(tasks);
            forget.insert(process.clone());
        }
        let facts = Facts {
            thresholds: self.watching.thresholds.clone(),
            trees: trees.collect(),
            tasks,
            queues: self.queues_by_subject(),
            forget: forget.clone(),
            roots: self.watching.roots.clone(),
            own_bytes: self.node.written_bytes(),
        };
        self.watching.was_parked = parked;
        if !self.watching.monitor.look(facts) {
            self.watching.cleared = forget;
        }
    }

    /// The queues of all tasks, and the daemon's own.
    fn queues_by_subject(&self) -> BTreeMap<TaskName, QueueName> {
        let own = TaskName::new(MAIN).map(|main| (main, self.control_queue.clone()));
        self.placement.by_task.keys().map(|task| (task.clone(), task.queue())).chain(own).collect()
    }

    /// Acts on what the monitor found.
    pub(super) async fn heed(&mut self, mut report: Report) {
        for complaint in &report.complaints {
            tracing::info!("{complaint}");
        }
        let verdicts = std::mem::take(&mut report.verdicts);
        self.watching.last = report;
        for (name, subject, verdict) in verdicts {
            match verdict {
                Verdict::Alert(alert) => tell(&name, &alert),
                Verdict::Failsafe(trip) => self.failsafe(&name, subject, &trip).await,
            }
        }
    }

    async fn failsafe(&mut self, name: &TaskName, subject: Subject, trip: &Trip) {
        let evidence = Evidence {
            reason: trip.summary.clone(),
            readings: readings(trip),
            config: entries_of(name, &self.effective(), &self.placement),
            ended: String::new(),
        };
        match (subject, stop_of(&self.placement, name)) {
            (Subject::Daemon, _) => {}
            (_, Stop::TakeOut(of)) => {
                let evidence = Evidence { ended: format!("taken out of {of}"), ..evidence };
                self.take_out(name, evidence).await;
            }
            (_, Stop::End(processes)) => self.end_for(name, &processes, &evidence),
        }
    }

    /// Ends processes for what `name` did, which is one of them or a task in them.
    fn end_for(&mut self, name: &TaskName, processes: &[TaskName], evidence: &Evidence) {
        for process in processes {
            let tasks = self.placement.tasks_of(process);
            let others: Vec<_> = tasks.iter().filter(|task| *task != name).map(TaskName::as_str).collect();
            let with = if tasks.len() > 1 { format!("; with it ended {}", others.join(", ")) } else { String::new() };
            let ended = format!("killed, with all that it has started{with}");
            if self.supervisor.failsafe(process, Evidence { ended, ..evidence.clone() }) {
                tasks.iter().for_each(|task| self.watching.counting.stopped(task));
            } else {
                tracing::error!(task = name.as_str(), "{name} broke a limit and {process} is not there to be stopped");
            }
        }
    }

    /// Takes a task out of its process, where others run that have nothing to do with it.
    async fn take_out(&mut self, name: &TaskName, evidence: Evidence) {
        if !self.watching.stopped.insert(name.clone()) {
            return;
        }
        tracing::error!(task = name.as_str(), "{name}: failsafe: {}", evidence.reason);
        let files = HostFiles::new(&self.state_dir, name);
        let path = files.failsafe();
        let failsafe = Failsafe::of(name, evidence, &path, &files.log());
        if let Err(error) = failsafe.write(&path) {
            tracing::error!(
                task = name.as_str(),
                "{name}: until its failsafe is written, which is tried again each second, the next daemon runs it: {error}"
            );
            self.watching.unwritten.insert(name.clone(), failsafe);
        }
        self.apply_again().await;
    }

    /// Looks whether a person has cleared what stops a task that was taken out of its process.
    pub(super) async fn look_at_stopped(&mut self) {
        let file = |name: &TaskName| HostFiles::new(&self.state_dir, name).failsafe();
        self.watching.unwritten.retain(|name, failsafe| failsafe.write(&file(name)).is_err());
        let cleared: BTreeSet<_> =
            self.watching.stopped.iter().filter(|name| !self.has_failsafe(name)).cloned().collect();
        if cleared.is_empty() {
            return;
        }
        for name in &cleared {
            tracing::info!(task = name.as_str(), "{name}: its failsafe is cleared, it runs again");
            self.watching.stopped.remove(name);
        }
        self.watching.cleared.extend(cleared);
        self.apply_again().await;
    }

    /// What a task used when that was measured last. Of one within the daemon only the time of its thread is known.
    pub(super) fn measured(&self, task: &TaskName, place: &Place) -> Measured {
        let processes = match place {
            Place::Daemon => {
                return Measured { cpu: self.watching.last.cores.get(task).copied(), ..Measured::default() };
            }
            Place::Process(process) => vec![process.clone()],
            Place::Pool { .. } => workers(&self.placement, task),
        };
        let last = &self.watching.last;
        let usages: Vec<_> = processes.iter().filter_map(|process| last.usages.get(process)).collect();
        let cores: Vec<_> = processes.iter().filter_map(|process| last.cores.get(process)).collect();
        Measured {
            cpu: (!cores.is_empty()).then(|| cores.into_iter().sum()),
            memory: (!usages.is_empty()).then(|| usages.iter().map(|usage| usage.resident_bytes).sum()),
            files: usages.iter().filter_map(|usage| usage.files).reduce(|one, other| one + other),
        }
    }

    pub(super) fn has_failsafe(&self, name: &TaskName) -> bool {
        self.watching.unwritten.contains_key(name) || HostFiles::new(&self.state_dir, name).failsafe().exists()
    }

    /// Has those tasks be nowhere that were taken out of processes, as far as this assembly has them there.
    pub(super) fn hold_taken_out(&mut self, assembly: &Assembly) {
        let taken_out = assembly.placement.by_task.iter().filter(|(name, placed)| is_taken_out(name, &placed.place));
        let taken_out = taken_out.map(|(name, _)| name).filter(|name| self.has_failsafe(name));
        self.watching.stopped = taken_out.cloned().collect();
    }
}

/// What the config says of the tasks of a process, each a line of JSON; secrets stand in it as references.
pub(super) fn entries_of(process: &TaskName, effective: &Map, placement: &Placement) -> String {
    let mut names = placement.tasks_of(process);
    if names.is_empty() {
        names.insert(process.clone());
    }
    let text = |task: &TaskName| {
        let entry = serde_json::to_string(&effective.get(task.as_str())?).ok()?;
        Some(format!("{task}: {entry}").chars().take(ENTRY_CHARACTERS).collect())
    };
    names.iter().filter_map(text).take(ENTRIES).collect::<Vec<String>>().join("\n")
}

/// What is done to stop something.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The task is taken out of what this names, and that goes on.
    TakeOut(String),
    /// These processes are ended.
    End(Vec<TaskName>),
}

/// How `name` is stopped, a task or a process. A task that shares a process is taken out of it, unless that has its name:
/// then what says why would stand for the process.
fn stop_of(placement: &Placement, name: &TaskName) -> Stop {
    match placement.by_task.get(name).map(|placed| &placed.place) {
        Some(Place::Daemon) => Stop::TakeOut("the daemon".to_owned()),
        Some(Place::Process(process)) if process != name && placement.tasks_of(process).len() > 1 => {
            Stop::TakeOut(format!("process {process}, which goes on"))
        }
        Some(Place::Process(process)) => Stop::End(vec![process.clone()]),
        Some(Place::Pool { .. }) => Stop::End(workers(placement, name)),
        None => Stop::End(vec![name.clone()]),
    }
}

/// Whether a task is one that is taken out of its process when it is stopped.
fn is_taken_out(name: &TaskName, place: &Place) -> bool {
    match place {
        Place::Daemon => true,
        Place::Process(process) => process != name,
        Place::Pool { .. } => false,
    }
}

fn tell(name: &TaskName, alert: &Alert) {
    let reading = serde_json::to_string(alert).unwrap_or_default();
    tracing::error!(channel = "alert", task = name.as_str(), reading, "{}", alert.summary);
}

fn readings(trip: &Trip) -> Vec<String> {
    let last = trip.readings.last().map_or(0, |reading| reading.at_ms);
    let seconds = |at_ms: u64| last.saturating_sub(at_ms) as f64 / 1000.0;
    trip.readings.iter().map(|reading| format!("{:.1} s before: {}", seconds(reading.at_ms), reading.value)).collect()
}
