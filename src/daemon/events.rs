//! What happens to a daemon, one thing at a time.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::control::{Command, Control};
use super::error::DaemonError;
use super::reading::Glance;
use super::requests::{CALLS, Call, Calls};
use super::running::{Daemon, Externals};
use super::start::Lines;
use crate::channel::QueueLine;
use crate::monitor::Report;
use crate::name::TaskName;
use crate::process::Notice;
use crate::runtime::{ControlInbox, ControlMessage};

/// No watchdog is fed more often: that would be all that a daemon does.
const SHORTEST_FEED: Duration = Duration::from_millis(10);

/// Where events come from.
pub(super) struct Events {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// It began on a terminal.
    on_terminal: bool,
    pub(super) inbox: Option<ControlInbox>,
    pub(super) changed: Option<mpsc::Receiver<()>>,
    pub(super) lines: Option<Lines>,
    /// Processes of which something is new.
    pub(super) news: Option<mpsc::Receiver<TaskName>>,
    pub(super) reports: Option<mpsc::Receiver<Report>>,
    /// When the service manager's watchdog wants to hear of this loop, if it does.
    feed: Option<Interval>,
    pub(super) calls: Option<Calls>,
    /// Calls that came while a config was being applied and wait until that is done, oldest first.
    held: VecDeque<Call>,
}

