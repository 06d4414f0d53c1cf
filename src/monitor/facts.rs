//! What the monitor is told, and what it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::limits::{Subject, Thresholds, Verdict};
use crate::name::{QueueName, TaskName};
use crate::process::ProcessRef;
use crate::task::Counts;
use crate::usage::Usage;

/// What the daemon knows at one moment.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The levels that hold now.
    pub thresholds: Arc<Thresholds>,
    /// External processes by name.
    pub trees: BTreeMap<TaskName, Tree>,
    /// Tasks, wherever they run.
    pub tasks: Arc<BTreeMap<TaskName, TaskFacts>>,
    /// Queues, by the subject that is judged for how full they are.
    pub queues: BTreeMap<TaskName, QueueName>,
    /// Whose old readings do not count any more: a person has cleared them.
    pub forget: BTreeSet<TaskName>,
    /// Where queues and states lie: open files below are the framework's bookkeeping, and no limit counts them.
    pub roots: Arc<[PathBuf]>,
    /// Bytes that the daemon has written to queues and states.
    pub own_bytes: u64,
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
    /// How often its program never began, or its host refused a config.
    pub unmade: u64,
    /// Bytes that its host wrote to queues and states since it began; none where it does not say.
    pub own_bytes: Option<u64>,
}

/// What is known of a task, wherever it runs. As long as its subject is the same its counts only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskFacts {
    /// As what it is judged.
    pub subject: Subject,
    /// What it has done.
    pub counts: Counts,
    /// How often it was to run.
    pub starts: u64,
    /// How often it was to run no more.
    pub stops: u64,
}

/// Of a task within the daemon that has done nothing.
impl Default for TaskFacts {
    fn default() -> Self {
        Self { subject: Subject::Internal, counts: Counts::default(), starts: 0, stops: 0 }
    }
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
