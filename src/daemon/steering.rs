//! What a person does to one task: start, stop, restart, migrate, clear.
//!
//! A stopped task stays in the config and in its place, and runs nowhere; its queue goes on taking messages. It is
//! started by a person, or by the next start of the daemon.

use std::collections::BTreeSet;

use super::owed::Change;
use super::reading::processes_of;
use super::reports::Done;
use super::requests::{Refusal, RefusalKind};
use super::running::Daemon;
use crate::config::FrameworkKey;
use crate::name::TaskName;
use crate::process::HostFiles;
use crate::supervisor::{Standing, What};
use crate::task::{Place, pool_of};
use crate::value::{Map, Value};

impl Daemon {
    /// Where a task is; one that there is none of is refused.
    fn place_of(&self, task: &TaskName) -> Result<Place, Refusal> {
        self.reading().known_task(task).cloned()
    }

    /// Ends a task until it is started.
    pub(super) async fn stop_task(&mut self, task: &TaskName) -> Result<Done, Refusal> {
        self.place_of(task)?;
        if self.stopped.contains(task) {
            return Ok(done(format!("{task} is stopped already")));
        }
        self.halt(task).await?;
        self.note(Some(task), What::Stopped, "until it is started");
        Ok(done(format!("{task} is stopped; its queue goes on taking messages")))
    }

    /// Lets a task run that is stopped, or has ended by its policy.
    pub(super) async fn start_task(&mut self, task: &TaskName) -> Result<Done, Refusal> {
        let place = self.place_of(task)?;
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
        self.place_of(task)?;
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
        let places = processes_of(&self.placement, task).into_iter().chain([task.clone()]);
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
            Place::Pool { .. } => processes_of(&self.placement, task).iter().any(ended),
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
        match (self.place_of(task)?, external) {
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
        let change = Change::Message(entries);
        self.replace(&change).await.map_err(|error| super::answering::refusal(&error))?;
        self.owed.is_outdated_by(&change);
        Ok(done(format!("{task} is {word} now, until the config file says something else of it")))
    }

    /// Lets a process run again that is in failsafe: a process's name, or a task's.
    pub(super) fn clear(&mut self, name: &TaskName) -> Result<Done, Refusal> {
        let mut names = processes_of(&self.placement, name);
        names.push(name.clone());
        names.dedup();
        let mut cleared = Vec::new();
        for process in names {
            let file = HostFiles::new(&self.state_dir, &process).failsafe();
            let was_unwritten = self.watching.unwritten.remove(&process).is_some();
            match std::fs::remove_file(&file) {
                Ok(()) => cleared.push(process),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    cleared.extend(was_unwritten.then_some(process))
                }
                Err(error) => return Err(failed(&file, &error)),
            }
        }
        if cleared.is_empty() {
            let known = self.placement.by_task.contains_key(name) || pool_of(name).is_some();
            let kind = if known { RefusalKind::Conflict } else { RefusalKind::NotFound };
            return Err(Refusal::new(kind, format!("{name} is not in failsafe")));
        }
        for process in &cleared {
            self.note(Some(process), What::Cleared, "its file is removed");
        }
        let names: Vec<_> = cleared.iter().map(TaskName::as_str).collect();
        // A person has stopped it besides.
        let outlook = match self.stopped.contains(name) {
            true => format!("stays stopped; `multimodule start {name}` lets it run"),
            false => "runs again".to_owned(),
        };
        Ok(done(format!("{} is cleared and {outlook}", names.join(", "))))
    }
}

pub(super) fn done(text: String) -> Done {
    Done { text }
}

/// A file refuses.
pub(super) fn failed(path: &std::path::Path, error: &std::io::Error) -> Refusal {
    Refusal::new(RefusalKind::Failed, format!("{}: {error}", path.display()))
}
