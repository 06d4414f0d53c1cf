//! What a running daemon may be asked from outside, and what it answers: plain data.
//!
//! A request comes by [`Call`] into the daemon's event loop, one at a time, and is answered once. Whoever asks knows
//! nothing of the daemon, and the daemon nothing of sockets.

use tokio::sync::{mpsc, oneshot};

use super::reports::{Done, EventsReport, FailsafeReport, LogSource, ReloadReport, StateReport, Status, TaskStatus};
use crate::name::TaskName;

/// How many calls wait for the daemon: it takes one in far less than a millisecond unless a config is being applied,
/// and each waiting one is a connection, of which there are as many.
pub const CALLS: usize = 64;

/// The receiving end of calls.
pub type Calls = mpsc::Receiver<Call>;

/// Something to be done or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// How everything is.
    Status,
    /// How one task is.
    TaskStatus(TaskName),
    /// Read the config file and make it hold; or only say what that would change.
    Reload {
        /// Change nothing.
        dry_run: bool,
    },
    /// Who is in failsafe, and why.
    Failsafes,
    /// Let a process run again that is in failsafe.
    ClearFailsafe(TaskName),
    /// Let a stopped task run again.
    Start(TaskName),
    /// End a task until it is started.
    Stop(TaskName),
    /// End a task and start it.
    Restart(TaskName),
    /// End all external processes and the daemon.
    StopAll,
    /// Move a task, until the file's entry for it changes.
    Migrate {
        /// Which.
        task: TaskName,
        /// Into a process of its own, or into the daemon.
        external: bool,
    },
    /// What happened.
    Events {
        /// Only what came after the event of this number.
        after: u64,
        /// Only what concerns this task.
        task: Option<TaskName>,
    },
    /// Where the lines of a task are.
    LogSource(TaskName),
    /// The state of a task, as of its newest record.
    ShowState(TaskName),
    /// Give a stopped task another state, RON text.
    SetState {
        /// Which.
        task: TaskName,
        /// The state.
        state: String,
    },
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Of [`Request::Status`].
    Status(Box<Status>),
    /// Of [`Request::TaskStatus`].
    TaskStatus(Box<TaskStatus>),
    /// Of [`Request::Reload`].
    Reload(ReloadReport),
    /// Of [`Request::Failsafes`].
    Failsafes(Vec<FailsafeReport>),
    /// Of [`Request::Events`].
    Events(EventsReport),
    /// Of [`Request::LogSource`].
    LogSource(LogSource),
    /// Of [`Request::ShowState`].
    State(StateReport),
    /// Of all that changes something.
    Done(Done),
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The process, where the kernel tells it.
    pub pid: Option<i32>,
    /// Its user.
    pub uid: u32,
}

/// `pid 7 of user 1000`
impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "pid {pid} of user {}", self.uid),
            None => write!(f, "user {}", self.uid),
        }
    }
}

/// Why a request is not fulfilled: what kind of reason it is, and the reason as a lowercase fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The kind.
    pub kind: RefusalKind,
    /// The reason.
    pub reason: String,
}

/// What kind of reason it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is nothing of that name.
    NotFound,
    /// What stands in the way must be changed first.
    Conflict,
    /// A config, or a state, is wrong; nothing was changed.
    Invalid,
    /// It was begun, failed, and everything is as before.
    RolledBack,
    /// A file or the kernel refuses.
    Failed,
    /// It may work later.
    Busy,
}

impl Refusal {
    /// A refusal of this kind.
    #[must_use]
    pub fn new(kind: RefusalKind, reason: impl std::fmt::Display) -> Self {
        Self { kind, reason: reason.to_string() }
    }
}

/// A request on its way to the daemon.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// By whom.
    pub by: Caller,
    /// Where the answer goes; whoever has gone gets none.
    pub answer: oneshot::Sender<Result<Answer, Refusal>>,
}
