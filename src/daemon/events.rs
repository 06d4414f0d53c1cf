//! What happens to a daemon, one thing at a time.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::control::{Command, Control};
use super::error::DaemonError;
use super::reload::{Daemon, Externals};
use super::requests::{Call, Calls};
use super::start::Lines;
use crate::channel::QueueLine;
use crate::runtime::{ControlInbox, ControlMessage};

/// Where events come from.
pub(super) struct Events {
    interrupt: Signal,
    terminate: Signal,
    pub(super) inbox: Option<ControlInbox>,
    pub(super) changed: Option<mpsc::Receiver<()>>,
    pub(super) lines: Option<Lines>,
    pub(super) calls: Option<Calls>,
}

enum Event {
    Signal(&'static str, Externals),
    Control(ControlMessage),
    /// The config file may have changed, or a second has passed.
    Look,
    Line(QueueLine),
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
        Ok(Self { interrupt, terminate, inbox: None, changed: None, lines: None, calls: None })
    }

    /// Runs the daemon until something ends it.
    pub(super) async fn run(&mut self, daemon: &mut Daemon) -> Ending {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                biased;
                _ = self.interrupt.recv() => Event::Signal("SIGINT", Externals::End),
                _ = self.terminate.recv() => Event::Signal("SIGTERM", Externals::Stay),
                message = next_message(&mut self.inbox) => Event::Control(message),
                () = next_change(&mut self.changed) => Event::Look,
                line = next_line(&mut self.lines) => Event::Line(line),
                call = next_call(&mut self.calls) => Event::Call(call),
                _ = second.tick() => Event::Look,
            };
            if let Some(ending) = handle(event, daemon).await {
                return ending;
            }
        }
    }

    /// Waits for a signal while the daemon ends.
    pub(super) async fn second_signal(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn handle(event: Event, daemon: &mut Daemon) -> Option<Ending> {
    match event {
        Event::Signal(name, externals) => return Some(Ending::Signal(name, externals)),
        Event::Look => daemon.look().await,
        Event::Line(line) => daemon.send_line(line),
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

async fn next_message(inbox: &mut Option<ControlInbox>) -> ControlMessage {
    match inbox {
        Some(inbox) => inbox.next().await,
        None => std::future::pending().await,
    }
}

async fn next_change(changed: &mut Option<mpsc::Receiver<()>>) {
    let change = match changed {
        Some(changed) => changed.recv().await,
        None => None,
    };
    // Without a watcher the look each second remains.
    if change.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn next_call(calls: &mut Option<Calls>) -> Call {
    let call = match calls {
        Some(calls) => calls.recv().await,
        None => None,
    };
    match call {
        Some(call) => call,
        None => std::future::pending().await,
    }
}

async fn next_line(lines: &mut Option<Lines>) -> QueueLine {
    let line = match lines {
        Some(lines) => lines.recv().await,
        None => None,
    };
    match line {
        Some(line) => line,
        None => std::future::pending().await,
    }
}
