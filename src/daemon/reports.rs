//! What a daemon tells of itself: plain data, as JSON for programs, each field documented for both.
//!
//! Fields are added, never renamed; a number that is not known is `null`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was done, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// The line.
    pub text: String,
}

/// How a daemon and its tasks are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The daemon itself.
    pub daemon: DaemonStatus,
    /// Its tasks, by name.
    pub tasks: Vec<TaskStatus>,
}

/// How a daemon is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DaemonStatus {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Where it keeps its state.
    pub state_dir: String,
    /// The directory of its queues.
    pub transit_dir: String,
    /// The config file; none where the config comes by message.
    pub config: Option<String>,
    /// When it started: RFC 3339, UTC.
    pub since: String,
    /// Seconds of processor time per second.
    pub cpu: Option<f64>,
    /// Bytes of resident memory.
    pub memory: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
    /// Since when a config is being applied, if one is: what a config decides is shown as it was then. RFC 3339, UTC.
    #[serde(default)]
    pub applying_since: Option<String>,
}

/// How a task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub place: PlaceReport,
    /// The name of the process that runs it: `main` is the daemon. None of a pool, whose workers are several.
    pub process: Option<String>,
    /// That process.
    pub pid: Option<u32>,
    /// What it does.
    pub state: TaskState,
    /// Since when that process runs: RFC 3339, UTC.
    pub since: Option<String>,
    /// How often its keeper has started that process again.
    pub restarts: u64,
    /// Messages a second that it handled, over the last five seconds, in all its processes; none before that is known. Of a
    /// task whose host is older than this daemon: that it took from its queue, since the status before.
    pub rate_in: Option<f64>,
    /// Messages a second that it emitted, over the last five seconds.
    pub rate_out: Option<f64>,
    /// Its queue; none where nothing was ever sent.
    pub queue: Option<QueueReport>,
    /// Who waits for room in its queue.
    pub waited_on_by: Vec<WaitReport>,
    /// Seconds of processor time per second, of its whole process tree.
    pub cpu: Option<f64>,
    /// Bytes of resident memory.
    pub memory: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
    /// Why it is in failsafe, if it is.
    pub failsafe: Option<String>,
    /// The processes of a pool.
    pub workers: Vec<WorkerStatus>,
}

/// Where a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlaceReport {
    /// In the daemon.
    Internal,
    /// In a process beside it.
    External,
    /// In several.
    Pool,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It runs.
    Running,
    /// Its process is being started.
    Starting,
    /// Its process ended, and is started again in a moment.
    Waiting,
    /// Its process is being ended.
    Ending,
    /// Its process ended, and its policy says that this was all.
    Ended,
    /// A person has stopped it.
    Stopped,
    /// It broke a limit, or ended too often: a person must clear it.
    Failsafe,
}

/// One process of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerStatus {
    /// Its name, `TASK.k`.
    pub name: String,
    /// The process.
    pub pid: Option<u32>,
    /// What it does.
    pub state: TaskState,
    /// Since when it runs: RFC 3339, UTC.
    pub since: Option<String>,
    /// How often its keeper has started it again.
    pub restarts: u64,
    /// Why it is in failsafe, if it is.
    pub failsafe: Option<String>,
}

/// What a queue holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueReport {
    /// Messages written and not finished.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How full it is, by bytes or by messages, whichever is more.
    pub percent: f64,
    /// How long ago the oldest of them was made, in milliseconds.
    pub oldest_age_ms: Option<u64>,
}

/// A task that waits for room in a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitReport {
    /// Which.
    pub task: String,
    /// Since when: RFC 3339, UTC.
    pub since: String,
}

/// What came of a reload. One that was refused or rolled back is an error, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadReport {
    /// Whether the config holds now.
    pub outcome: Outcome,
    /// What it changes.
    pub plan: PlanReport,
}

/// Whether a config holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It does.
    Applied,
    /// It could; that was the question.
    Planned,
}

/// What a config changes, by the names of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PlanReport {
    /// New ones.
    pub added: Vec<String>,
    /// Those with another config in the same place.
    pub changed: Vec<String>,
    /// Those that get another place.
    pub moved: Vec<String>,
    /// Those that go.
    pub removed: Vec<String>,
    /// Those to which nothing happens.
    pub untouched: Vec<String>,
    /// Whether the routes differ.
    pub routes_changed: bool,
    /// Whether thresholds or windows differ.
    #[serde(default)]
    pub thresholds_changed: bool,
    /// Whether the channels' entry differs.
    #[serde(default)]
    pub channels_changed: bool,
}

/// `added A; moved B; routes changed; 3 untouched`
impl std::fmt::Display for PlanReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lists =
            [("added", &self.added), ("changed", &self.changed), ("moved", &self.moved), ("removed", &self.removed)];
        let mut parts: Vec<_> = lists
            .into_iter()
            .filter(|(_, tasks)| !tasks.is_empty())
            .map(|(what, tasks)| format!("{what} {}", tasks.join(", ")))
            .collect();
        let whole = [
            ("routes", self.routes_changed),
            ("thresholds", self.thresholds_changed),
            ("channels", self.channels_changed),
        ];
        parts.extend(whole.into_iter().filter(|(_, changed)| *changed).map(|(what, _)| format!("{what} changed")));
        if parts.is_empty() {
            parts.push("nothing changed".to_owned());
        }
        parts.push(format!("{} untouched", self.untouched.len()));
        f.write_str(&parts.join("; "))
    }
}

/// Why a process is in failsafe.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct FailsafeReport {
    /// The process's name: a task's, that of a pool's worker, or one that tasks share.
    pub name: String,
    /// What happened, in one line.
    pub reason: String,
    /// When: UTC.
    pub parked: String,
    /// The ends that count, oldest first.
    pub ends: Vec<String>,
    /// The last lines of its log.
    pub log: Vec<String>,
    /// The readings that broke a limit, oldest first; none where no limit was broken.
    #[serde(default)]
    pub readings: Vec<String>,
    /// The entries of its tasks in the config then, each as `TASK: JSON`.
    #[serde(default)]
    pub config: Vec<String>,
    /// The file that says so.
    pub file: String,
}

/// What happened, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventsReport {
    /// The events.
    pub events: Vec<EventReport>,
    /// How many that were asked for are forgotten: the daemon keeps a bounded number.
    pub forgotten: u64,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventReport {
    /// Counts up from 1 in each run of the daemon.
    pub number: u64,
    /// When: RFC 3339, UTC.
    pub time: String,
    /// The task or process; none where it is the whole.
    pub task: Option<String>,
    /// `started`, `adopted`, `ended`, `moved`, `stopped`, `failsafed`, `cleared`, `applied`, `refused`, `rolled_back`, ...
    pub what: String,
    /// How, in words.
    pub how: String,
    /// By whom, where somebody asked.
    pub by: Option<String>,
}

/// Where the lines of a task are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// In these files, each of one process.
    Files(Vec<PathBuf>),
    /// Among the daemon's own.
    Daemon,
}

/// The state of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateReport {
    /// The task.
    pub task: String,
    /// The number of the record.
    pub record: u64,
    /// The state: RON text.
    pub state: String,
}
