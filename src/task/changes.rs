//! What leads from one placement to another.

use std::collections::{BTreeMap, BTreeSet};

use super::placement::{Placed, Placement, Process};
use crate::config::{LimitSettings, RestartSettings};
use crate::name::TaskName;

/// The difference between two placements: what is named in none of its parts is the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The tasks that come, go, or get another place (or another number of workers).
    pub moved: BTreeMap<TaskName, Move>,
    /// The processes that only the new placement has.
    pub new: BTreeMap<TaskName, Process>,
    /// The processes that only the old placement has.
    pub gone: BTreeSet<TaskName>,
    /// The processes that both have, and that differ.
    pub changed: BTreeMap<TaskName, ProcessChange>,
}

/// From where to where a task goes; the two differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Where it was; none if it is new.
    pub from: Option<Placed>,
    /// Where it will be; none if it goes.
    pub to: Option<Placed>,
}

/// How a process that stays differs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessChange {
    /// The tasks that it did not have.
    pub joined: BTreeSet<TaskName>,
    /// The tasks that it has no more.
    pub left: BTreeSet<TaskName>,
    /// When it is started again from now on, if that differs.
    pub restart: Option<RestartSettings>,
    /// What it may use up from now on, if that differs.
    pub limits: Option<LimitSettings>,
}

impl Changes {
    pub(super) fn between(old: &Placement, new: &Placement) -> Self {
        let names: BTreeSet<_> = old.by_task.keys().chain(new.by_task.keys()).collect();
        let moves = names.into_iter().filter_map(|name| {
            let (from, to) = (old.by_task.get(name), new.by_task.get(name));
            (from != to).then(|| (name.clone(), Move { from: from.cloned(), to: to.cloned() }))
        });
        let added = new.processes.iter().filter(|(name, _)| !old.processes.contains_key(*name));
        let gone = old.processes.keys().filter(|name| !new.processes.contains_key(*name));
        let changed = new.processes.iter().filter_map(|(name, process)| {
            Some((name.clone(), ProcessChange::between(old.processes.get(name)?, process)?))
        });
        Self {
            moved: moves.collect(),
            new: added.map(|(name, process)| (name.clone(), process.clone())).collect(),
            gone: gone.cloned().collect(),
            changed: changed.collect(),
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ProcessChange {
    fn between(old: &Process, new: &Process) -> Option<Self> {
        (old != new).then(|| Self {
            joined: new.tasks.difference(&old.tasks).cloned().collect(),
            left: old.tasks.difference(&new.tasks).cloned().collect(),
            restart: (old.restart != new.restart).then_some(new.restart),
            limits: (old.limits != new.limits).then(|| new.limits.clone()),
        })
    }
}
