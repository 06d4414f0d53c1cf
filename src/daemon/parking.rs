//! Which queues nobody will read for now: those of tasks that are parked, or were removed from the config.
//!
//! Such a queue does not block its senders: what does not fit goes to `dead`, unless the user wrote `overflow: block`.

use std::collections::BTreeSet;

use super::places::workers;
use super::running::Daemon;
use crate::config::Overflow;
use crate::name::TaskName;
use crate::task::Placement;

impl Daemon {
    /// Tells the queues of tasks that nobody reads any more, and of those that somebody reads again.
    pub(super) fn park_queues(&mut self) {
        let unread = self.unread();
        let changed: Vec<_> = unread.symmetric_difference(&self.unread).cloned().collect();
        for task in changed {
            if let Err(error) = self.transit.set_parked(&task.queue(), unread.contains(&task)) {
                tracing::error!("{error}");
            }
        }
        self.unread = unread;
    }

    /// The queues of tasks that are on their way out are told that nobody reads them from now on. They keep that
    /// themselves, until a task of that name comes again: names of what ever was are not kept here.
    pub(super) fn removed(&mut self, new: &Placement) {
        self.stopped.retain(|task| new.by_task.contains_key(task));
        let (old, new) = (&self.placement.by_task, &new.by_task);
        let come: Vec<_> = new.keys().filter(|task| !old.contains_key(*task)).cloned().collect();
        for task in old.keys().filter(|task| !new.contains_key(*task)) {
            self.unread.remove(task);
            if let Err(error) = self.transit.set_parked(&task.queue(), true) {
                tracing::error!("{error}");
            }
        }
        self.suspect_queues(come.into_iter());
    }

    /// What somebody may have said before of the queues of these tasks is looked at anew.
    pub(super) fn suspect_queues(&mut self, tasks: impl Iterator<Item = TaskName>) {
        let exists = |task: &TaskName| self.transit.settings(&task.queue()).ok().flatten().is_some();
        self.unread.extend(tasks.filter(exists));
    }

    fn unread(&self) -> BTreeSet<TaskName> {
        let processes = self.supervisor.parked();
        let tasks = processes.iter().flat_map(|process| self.placement.tasks_of(process));
        // A pool is read as long as one of its workers runs.
        let parked = tasks.filter(|task| workers(&self.placement, task).iter().all(|one| processes.contains(one)));
        let stopped = self.watching.stopped.iter().cloned();
        parked.chain(stopped).filter(|task| !self.blocks(task)).collect()
    }

    /// Whether the user wants senders to wait, whatever becomes of the task.
    fn blocks(&self, task: &TaskName) -> bool {
        let entry = self.config.tasks.get(task);
        entry.is_some_and(|entry| entry.framework.queue.overflow == Some(Overflow::Block))
    }
}
