//! What the monitor is told, and what it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::{Subject, Thresholds, Verdict};
use crate::name::TaskName;
use crate::process::ProcessRef;
use crate::usage::Usage;

/// What the daemon knows at one moment.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The levels that hold now.
    pub thresholds: Arc<Thresholds>,
    /// External processes by name.
    pub trees: BTreeMap<TaskName, Tree>,
    /// Tasks within the daemon.
    pub tasks: BTreeMap<TaskName, Counts>,
    /// Tasks that are judged for how full their queues are.
    pub queues: BTreeSet<TaskName>,
    /// Whose old readings do not count any more: a person has cleared them.
    pub forget: BTreeSet<TaskName>,
    /// Where queues and states lie: open files below are the framework's bookkeeping, and no limit counts them.
    pub roots: Arc<[PathBuf]>,
}

/// The processes of an external process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tree {
    /// Its keeper, if that lives.
    pub keeper: Option<ProcessRef>,
    /// Its host, if that lives.
    pub host: Option<ProcessRef>,
    /// How often it was started again without being asked for.
    pub starts: u64,
}

/// What a task within the daemon has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages that were passed to it.
    pub handled: u64,
    /// Those of them whose handling failed.
    pub failed: u64,
    /// Messages that it emitted.
    pub emitted: u64,
    /// How long it had its thread.
    pub busy: Duration,
}

/// What came of [`Facts`].
#[derive(Debug, Default)]
pub struct Report {
    /// What each external process uses, with all that it has started.
    pub usages: BTreeMap<TaskName, Usage>,
    /// What the daemon uses, without its bookkeeping.
    pub daemon: Option<Usage>,
    /// CPU seconds per second since the look before, of external processes, tasks within the daemon, and the daemon.
    pub cores: BTreeMap<TaskName, f64>,
    /// Alerts, and limits that were broken, in the order of names.
    pub verdicts: Vec<(TaskName, Subject, Verdict)>,
    /// What cannot be measured, each said once.
    pub complaints: Vec<String>,
}
