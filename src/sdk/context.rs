//! What a task may use while it handles something.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Result, Task};
use crate::message::Message;
use crate::name::TaskName;
use crate::value::Map;

/// A task's config, its state, and what it may do.
pub struct Context<T: Task> {
    /// The task's config as it is now.
    pub config: T::Config,
    /// The task's state. It is saved as it stands between two activations.
    pub state: T::State,
    pub(crate) core: Core,
}

/// The part of a context that is the same for every task: what an activation asked for, until it returns.
pub(crate) struct Core {
    pub(crate) task: TaskName,
    /// What the activation under way has emitted; it takes effect when the activation returns.
    pub(crate) emitted: Vec<Emission>,
    /// Timers it set or cancelled.
    pub(crate) timers: Vec<TimerRequest>,
    /// Where a commit in the middle of an activation is asked for; none while a message is handled.
    pub(crate) committer: Option<mpsc::Sender<CommitRequest>>,
}

/// One thing that an activation emitted.
pub(crate) enum Emission {
    /// Fields of a new message; the task becomes its source.
    New(Map),
    /// A message that goes on as it is.
    Route(Message),
}

/// A change of a task's timers.
pub(crate) enum TimerRequest {
    Every { name: String, interval: Duration },
    Cancel { name: String },
}

/// A commit that an activation waits for.
pub(crate) struct CommitRequest {
    pub(crate) state: std::result::Result<String, String>,
    pub(crate) emitted: Vec<Emission>,
    pub(crate) done: oneshot::Sender<std::result::Result<(), String>>,
}

impl Core {
    pub(crate) fn new(task: TaskName) -> Self {
        Self { task, emitted: Vec::new(), timers: Vec::new(), committer: None }
    }

    fn line(&self, channel: &str, text: &str) {
        let task = self.task.as_str();
        match channel {
            "log" => tracing::info!(channel, task, "{text}"),
            "debug" => tracing::debug!(channel, task, "{text}"),
            "alert" => tracing::warn!(channel, task, "{text}"),
            _ => tracing::error!(channel, task, "{text}"),
        }
    }
}

impl<T: Task> Context<T> {
    /// The name the task runs under.
    #[must_use]
    pub fn name(&self) -> &str {
        self.core.task.as_str()
    }

    /// Emits a message of these fields: the task becomes its `source`, the router says who hears it. It goes out
    /// when this activation returns.
    pub fn emit(&mut self, fields: Map) {
        self.core.emitted.push(Emission::New(fields));
    }

    /// Routes a message as it is, its source included, when this activation returns.
    pub fn route(&mut self, message: Message) {
        self.core.emitted.push(Emission::Route(message));
    }

    /// Calls [`Task::tick`] with `name` at once and then each `interval`; the config's `intervals: {name: seconds}`
    /// overrides it. There is one timer per name: asking again changes its interval and nothing else. A tick that
    /// comes late is not made up for.
    pub fn every(&mut self, name: &str, interval: Duration) {
        self.core.timers.push(TimerRequest::Every { name: name.to_owned(), interval });
    }

    /// Ends the timer of this name, if there is one.
    pub fn cancel(&mut self, name: &str) {
        self.core.timers.push(TimerRequest::Cancel { name: name.to_owned() });
    }

    /// Says something on the `log` channel.
    pub fn log(&self, text: impl AsRef<str>) {
        self.core.line("log", text.as_ref());
    }

    /// Reports something that a person should act on, on the `error` channel.
    pub fn error(&self, text: impl AsRef<str>) {
        self.core.line("error", text.as_ref());
    }

    /// Raises an alert, on the `alert` channel.
    pub fn alert(&self, text: impl AsRef<str>) {
        self.core.line("alert", text.as_ref());
    }

    /// Says something for whoever debugs, on the `debug` channel.
    pub fn debug(&self, text: impl AsRef<str>) {
        self.core.line("debug", text.as_ref());
    }

    /// Says something on a channel of the task's own; one that is not configured is handled like `error`.
    pub fn say(&self, channel: &str, text: impl AsRef<str>) {
        self.core.line(channel, text.as_ref());
    }

    /// Saves the state now, and what was emitted so far: when this returns, both survive a kill. A source answers
    /// its peer after this. It is for `start`, `tick` and `stop`; while a message is handled it fails, because a
    /// message and its effect on the state are saved together, after the call returns.
    pub async fn commit(&mut self) -> Result {
        let committer = self.core.committer.clone();
        let committer = committer.ok_or("commit() is for start, tick and stop of a stateful task")?;
        let (done, outcome) = oneshot::channel();
        let state = ron::to_string(&self.state).map_err(|error| error.to_string());
        let emitted = std::mem::take(&mut self.core.emitted);
        let sent = committer.send(CommitRequest { state, emitted, done }).await;
        sent.map_err(|_| "the task is being ended")?;
        outcome.await.map_err(|_| "the task is being ended")?.map_err(Into::into)
    }
}
