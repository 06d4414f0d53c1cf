//! What a person does to one task: start, stop, restart, migrate, clear.
//!
//! A stopped task stays in the config and in its place, and runs nowhere; its queue goes on taking messages. It is
//! started by a person, or by the next start of the daemon.

use std::collections::BTreeSet;

use super::owed::Change;
use super::reload::Daemon;
use super::reports::{Done, FailsafeReport};
use super::requests::{Refusal, RefusalKind};
use super::status::utc;
use crate::config::{FrameworkKey, did_you_mean};
use crate::name::TaskName;
use crate::process::{Failsafe, HostFiles};
use crate::supervisor::{Standing, What};
use crate::task::{Place, pool_of};
use crate::value::{Map, Value};

impl Daemon {
    /// Refuses a task that there is none of.
    pub(super) fn known_task(&self, task: &TaskName) -> Result<&Place, Refusal> {
        let found = self.placement.by_task.get(task).map(|placed| &placed.place);
        found.ok_or_else(|| {
            let names = self.placement.by_task.keys().map(TaskName::as_str);
            let advice = did_you_mean(task.as_str(), names).map(|name| format!("; did you mean {name}?"));
            let advice = advice.unwrap_or_default();
            Refusal::new(RefusalKind::NotFound, format!("there is no task {task}{advice}"))
        })
    }

    /// Ends a task until it is started.
    pub(super) async fn stop_task(&mut self, task: &TaskName) -> Result<Done, Refusal> {
        self.known_task(task)?;
        if self.stopped.contains(task) {
            return Ok(done(format!("{task} is stopped already")));
        }
        self.halt(task).await?;
        self.note(Some(task), What::Stopped, "until it is started");
        Ok(done(format!("{task} is stopped; its queue goes on taking messages")))
    }

    /// Lets a task run that is stopped, or has ended by its policy.
    pub(super) async fn start_task(&mut self, task: &TaskName) -> Result<Done, Refusal> {
        let place = self.known_task(task)?.clone();
        if self.stopped.contains(task) {
            self.resume(task).await?;
        } else if self.has_ended(task, &place) {
            self.halt(task).await?;
            self.resume(task).await?;
        } else {
            self.refuse_failsafe(task)?;
            return Ok(done(format!("{task} runs already")));
        }
        self.refuse_failsafe(task)?;
        Ok(done(format!("{task} is started")))
    }

    /// Ends a task and lets it run again.
    pub(super) async fn restart_task(&mut self, task: &TaskName) -> Result<Done, Refusal> {
        self.known_task(task)?;
        self.refuse_failsafe(task)?;
        if !self.stopped.contains(task) {
            self.halt(task).await?;
            self.note(Some(task), What::Stopped, "to be started again");
        }
        self.resume(task).await?;
        Ok(done(format!("{task} is restarted")))
    }

    /// A task in failsafe is started by whoever clears it.
    fn refuse_failsafe(&self, task: &TaskName) -> Result<(), Refusal> {
        let mut stopped = self.supervisor.parked();
        stopped.extend(self.watching.stopped.iter().cloned());
        let places = self.processes_of(task).into_iter().chain([task.clone()]);
        let Some(process) = places.into_iter().find(|process| stopped.contains(process)) else {
            return Ok(());
        };
        let text = format!("{task} is in failsafe; `multimodule failsafe clear {process}` lets it run again");
        Err(Refusal::new(RefusalKind::Conflict, text))
    }

    fn has_ended(&self, task: &TaskName, place: &Place) -> bool {
        let views = self.supervisor.views();
        let ended = |process: &TaskName| views.get(process).is_some_and(|view| view.standing == Standing::Ended);
        match place {
            Place::Daemon => self.node.failed().any(|failed| failed == task),
            Place::Process(process) => ended(process),
            Place::Pool { .. } => self.processes_of(task).iter().any(ended),
        }
    }

    /// The external processes that run a task.
    pub(super) fn processes_of(&self, task: &TaskName) -> Vec<TaskName> {
        match self.placement.by_task.get(task).map(|placed| &placed.place) {
            Some(Place::Process(process)) => vec![process.clone()],
            Some(Place::Pool { .. }) => super::places::workers(&self.placement, task),
            Some(Place::Daemon) | None => Vec::new(),
        }
    }

    async fn halt(&mut self, task: &TaskName) -> Result<(), Refusal> {
        let mut stopped = self.stopped.clone();
        stopped.insert(task.clone());
        self.with_stopped(stopped).await
    }

