//! A renewal that was asked for: which processes it means.

use super::running::Daemon;
use crate::name::TaskName;
use crate::task::{Place, pool_of};

impl Daemon {
    /// Renews the external processes that run another program than this daemon, one after another: all, or those of
    /// `task`, which may be the name of a process too.
    pub(super) fn renew(&self, task: Option<&TaskName>) {
        let Some(task) = task else {
            if !self.supervisor.renew(|_| true) {
                tracing::info!("nothing is renewed: there are no external processes");
            }
            return;
        };
        let found = match self.placement.by_task.get(task).map(|placed| &placed.place) {
            Some(Place::Process(process)) => self.supervisor.renew(|name| name == process),
            Some(Place::Pool { .. }) => {
                self.supervisor.renew(|name| pool_of(name).is_some_and(|(pool, _)| pool == *task))
            }
            Some(Place::Daemon) | None => self.supervisor.renew(|name| name == task),
        };
        if !found {
            let task_field = task.as_str();
            tracing::error!(task = task_field, "{task} is not renewed: it has no external process");
        }
    }
}
