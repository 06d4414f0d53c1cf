//! What is answered without changing anything; also while a config is being applied, which may take half a minute.
//!
//! ```text
//!   the daemon is free ──────────────────────► Reading of what it has
//!   a config is being applied ──► Glance, made when that began ──► Reading of that copy
//! ```
//!
//! What processes do, what happened, and what queues hold is looked at anew in both cases; only what a config decides
//! is as it was before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::sync::oneshot;

use super::places::workers;
use super::reports::{EventReport, EventsReport, FailsafeReport, LogSource};
use super::requests::{Answer, Call, Refusal, RefusalKind, Request};
use super::running::Daemon;
use super::stated;
use super::status::{Known, utc};
use super::steering::failed;
use crate::config::did_you_mean;
use crate::name::TaskName;
use crate::process::{Failsafe, HostFiles};
use crate::runtime::{Registry, TaskKind};
use crate::supervisor::{Event, Standings};
use crate::task::{Place, Placement};

/// Where an answer goes.
pub(super) type Reply = oneshot::Sender<Result<Answer, Refusal>>;

/// What is looked at.
pub(super) struct Reading<'a> {
    placement: &'a Placement,
    registry: &'a Registry,
    prefixes: &'a [String],
    state_dir: &'a Path,
    standings: &'a Standings,
    missing: &'a BTreeMap<TaskName, String>,
}

/// A copy of what a daemon knows, for whoever asks while it is busy.
pub(super) struct Glance {
    known: Known,
    placement: Placement,
    stopped: BTreeSet<TaskName>,
    registry: Registry,
    prefixes: Vec<String>,
    state_dir: PathBuf,
    standings: Standings,
    missing: BTreeMap<TaskName, String>,
}

impl Daemon {
    pub(super) fn reading(&self) -> Reading<'_> {
        Reading {
            placement: &self.placement,
            registry: &self.registry,
            prefixes: &self.prefixes,
            state_dir: &self.state_dir,
            standings: &self.standings,
            missing: &self.missing,
        }
    }

    /// What others see from now on, until what is being done is done.
    pub(super) fn glance(&self) -> Glance {
        Glance {
            known: self.known(None).while_applying(SystemTime::now()),
            placement: self.placement.clone(),
            stopped: self.stopped.clone(),
            registry: self.registry.clone(),
            prefixes: self.prefixes.clone(),
            state_dir: self.state_dir.clone(),
            standings: self.standings.clone(),
            missing: self.missing.clone(),
        }
    }
}

impl Glance {
    /// Answers a call that only looks; gives back one that does more.
    pub(super) fn answer(&self, call: Call) -> Option<Call> {
        let Call { request, by, answer } = call;
        let reading = Reading {
            placement: &self.placement,
            registry: &self.registry,
            prefixes: &self.prefixes,
            state_dir: &self.state_dir,
            standings: &self.standings,
            missing: &self.missing,
        };
        let known = |one: Option<&TaskName>| {
            self.known.clone().of_now(one, &self.placement, &self.standings.views(), &self.stopped)
        };
        let more = reading.answer(request, answer, known).err();
        more.map(|(request, answer)| Call { request, by, answer })
    }
}

