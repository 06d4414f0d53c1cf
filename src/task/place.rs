//! Where one task runs, by what its entry and its code say.

use std::fmt;

use crate::config::{Framework, FrameworkKey, LimitSettings, MAIN, MAX_WORKERS, PathFault, ValuePath, Workers};
use crate::name::{MAX_NAME_BYTES, NameError, TaskName};

/// The longest name of a process, in bytes: the names of its files append up to 35 (`NAME.state.0.damaged-TIME`).
pub const MAX_PROCESS_NAME_BYTES: usize = MAX_NAME_BYTES - 35;

/// What a task's code says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Nature {
    /// Whether it has state.
    pub stateful: bool,
    /// Whether only one process may hold it.
    pub single: bool,
}

/// Where a task is at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the daemon.
    Daemon,
    /// In the external process of this name.
    Process(TaskName),
    /// In each of its workers; see [`worker_name`].
    Pool {
        /// How many there are.
        workers: Workers,
    },
}

/// `the daemon`, `process "ingest"`, `a pool`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("the daemon"),
            Self::Process(process) => write!(f, "process {process:?}"),
            Self::Pool { .. } => f.write_str("a pool"),
        }
    }
}

/// Where the task `name` runs. If its entry says nothing, then with state in a process of its own, without in the
/// daemon.
///
/// # Errors
/// What contradicts itself or the task's code; paths begin in the task's entry.
pub fn place(name: &TaskName, framework: &Framework, nature: Nature) -> Result<Place, Vec<PathFault>> {
    let place = said(name, framework, nature);
    let mut faults = contradictions(framework, nature);
    faults.extend(limits_without_process(framework, &place));
    faults.extend(unfit_name(name, framework, &place));
    if faults.is_empty() { Ok(place) } else { Err(faults) }
}

fn said(name: &TaskName, framework: &Framework, nature: Nature) -> Place {
    match (framework.workers, &framework.process) {
        (Some(workers), _) => Place::Pool { workers },
        (None, Some(process)) => Place::Process(process.clone()),
        (None, None) if framework.is_external.unwrap_or(nature.stateful) => Place::Process(name.clone()),
        (None, None) => Place::Daemon,
    }
}

fn contradictions(framework: &Framework, nature: Nature) -> Vec<PathFault> {
    let inside = framework.is_external == Some(false);
    let (process, workers) = (framework.process.is_some(), framework.workers.is_some());
    let rules = [
        (
            inside && process,
            FrameworkKey::Process,
            "a task with is_external: false runs in the daemon, and in no other process",
            "leave one of the two out",
        ),
        (
            inside && workers,
            FrameworkKey::Workers,
            "a task with is_external: false runs in the daemon, and workers are other processes",
            "leave one of the two out",
        ),
        (
            process && workers,
            FrameworkKey::Workers,
            "each worker is a process of its own, and `process` names another",
            "leave one of the two out",
        ),
        (
            workers && nature.stateful,
            FrameworkKey::Workers,
            "a task with state runs once, so it has no workers",
            "leave it out, or give the heavy part to a task without state",
        ),
        (
            workers && nature.single && !nature.stateful,
            FrameworkKey::Workers,
            "this task holds something of which there is one, so it has no workers",
            "leave it out",
        ),
        (
            framework.balance.is_some() && !workers,
            FrameworkKey::Balance,
            "there are no workers to choose from",
            "write `workers` too, or leave it out",
        ),
    ];
    rules.into_iter().filter(|rule| rule.0).map(|(_, key, reason, advice)| at(Some(key), reason, advice)).collect()
}

/// The kernel limits processes, and one limit for the daemon's would stop all that runs there.
fn limits_without_process(framework: &Framework, place: &Place) -> Option<PathFault> {
    let reason = "this task runs in the daemon, and only a process of its own can be limited";
    let is_fault = *place == Place::Daemon && framework.limits != LimitSettings::default();
    is_fault.then(|| at(Some(FrameworkKey::Limits), reason, "write is_external: true, or leave `limits` out"))
}

fn unfit_name(name: &TaskName, framework: &Framework, place: &Place) -> Option<PathFault> {
    let (process, suffix) = match place {
        Place::Daemon => return None,
        Place::Process(process) => (process, 0),
        Place::Pool { .. } => (name, WORKER_SUFFIX_BYTES),
    };
    let key = framework.process.is_some().then_some(FrameworkKey::Process);
    let otherwise = "write is_external: false, or another name with `process`";
    if suffix == 0 && process.as_str() == MAIN {
        let reason = format!("this task runs in a process of its own name, and {MAIN:?} is the daemon's");
        return Some(at(key, reason, otherwise));
    }
    let limit = MAX_PROCESS_NAME_BYTES - suffix;
    let length = process.as_str().len();
    let advice = match place {
        Place::Process(own) if own == name => otherwise,
        _ => "choose a shorter name",
    };
    let reason = || format!("the name of a process has at most {limit} bytes here, this one has {length}");
    (length > limit).then(|| at(key, reason(), advice))
}

/// A fault of the value of `key`, or of the entry itself.
pub(super) fn at(key: Option<FrameworkKey>, reason: impl Into<String>, advice: &str) -> PathFault {
    let path = key.map_or_else(ValuePath::default, |key| ValuePath::default().key(key.name()));
    PathFault { path, reason: reason.into(), advice: Some(advice.to_owned()) }
}

/// What the names of a pool's workers add to its own: a dot and a number up to [`MAX_WORKERS`].
const WORKER_SUFFIX_BYTES: usize = 5;

/// The name of a pool's worker: that of its process, its queue and its files. Workers count from 1.
///
/// # Errors
/// The name is too long; that of a pool with a [`Place`] never is.
pub fn worker_name(pool: &TaskName, worker: u32) -> Result<TaskName, NameError> {
    TaskName::new(format!("{pool}.{worker}"))
}

/// The pool and the number of the worker that `name` names, if it has the form of such a name.
#[must_use]
pub fn pool_of(name: &TaskName) -> Option<(TaskName, u32)> {
    let (pool, digits) = name.as_str().rsplit_once('.')?;
    let (pool, worker) = (TaskName::new(pool).ok()?, digits.parse().ok()?);
    // As it is written, and in no other way: not `+1`, not `01`.
    let is_one = (1..=MAX_WORKERS).contains(&worker) && digits == worker.to_string();
    is_one.then_some((pool, worker))
}
