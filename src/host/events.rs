//! What happens to a host, one thing at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::counting::Counting;
use super::log::Log;
use super::tasks::Tasks;
use crate::channel::QueueLine;
use crate::daemon::{DaemonError, Lines, read_running_conf};
use crate::link::{HostEvent, HostLink, ToDaemon, ToHost};
use crate::name::TaskName;

/// How often the daemon is told what is counted: as often as it judges that.
const COUNTS: Duration = Duration::from_secs(1);

/// Where events come from, and what obeys them.
pub(super) struct Host {
    pub(super) process: TaskName,
    pub(super) log: Log,
    pub(super) state_dir: PathBuf,
    pub(super) tasks: Tasks,
    pub(super) link: HostLink,
    pub(super) requests: mpsc::Receiver<HostEvent>,
    pub(super) lines: Option<Lines>,
    pub(super) set_level: Arc<dyn Fn(u32) + Send + Sync>,
    pub(super) signals: Signals,
    pub(super) counting: Counting,
}

/// The signals that a host heeds.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

enum Event {
    End,
    ReopenLog,
    Link(HostEvent),
    Line(QueueLine),
    /// A second has passed.
    Second,
}

impl Signals {
    pub(super) fn new() -> Result<Self, DaemonError> {
        let catch = |kind| signal(kind).map_err(|source| DaemonError::Kernel { what: "catching signals", source });
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }
}

impl Host {
    /// Runs until a signal ends it.
    pub(super) async fn run(&mut self) {
        let mut second = interval_at(Instant::now() + COUNTS, COUNTS);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.next(&mut second).await {
                Event::End => return,
                Event::ReopenLog => self.reopen_log(),
                Event::Line((queue, line)) => self.tasks.send_line(&queue, line),
                Event::Link(HostEvent::Asked(request)) => self.obey(request).await,
                Event::Link(HostEvent::Linked { version }) => self.counting.linked(version),
                Event::Link(HostEvent::Lost) => self.counting.lost(),
                Event::Second => self.tell_counts(),
            }
        }
    }

    async fn next(&mut self, second: &mut Interval) -> Event {
        tokio::select! {
            biased;
            _ = self.signals.interrupt.recv() => Event::End,
            _ = self.signals.terminate.recv() => Event::End,
            _ = self.signals.hang_up.recv() => Event::ReopenLog,
            request = or_never(Some(&mut self.requests)) => Event::Link(request),
            line = or_never(self.lines.as_mut()) => Event::Line(line),
            _ = second.tick() => Event::Second,
        }
    }

    async fn obey(&mut self, request: ToHost) {
        match request {
            ToHost::Configure { .. } => self.configure().await,
            ToHost::SetLevel { level } => (self.set_level)(level),
            ToHost::ReopenLog => {
                self.reopen_log();
                self.tell(ToDaemon::ReopenedLog);
            }
        }
    }

    /// Applies the config as it stands on disk now, which may be newer than what was told.
    async fn configure(&mut self) {
        self.tasks.follow_daemon(&self.state_dir);
        let faults = match read_running_conf(&self.state_dir) {
            Ok(running) => self.tasks.apply(&running.unwrap_or_default()).await,
            Err(error) => {
                tracing::error!("{}: what runs goes on: {error}", self.process);
                vec![error.to_string()]
            }
        };
        failpoint!("migration.host_applied");
        self.link.set_generation(self.tasks.generation());
        self.tell(ToDaemon::Configured { generation: self.tasks.generation(), faults });
        self.counting.tell_all();
    }

    fn tell(&self, told: ToDaemon) {
        if !self.link.send(told) {
            tracing::debug!("the daemon is away");
        }
    }

    /// Leaves what the daemon does not know yet for the thread that tells it.
    fn tell_counts(&mut self) {
        if !self.counting.is_wanted() {
            return;
        }
        let (tasks, written_bytes) = self.tasks.counts();
        let news = self.counting.news(tasks, written_bytes);
        if news.is_some_and(|news| !self.link.send(news)) {
            self.counting.tell_all();
        }
    }

    fn reopen_log(&self) {
        self.tasks.reopen_channels();
        if let Err(error) = self.log.reopen() {
            tracing::error!("{}: its log goes on in the old file: {error}", self.process);
        }
    }
}

/// What comes next; never, where nothing can.
async fn or_never<T>(receiver: Option<&mut mpsc::Receiver<T>>) -> T {
    let next = match receiver {
        Some(receiver) => receiver.recv().await,
        None => None,
    };
    match next {
        Some(next) => next,
        None => std::future::pending().await,
    }
}