    async fn resume(&mut self, task: &TaskName) -> Result<(), Refusal> {
        let mut stopped = self.stopped.clone();
        stopped.remove(task);
        self.with_stopped(stopped).await?;
        if self.placement.by_task.get(task).is_some_and(|placed| placed.place == Place::Daemon) {
            self.since.insert(task.clone(), std::time::SystemTime::now());
            self.note(Some(task), What::Started, "in the daemon");
        }
        Ok(())
    }

    /// Puts everything in its place anew, with these tasks stopped.
    async fn with_stopped(&mut self, stopped: BTreeSet<TaskName>) -> Result<(), Refusal> {
        let before = std::mem::replace(&mut self.stopped, stopped);
        let outcome = self.try_apply(self.overlay.clone(), self.document.clone()).await;
        if let Err(error) = outcome {
            self.stopped = before;
            return Err(Refusal::new(RefusalKind::Failed, error));
        }
        self.park_queues();
        Ok(())
    }

    /// Moves a task by a config of its own, which holds until the file's entry of it changes.
    pub(super) async fn migrate(&mut self, task: &TaskName, external: bool) -> Result<Done, Refusal> {
        let word = if external { "external" } else { "internal" };
        match (self.known_task(task)?, external) {
            (Place::Pool { .. }, _) => {
                let text = format!("{task} is a pool, whose workers are processes of their own");
                return Err(Refusal::new(RefusalKind::Conflict, text));
            }
            (Place::Daemon, false) | (Place::Process(_), true) => {
                return Ok(done(format!("{task} is {word} already")));
            }
            _ => {}
        }
        let effective = self.overlay.effective();
        let mut entry = match effective.get(task.as_str()) {
            Some(Value::Map(entry)) => entry.clone(),
            _ => Map::new(),
        };
        entry.insert(FrameworkKey::IsExternal.name(), Value::from(external));
        entry.remove(FrameworkKey::Process.name());
        let mut entries = Map::new();
        entries.insert(task.as_str(), Value::Map(entry));
        self.replace(&Change::Message(entries)).await.map_err(|error| super::answering::refusal(&error))?;
        Ok(done(format!("{task} is {word} now, until the config file says something else of it")))
    }

    /// Everything that is in failsafe.
    pub(super) fn failsafes(&self) -> Result<Vec<FailsafeReport>, Refusal> {
        let entries = std::fs::read_dir(&self.state_dir).map_err(|error| failed(&self.state_dir, &error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let names = names.filter_map(|file| TaskName::new(file.strip_suffix(".failsafe")?).ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        Ok(names.iter().map(|name| self.failsafe_report(name)).collect())
    }

    fn failsafe_report(&self, name: &TaskName) -> FailsafeReport {
        let path = HostFiles::new(&self.state_dir, name).failsafe();
        let (name, file) = (name.to_string(), path.display().to_string());
        match Failsafe::read(&path) {
            Ok(Some(Failsafe { reason, parked, ends, log, .. })) => {
                FailsafeReport { name, reason, parked, ends, log, file }
            }
            Ok(None) => FailsafeReport {
                name,
                reason: "it has just been cleared".to_owned(),
                parked: utc(std::time::SystemTime::now()),
                ends: Vec::new(),
                log: Vec::new(),
                file,
            },
            Err(error) => {
                let (parked, ends, log) = (String::new(), Vec::new(), Vec::new());
                FailsafeReport { name, reason: error.to_string(), parked, ends, log, file }
            }
        }
    }

    /// Lets a process run again that is in failsafe: a process's name, or a task's.
    pub(super) fn clear(&mut self, name: &TaskName) -> Result<Done, Refusal> {
        let mut names = self.processes_of(name);
        names.push(name.clone());
        names.dedup();
        let mut cleared = Vec::new();
        for process in names {
            let file = HostFiles::new(&self.state_dir, &process).failsafe();
            match std::fs::remove_file(&file) {
                Ok(()) => cleared.push(process),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&file, &error)),
            }
        }
        if cleared.is_empty() {
            let known = self.placement.by_task.contains_key(name) || pool_of(name).is_some();
            let kind = if known { RefusalKind::Conflict } else { RefusalKind::NotFound };
            return Err(Refusal::new(kind, format!("{name} is not in failsafe")));
        }
        for process in &cleared {
            self.note(Some(process), What::Cleared, "by a command");
        }
        let names: Vec<_> = cleared.iter().map(TaskName::as_str).collect();
        Ok(done(format!("{} is cleared and runs again", names.join(", "))))
    }
}

pub(super) fn done(text: String) -> Done {
    Done { text }
}

/// A file refuses.
pub(super) fn failed(path: &std::path::Path, error: &std::io::Error) -> Refusal {
    Refusal::new(RefusalKind::Failed, format!("{}: {error}", path.display()))
}