impl Reading<'_> {
    /// Answers what only looks; gives back what does more. `known` is what is known of all tasks, or of one.
    pub(super) fn answer(
        &self,
        request: Request,
        reply: Reply,
        known: impl FnOnce(Option<&TaskName>) -> Known,
    ) -> Result<(), (Request, Reply)> {
        match request {
            Request::Status => {
                let known = known(None);
                aside(reply, move || Ok(Answer::Status(Box::new(known.look()))));
            }
            Request::TaskStatus(task) => match self.known_task(&task) {
                Ok(_) => one_later(known(Some(&task)), task, reply),
                Err(refusal) => send(reply, Err(refusal)),
            },
            Request::ShowState(task) => match self.stateful(&task) {
                Ok(_) => {
                    let state_dir = self.state_dir.to_owned();
                    aside(reply, move || stated::show(&state_dir, &task).map(Answer::State));
                }
                Err(refusal) => send(reply, Err(refusal)),
            },
            Request::Failsafes => {
                let state_dir = self.state_dir.to_owned();
                aside(reply, move || failsafes(&state_dir).map(Answer::Failsafes));
            }
            Request::Events { after, task } => send(reply, Ok(Answer::Events(self.events(after, task.as_ref())))),
            Request::LogSource(task) => send(reply, self.log_source(&task).map(Answer::LogSource)),
            changes => return Err((changes, reply)),
        }
        Ok(())
    }

    /// Refuses a task that there is none of, or that the config names and that has no code.
    pub(super) fn known_task(&self, task: &TaskName) -> Result<&Place, Refusal> {
        let found = self.placement.by_task.get(task).map(|placed| &placed.place);
        found.ok_or_else(|| {
            if let Some(reason) = self.missing.get(task) {
                return Refusal::new(RefusalKind::NotFound, reason);
            }
            let names = self.placement.by_task.keys().map(TaskName::as_str);
            let advice = did_you_mean(task.as_str(), names).map(|name| format!("; did you mean {name}?"));
            let advice = advice.unwrap_or_default();
            Refusal::new(RefusalKind::NotFound, format!("there is no task {task}{advice}"))
        })
    }

    /// The code of a task that has state.
    pub(super) fn stateful(&self, task: &TaskName) -> Result<TaskKind, Refusal> {
        self.known_task(task)?;
        let kind = self.registry.resolve(task, self.prefixes).filter(|kind| kind.stateful);
        kind.ok_or_else(|| Refusal::new(RefusalKind::Conflict, format!("{task} is a task without state")))
    }

    fn events(&self, after: u64, task: Option<&TaskName>) -> EventsReport {
        let (events, forgotten) = self.standings.history().after(after);
        let concerned = events.into_iter().filter(|event| task.is_none_or(|task| self.concerns(event, task)));
        EventsReport { events: concerned.map(event_report).collect(), forgotten }
    }

    /// An event of a process is one of its tasks.
    fn concerns(&self, event: &Event, task: &TaskName) -> bool {
        let Some(named) = &event.task else { return false };
        named == task || processes_of(self.placement, task).contains(named)
    }

    fn log_source(&self, task: &TaskName) -> Result<LogSource, Refusal> {
        // A process has a log of its own, also one that tasks share.
        let processes = match self.known_task(task) {
            Ok(Place::Daemon) => return Ok(LogSource::Daemon),
            Ok(Place::Process(_) | Place::Pool { .. }) => processes_of(self.placement, task),
            Err(_) if self.standings.views().contains_key(task) => vec![task.clone()],
            Err(refusal) => return Err(refusal),
        };
        let files = processes.iter().map(|process| HostFiles::new(self.state_dir, process).log());
        Ok(LogSource::Files(files.collect()))
    }
}

/// The external processes that run a task.
pub(super) fn processes_of(placement: &Placement, task: &TaskName) -> Vec<TaskName> {
    match placement.by_task.get(task).map(|placed| &placed.place) {
        Some(Place::Process(process)) => vec![process.clone()],
        Some(Place::Pool { .. }) => workers(placement, task),
        Some(Place::Daemon) | None => Vec::new(),
    }
}

fn one_later(known: Known, task: TaskName, reply: Reply) {
    aside(reply, move || {
        let found = known.look().tasks.into_iter().next();
        let gone = || Refusal::new(RefusalKind::NotFound, format!("there is no task {task}"));
        found.map(|status| Answer::TaskStatus(Box::new(status))).ok_or_else(gone)
    });
}

/// Everything that is in failsafe. Blocks.
fn failsafes(state_dir: &Path) -> Result<Vec<FailsafeReport>, Refusal> {
    let entries = std::fs::read_dir(state_dir).map_err(|error| failed(state_dir, &error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names = names.filter_map(|file| TaskName::new(file.strip_suffix(".failsafe")?).ok());
    let mut names: Vec<_> = names.collect();
    names.sort();
    Ok(names.iter().filter_map(|name| failsafe_report(state_dir, name)).collect())
}

/// None where it has just been cleared.
fn failsafe_report(state_dir: &Path, name: &TaskName) -> Option<FailsafeReport> {
    let path = HostFiles::new(state_dir, name).failsafe();
    let (read, file) = (Failsafe::read(&path).transpose()?, path.display().to_string());
    let none = FailsafeReport { name: name.to_string(), file, ..FailsafeReport::default() };
    Some(match read {
        Ok(Failsafe { reason, parked, ends, log, readings, config, .. }) => {
            let (log, config) = (log.iter().map(|line| shown(line)).collect(), config.lines().map(shown).collect());
            FailsafeReport { reason: shown(&reason), parked, ends, log, readings, config, ..none }
        }
        // It parks all the same.
        Err(error) => FailsafeReport { reason: error.to_string(), ..none },
    })
}

/// A keeper knows no secrets, and one of an older program may have written some.
fn shown(text: &str) -> String {
    crate::secret::redacted(text).into_owned()
}

/// Answers from a thread that may block.
pub(super) fn aside(reply: Reply, work: impl FnOnce() -> Result<Answer, Refusal> + Send + 'static) {
    // It is bounded: each call is a connection, of which there is a bounded number, and it ends with the daemon.
    drop(tokio::task::spawn_blocking(move || send(reply, work())));
}

pub(super) fn send(reply: Reply, answer: Result<Answer, Refusal>) {
    // Whoever has gone needs no answer.
    drop(reply.send(answer));
}

fn event_report(event: Event) -> EventReport {
    EventReport {
        number: event.number,
        time: utc(event.time),
        task: event.task.map(String::from),
        what: event.what.to_string(),
        how: event.how,
        by: event.by,
    }
}
