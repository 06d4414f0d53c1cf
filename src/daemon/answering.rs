//! Answers calls, one at a time; what takes long is done elsewhere and answered from there.

use tokio::sync::oneshot;

use super::error::DaemonError;
use super::events::Ending;
use super::owed::Change;
use super::reload::{Daemon, Externals};
use super::reports::{EventReport, EventsReport, LogSource, Outcome, PlanReport, ReloadReport};
use super::requests::{Answer, Call, Refusal, RefusalKind, Request};
use super::stated;
use super::status::utc;
use super::steering::done;
use crate::config::Plan;
use crate::name::TaskName;
use crate::process::HostFiles;
use crate::supervisor::{Event, What};
use crate::task::Place;

type Reply = oneshot::Sender<Result<Answer, Refusal>>;

impl Daemon {
    /// Does what a call asks, and answers it. Some: the daemon ends.
    pub(super) async fn answer(&mut self, call: Call) -> Option<Ending> {
        let Call { request, by, answer } = call;
        self.by = Some(by.to_string());
        let ending = self.answer_by(request, answer).await;
        self.by = None;
        ending
    }

    async fn answer_by(&mut self, request: Request, reply: Reply) -> Option<Ending> {
        let answer = match request {
            Request::Status => return self.status_later(reply),
            Request::TaskStatus(task) => return self.task_status_later(&task, reply),
            Request::ShowState(task) => return self.show_state_later(task, reply),
            Request::SetState { task, state } => return self.set_state_later(task, state, reply),
            Request::StopAll => {
                tracing::info!("all tasks and the daemon end, asked by {}", self.by.as_deref().unwrap_or("somebody"));
                send(reply, Ok(Answer::Done(done("all tasks and the daemon are ending".to_owned()))));
                return Some(Ending::Asked(Externals::End));
            }
            Request::Reload { dry_run } => self.reload_now(dry_run).await.map(Answer::Reload),
            Request::Failsafes => self.failsafes().map(Answer::Failsafes),
            Request::ClearFailsafe(name) => self.clear(&name).map(Answer::Done),
            Request::Start(task) => self.start_task(&task).await.map(Answer::Done),
            Request::Stop(task) => self.stop_task(&task).await.map(Answer::Done),
            Request::Restart(task) => self.restart_task(&task).await.map(Answer::Done),
            Request::Migrate { task, external } => self.migrate(&task, external).await.map(Answer::Done),
            Request::Events { after, task } => Ok(Answer::Events(self.events(after, task.as_ref()))),
            Request::LogSource(task) => self.log_source(&task).map(Answer::LogSource),
        };
        send(reply, answer);
        None
    }

    fn status_later(&self, reply: Reply) -> Option<Ending> {
        let known = self.known(None);
        aside(reply, move || Ok(Answer::Status(Box::new(known.look()))));
        None
    }

    fn task_status_later(&self, task: &TaskName, reply: Reply) -> Option<Ending> {
        if let Err(refusal) = self.known_task(task) {
            send(reply, Err(refusal));
            return None;
        }
        let (known, task) = (self.known(Some(task)), task.clone());
        aside(reply, move || {
            let found = known.look().tasks.into_iter().next();
            let gone = || Refusal::new(RefusalKind::NotFound, format!("there is no task {task}"));
            found.map(|status| Answer::TaskStatus(Box::new(status))).ok_or_else(gone)
        });
        None
    }

    fn show_state_later(&self, task: TaskName, reply: Reply) -> Option<Ending> {
        match self.stateful(&task) {
            Ok(_) => {
                let state_dir = self.state_dir.clone();
                aside(reply, move || stated::show(&state_dir, &task).map(Answer::State));
            }
            Err(refusal) => send(reply, Err(refusal)),
        }
        None
    }

    fn set_state_later(&self, task: TaskName, state: String, reply: Reply) -> Option<Ending> {
        match self.stateful(&task) {
            Ok(kind) => {
                let (state_dir, history, by) =
                    (self.state_dir.clone(), self.supervisor.history().clone(), self.by.clone());
                aside(reply, move || {
                    let set = stated::set(&state_dir, &task, &kind, state)?;
                    history.note(Some(&task), What::StateSet, &set.text, by.as_deref());
                    Ok(Answer::Done(set))
                });
            }
            Err(refusal) => send(reply, Err(refusal)),
        }
        None
    }

