//! Where all tasks run, together.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{Nature, Place, place, pool_of};
use super::{Changes, clashes};
use crate::config::{Framework, LimitSettings, PathFault, RestartSettings, ValuePath};
use crate::name::TaskName;

/// A task that wants a place.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What its entry says.
    pub framework: &'a Framework,
    /// What its code says.
    pub nature: Nature,
}

/// A task in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where its home is.
    pub place: Place,
    /// What its code says.
    pub nature: Nature,
}

/// An external process that tasks name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// The tasks whose home it is; at least one.
    pub tasks: BTreeSet<TaskName>,
    /// When it is started again: what those of its tasks say that say something.
    pub restart: RestartSettings,
    /// What it may use up: what those of its tasks say that say something.
    pub limits: LimitSettings,
}

/// Where each task is at home, and which external processes that takes.
///
/// Invariant: the tasks of each process are those that are placed in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// The tasks.
    pub by_task: BTreeMap<TaskName, Placed>,
    /// The processes by name. Those of pools stand with their tasks, for the number of processors may say how many
    /// they are; their `restart` and `limits` are in the task's own settings.
    pub processes: BTreeMap<TaskName, Process>,
}

impl Placement {
    /// Where each of `tasks` runs.
    ///
    /// # Errors
    /// All contradictions, those within a task's settings and those between tasks; paths begin at the config's root.
    pub fn of(tasks: &BTreeMap<TaskName, Candidate<'_>>) -> Result<Self, Vec<PathFault>> {
        let mut placement = Self::default();
        let mut faults = Vec::new();
        for (name, candidate) in tasks {
            match place(name, candidate.framework, candidate.nature) {
                Ok(place) => placement.put(name, Placed { place, nature: candidate.nature }, candidate.framework),
                Err(found) => {
                    let entry = ValuePath::default().key(name.as_str());
                    faults.extend(found.into_iter().map(|f| PathFault { path: f.path.below(&entry), ..f }));
                }
            }
        }
        faults.extend(clashes::faults(&placement, tasks));
        if faults.is_empty() { Ok(placement) } else { Err(faults) }
    }

    fn put(&mut self, name: &TaskName, placed: Placed, framework: &Framework) {
        if let Place::Process(process) = &placed.place {
            let process = self.processes.entry(process.clone()).or_default();
            process.tasks.insert(name.clone());
            if process.restart == RestartSettings::default() {
                process.restart = framework.restart;
            }
            if process.limits == LimitSettings::default() {
                process.limits = framework.limits.clone();
            }
        }
        self.by_task.insert(name.clone(), placed);
    }

    /// What leads from this placement to `new`.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Changes {
        Changes::between(self, new)
    }

    /// The tasks whose home the process `name` is; none if there is no such process. A pool's worker, `TASK.k`, is one
    /// whatever its number: how many a pool has is not known here.
    #[must_use]
    pub fn tasks_of(&self, name: &TaskName) -> BTreeSet<TaskName> {
        if let Some(process) = self.processes.get(name) {
            return process.tasks.clone();
        }
        pool_of(name).map(|(pool, _)| pool).filter(|pool| self.is_pool(pool)).into_iter().collect()
    }

    /// Whether `task` is a pool.
    #[must_use]
    pub fn is_pool(&self, task: &TaskName) -> bool {
        matches!(self.by_task.get(task), Some(Placed { place: Place::Pool { .. }, .. }))
    }

    /// Whether every process other than its home has a copy of `task`, workers of pools included: a task without state
    /// has, whose home is the daemon and of which there may be several.
    #[must_use]
    pub fn is_copied(&self, task: &TaskName) -> bool {
        let placed = self.by_task.get(task);
        placed.is_some_and(|Placed { place, nature }| *place == Place::Daemon && !nature.stateful && !nature.single)
    }

    /// The external processes that have a copy of `task`, beside its home; workers of pools are not among
    /// [`Placement::processes`] and so not among these, see [`Placement::is_copied`].
    pub fn copies(&self, task: &TaskName) -> impl Iterator<Item = &TaskName> {
        let copied = self.is_copied(task);
        self.processes.keys().filter(move |_| copied)
    }
}
