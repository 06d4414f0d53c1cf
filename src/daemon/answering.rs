//! Answers calls, one at a time; those that only look are `reading`.

use super::error::DaemonError;
use super::events::Ending;
use super::owed::Change;
use super::reading::{Reply, aside, send};
use super::reports::{Outcome, PlanReport, ReloadReport};
use super::requests::{Answer, Call, Refusal, RefusalKind, Request};
use super::running::{Daemon, Externals};
use super::stated;
use super::steering::done;
use crate::config::Plan;
use crate::name::TaskName;
use crate::supervisor::What;

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
        let looked = self.reading().answer(request, reply, |one| self.known(one));
        let Err((request, reply)) = looked else { return None };
        let answer = match request {
            Request::SetState { task, state } => return self.set_state_later(task, state, reply),
            Request::StopAll => {
                tracing::info!("all tasks and the daemon end, asked by {}", self.by.as_deref().unwrap_or("somebody"));
                send(reply, Ok(Answer::Done(done("all tasks and the daemon are ending".to_owned()))));
                return Some(Ending::Asked(Externals::End));
            }
            Request::Reload { dry_run } => self.reload_now(dry_run).await.map(Answer::Reload),
            Request::ClearFailsafe(name) => self.clear(&name).map(Answer::Done),
            Request::Start(task) => self.start_task(&task).await.map(Answer::Done),
            Request::Stop(task) => self.stop_task(&task).await.map(Answer::Done),
            Request::Restart(task) => self.restart_task(&task).await.map(Answer::Done),
            Request::Migrate { task, external } => self.migrate(&task, external).await.map(Answer::Done),
            // What only looks is answered by now.
            looks => unreachable!("{looks:?} is answered by `Reading`"),
        };
        send(reply, answer);
        None
    }

    fn set_state_later(&self, task: TaskName, state: String, reply: Reply) -> Option<Ending> {
        match self.reading().stateful(&task) {
            Ok(kind) => {
                let (state_dir, history, by) =
                    (self.state_dir.clone(), self.supervisor.history().clone(), self.by.clone());
                aside(reply, move || {
                    let set = stated::set(&state_dir, &task, &kind, state)?;
                    history.note(Some(&task), What::StateSet, "while it was stopped", by.as_deref());
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
            // Also one that ran without an entry and gets one.
            added: stay(&plan.added),
            changed: stay(&plan.changed),
            moved: moved.iter().map(TaskName::to_string).collect(),
            removed: names(&plan.removed),
            untouched: stay(&plan.untouched),
            routes_changed: plan.router_changed,
            thresholds_changed: plan.monitoring_changed,
            channels_changed: plan.channels_changed,
        }
    }
}