enum Event {
    Signal(&'static str, Externals),
    Control(ControlMessage),
    /// The config file may have changed.
    Look,
    /// A second has passed.
    Second,
    /// The watchdog is to hear that this loop turns.
    Feed,
    Line(QueueLine),
    /// SIGHUP: whoever rotates logs has renamed them.
    ReopenLogs,
    /// A process was seen to have begun or ended.
    News(TaskName),
    /// What runs was measured.
    Report(Report),
    Call(Call),
}

/// Why a daemon ends.
pub(super) enum Ending {
    Signal(&'static str, Externals),
    Asked(Externals),
}

impl Events {
    pub(super) fn new() -> Result<Self, DaemonError> {
        let catch = |kind| signal(kind).map_err(|source| DaemonError::Kernel { what: "catching signals", source });
        let (interrupt, terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
        let hang_up = catch(SignalKind::hangup())?;
        let on_terminal = std::io::stdin().is_terminal();
        Ok(Self {
            interrupt,
            terminate,
            hang_up,
            on_terminal,
            inbox: None,
            changed: None,
            lines: None,
            news: None,
            reports: None,
            feed: None,
            calls: None,
            held: VecDeque::new(),
        })
    }

    /// Feeds a watchdog that bites after `timeout`: twice in that time, and from this loop alone.
    pub(super) fn feed_each(&mut self, timeout: Option<Duration>) {
        self.feed = timeout.map(|timeout| every((timeout / 2).max(SHORTEST_FEED)));
    }

    /// Runs the daemon until something ends it.
    pub(super) async fn run(&mut self, daemon: &mut Daemon) -> Ending {
        let mut second = every(Duration::from_secs(1));
        loop {
            let event = tokio::select! {
                biased;
                _ = self.interrupt.recv() => Event::Signal("SIGINT", Externals::End),
                _ = self.terminate.recv() => Event::Signal("SIGTERM", Externals::Stay),
                () = next_feed(&mut self.feed) => Event::Feed,
                _ = self.hang_up.recv() => hung_up(self.on_terminal, std::io::stdin().is_terminal()),
                message = next_message(&mut self.inbox) => Event::Control(message),
                () = next(&mut self.changed) => Event::Look,
                line = next(&mut self.lines) => Event::Line(line),
                process = next(&mut self.news) => Event::News(process),
                report = next(&mut self.reports) => Event::Report(report),
                call = next_call(&mut self.held, &mut self.calls) => Event::Call(call),
                _ = second.tick() => Event::Second,
            };
            let shown = daemon.shown.subscribe();
            if let Some(ending) = self.attend(handle(event, daemon), shown).await {
                return ending;
            }
        }
    }

    /// Waits for what the daemon does. While that applies a config, calls that only look are answered by what it shows;
    /// others wait.
    pub(super) async fn attend<T>(
        &mut self,
        work: impl Future<Output = T>,
        mut shown: watch::Receiver<Option<Arc<Glance>>>,
    ) -> T {
        tokio::pin!(work);
        loop {
            let glance = shown.borrow_and_update().clone();
            tokio::select! {
                biased;
                done = &mut work => return done,
                // It does not go before the work is done.
                _ = shown.changed() => {}
                call = next(&mut self.calls), if glance.is_some() && self.held.len() < CALLS => {
                    self.held.extend(glance.and_then(|glance| glance.answer(call)));
                }
            }
        }
    }

    /// Answers no call any more, nor those that wait: who made them hears that the daemon ends.
    pub(super) fn refuse_calls(&mut self) {
        self.calls = None;
        self.held.clear();
    }

    /// Waits for a signal while the daemon ends.
    pub(super) async fn second_signal(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What SIGHUP means: where a daemon had a terminal and has none any more, that this is gone, and the daemon with it, as
/// ever; else that logs were renamed.
fn hung_up(had_terminal: bool, has_terminal: bool) -> Event {
    if had_terminal && !has_terminal { Event::Signal("SIGHUP", Externals::Stay) } else { Event::ReopenLogs }
}

async fn handle(event: Event, daemon: &mut Daemon) -> Option<Ending> {
    match event {
        Event::Signal(name, externals) => return Some(Ending::Signal(name, externals)),
        Event::Feed => daemon.notify(&Notice::Watchdog),
        Event::Look => daemon.look().await,
        Event::Second => {
            daemon.look().await;
            daemon.measure();
        }
        Event::Report(report) => daemon.heed(report).await,
        Event::Line(line) => daemon.send_line(line),
        Event::ReopenLogs => daemon.reopen_logs().await,
        Event::News(process) => daemon.node.look_at_worker(&process),
        Event::Call(call) => return daemon.answer(call).await,
        Event::Control(message) => {
            let control = Control::read(&message.message);
            let ending = match control {
                Ok(control) => obey(control, daemon).await,
                Err(fault) => {
                    tracing::error!("{fault}");
                    None
                }
            };
            message.done();
            return ending;
        }
    }
    None
}

async fn obey(control: Control, daemon: &mut Daemon) -> Option<Ending> {
    if let Some(config) = control.config {
        daemon.configure(config).await;
    }
    let mut ending = None;
    for command in control.commands {
        match command {
            Command::Exit(externals) => ending = Some(Ending::Asked(externals)),
            Command::Renew { task } => daemon.renew(task.as_ref()),
            Command::Debug { level } => daemon.set_level(level).await,
        }
    }
    ending
}

/// A tick that comes late is not made up for.
fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn next_feed(feed: &mut Option<Interval>) {
    match feed {
        Some(feed) => drop(feed.tick().await),
        None => std::future::pending().await,
    }
}

async fn next_call(held: &mut VecDeque<Call>, calls: &mut Option<Calls>) -> Call {
    match held.pop_front() {
        Some(call) => call,
        None => next(calls).await,
    }
}

async fn next_message(inbox: &mut Option<ControlInbox>) -> ControlMessage {
    match inbox {
        Some(inbox) => inbox.next().await,
        None => std::future::pending().await,
    }
}

/// The next of what comes this way; never, where it is not open or nobody sends any more.
async fn next<T>(way: &mut Option<mpsc::Receiver<T>>) -> T {
    let next = match way {
        Some(way) => way.recv().await,
        None => None,
    };
    match next {
        Some(next) => next,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_ends_with_its_terminal_and_else_opens_its_logs_anew() {
        let ends = |had, has| matches!(hung_up(had, has), Event::Signal("SIGHUP", Externals::Stay));
        assert!(ends(true, false));
        assert!(!ends(true, true) && !ends(false, false) && !ends(false, true));
    }
}
