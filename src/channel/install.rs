//! Making the channels those of this process, and the handle on them.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

use super::handling::Handling;
use super::layer::ChannelLayer;
use super::level;
use super::line::{Level, Line, LogFormat};
use super::outlet::{Outlet, Stream};
use super::queue_line::{QueueLine, QueueLines};
use super::recent::Recent;
use super::settings::ChannelSettings;
use super::terminal;

/// Why the channels could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The environment holds a filter that is none.
    #[error("{variable}={text:?} is no filter: {reason}; write as in {variable}=multimodule::router=debug,warn")]
    Filter {
        /// Where it stands.
        variable: &'static str,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else listens to `tracing` in this process already.
    #[error("the channels of this process are installed already")]
    Installed,
}

/// Controls the channels of this process.
#[derive(Clone)]
pub struct ChannelHandle {
    filter: reload::Handle<Targets, Registry>,
    queue_lines: Arc<Mutex<Option<mpsc::Receiver<QueueLine>>>>,
    outlet: Arc<Outlet>,
    level: Arc<AtomicU32>,
}

/// Makes the channels those of this process, once. `level` is 0 for what a user needs, 1 for debugging, 2 and more for
/// all; `MULTIMODULE_LOG`, or else `RUST_LOG`, refines it. All lines are written in `format`.
///
/// # Errors
/// The environment's filter is none, or the channels are installed already.
pub fn install(handling: Handling, level: u32, format: LogFormat) -> Result<ChannelHandle, ChannelError> {
    let (filter, filter_handle) = reload::Layer::new(first_filter(level)?);
    let stdout = Stream::of(std::io::stdout(), format);
    let stderr = Stream::of(std::io::stderr(), format);
    let (lines, queue_lines) = QueueLines::new();
    let outlet = Arc::new(Outlet::new(handling, stdout, stderr, lines));
    let subscriber = tracing_subscriber::registry().with(filter).with(ChannelLayer::new(outlet.clone()));
    subscriber.try_init().map_err(|_| ChannelError::Installed)?;
    terminal::installed(&outlet);
    Ok(ChannelHandle {
        filter: filter_handle,
        queue_lines: Arc::new(Mutex::new(Some(queue_lines))),
        outlet,
        level: Arc::new(AtomicU32::new(level)),
    })
}

fn first_filter(level: u32) -> Result<Targets, ChannelError> {
    let Some((variable, text)) = level::from_environment(|name| std::env::var(name).ok()) else {
        return Ok(level::of_level(level));
    };
    level::refined(level, &text).map_err(|error| ChannelError::Filter { variable, text, reason: error.to_string() })
}

impl ChannelHandle {
    /// Changes how much is said, from now on; the environment's filter no longer counts.
    pub fn set_level(&self, level: u32) {
        // It fails only when the subscriber is gone, and then nobody says anything.
        drop(self.filter.reload(level::of_level(level)));
        self.level.store(level, Ordering::Relaxed);
    }

    /// From now on the config says this of the channels; it goes before their handling on the command line. Returns
    /// what it said before.
    pub fn configure(&self, settings: Arc<ChannelSettings>) -> Arc<ChannelSettings> {
        self.outlet.configure(settings)
    }

    /// From now on the command line says this of the channels, and of how their lines look.
    pub fn handle_by(&self, handling: Handling, format: LogFormat) {
        self.outlet.handle_by(handling, format);
    }

    /// What the command line says of them.
    #[must_use]
    pub fn handled_by(&self) -> (Handling, LogFormat) {
        self.outlet.handled_by()
    }

    /// How much is said.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.level.load(Ordering::Relaxed)
    }

    /// Opens the files of all channels anew, each with its next line: somebody may have renamed them.
    pub fn reopen(&self) {
        self.outlet.reopen();
    }

    /// The newest lines of this process.
    #[must_use]
    pub fn recent(&self) -> Recent {
        self.outlet.recent.clone()
    }

    /// The lines that are for queues, for whoever forwards them; nothing the second time. Up to
    /// [`QUEUE_LINES`](super::QUEUE_LINES) wait until then. Once the receiver is gone they go to standard error.
    ///
    /// Who cannot put a line on its queue gives it back by [`ChannelHandle::give_back`] instead of saying so through
    /// `tracing`: that would make another line for that queue.
    pub fn take_queue_lines(&self) -> Option<mpsc::Receiver<QueueLine>> {
        self.queue_lines.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Writes a line that its queue did not take to standard error, with the reason.
    pub fn give_back(&self, (queue, fields): &QueueLine, reason: &str) {
        let text = |key: &str| fields.get(key).and_then(|value| value.view().as_text()).unwrap_or_default();
        let second = fields.get("time").and_then(|value| value.view().as_i64()).unwrap_or_default();
        let line = Line {
            time: Timestamp::from_second(second).unwrap_or_default(),
            pid: std::process::id(),
            channel: text("channel").to_owned(),
            level: Level::Error,
            task: None,
            text: format!("{} (not on queue {queue}: {reason})", text("text")),
            fields: Vec::new(),
        };
        self.outlet.to_stderr(&line);
    }
}

impl fmt::Debug for ChannelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelHandle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one test that installs: a process has its channels once.
    #[test]
    fn channels_are_installed_once_and_change_their_level() {
        let handle = install(Handling::parse("log:Log,debug:Debug").unwrap(), 0, LogFormat::Text).unwrap();
        let mut lines = handle.take_queue_lines().unwrap();
        assert!(handle.take_queue_lines().is_none());
        let mut said = move |text: &str| {
            let found = std::iter::from_fn(|| lines.try_recv().ok())
                .find(|line| line.1.get("text").and_then(|said| said.view().as_text()) == Some(text));
            found.is_some()
        };
        tracing::debug!("said too early");
        assert!(!said("said too early"));
        handle.set_level(1);
        tracing::debug!("said in time");
        assert!(said("said in time"));
        assert!(matches!(install(Handling::default(), 0, LogFormat::Text), Err(ChannelError::Installed)));
    }
}