    /// Reads the config file and applies it, or only says what that would change.
    async fn reload_now(&mut self, dry_run: bool) -> Result<ReloadReport, Refusal> {
        let Some(file) = &mut self.file else {
            let text = "this daemon has no config file: its config comes by message";
            return Err(Refusal::new(RefusalKind::Conflict, text));
        };
        let read = if dry_run { file.peek() } else { file.read() };
        let document = match read {
            Ok(document) => document,
            Err(error) => {
                if !dry_run {
                    self.file_refused(&error);
                }
                return Err(refusal(&error));
            }
        };
        let change = Change::File(document);
        if dry_run {
            let (overlay, document) = self.with(&change);
            let assembly = self.assemble(&overlay, document.as_ref()).map_err(|error| refusal(&error))?;
            return Ok(ReloadReport { outcome: Outcome::Planned, plan: self.plan(&assembly).1 });
        }
        match self.take(change).await {
            Ok(plan) => Ok(ReloadReport { outcome: Outcome::Applied, plan }),
            Err(error) => {
                self.refused(&error);
                Err(refusal(&error))
            }
        }
    }

    fn events(&self, after: u64, task: Option<&TaskName>) -> EventsReport {
        let (events, forgotten) = self.supervisor.history().after(after);
        let concerned = events.into_iter().filter(|event| task.is_none_or(|task| self.concerns(event, task)));
        EventsReport { events: concerned.map(event_report).collect(), forgotten }
    }

    /// An event of a process is one of its tasks.
    fn concerns(&self, event: &Event, task: &TaskName) -> bool {
        let Some(named) = &event.task else { return false };
        named == task || self.processes_of(task).contains(named)
    }

    fn log_source(&self, task: &TaskName) -> Result<LogSource, Refusal> {
        // A process has a log of its own, also one that tasks share.
        let processes = match self.known_task(task) {
            Ok(Place::Daemon) => return Ok(LogSource::Daemon),
            Ok(Place::Process(_) | Place::Pool { .. }) => self.processes_of(task),
            Err(_) if self.supervisor.views().contains_key(task) => vec![task.clone()],
            Err(refusal) => return Err(refusal),
        };
        let files = processes.iter().map(|process| HostFiles::new(&self.state_dir, process).log());
        Ok(LogSource::Files(files.collect()))
    }
}

/// Answers from a thread that may block.
fn aside(reply: Reply, work: impl FnOnce() -> Result<Answer, Refusal> + Send + 'static) {
    // It is bounded: each call is a connection, of which there is a bounded number, and it ends with the daemon.
    drop(tokio::task::spawn_blocking(move || send(reply, work())));
}

fn send(reply: Reply, answer: Result<Answer, Refusal>) {
    // Whoever has gone needs no answer.
    drop(reply.send(answer));
}

/// Why a config does not hold now.
pub(super) fn refusal(error: &DaemonError) -> Refusal {
    if error.may_pass() {
        return Refusal::new(RefusalKind::RolledBack, format!("rolled back, what runs goes on: {error}"));
    }
    let kind = match error {
        DaemonError::Config(_) | DaemonError::ConfigFile { .. } => RefusalKind::Invalid,
        _ => RefusalKind::Failed,
    };
    Refusal::new(kind, error)
}

impl PlanReport {
    /// What a plan and the tasks that move come to.
    pub(super) fn of(plan: &Plan, moved: &std::collections::BTreeSet<TaskName>) -> Self {
        let names = |tasks: &[TaskName]| tasks.iter().map(TaskName::to_string).collect();
        let stay =
            |tasks: &[TaskName]| tasks.iter().filter(|task| !moved.contains(*task)).map(TaskName::to_string).collect();
        Self {
            added: names(&plan.added),
            changed: stay(&plan.changed),
            moved: moved.iter().map(TaskName::to_string).collect(),
            removed: names(&plan.removed),
            untouched: stay(&plan.untouched),
            routes_changed: plan.router_changed,
        }
    }
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
