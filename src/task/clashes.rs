//! What contradicts itself only when tasks are seen together.

use std::collections::BTreeMap;

use super::place::{Place, at, pool_of};
use super::placement::{Candidate, Placed, Placement};
use crate::config::{Framework, FrameworkKey, PathFault, ValuePath};
use crate::name::TaskName;

/// All of it; paths begin at the config's root.
pub(super) fn faults(placement: &Placement, tasks: &BTreeMap<TaskName, Candidate<'_>>) -> Vec<PathFault> {
    let mut faults = Vec::new();
    for (name, placed) in &placement.by_task {
        let found = [taken_by_task(placement, placed), taken_by_pool(placement, name, placed)];
        let entry = ValuePath::default().key(name.as_str());
        let at_entry = |fault: PathFault| PathFault { path: fault.path.below(&entry), ..fault };
        faults.extend(found.into_iter().flatten().map(at_entry));
    }
    for process in placement.processes.values() {
        let names = || process.tasks.iter();
        faults.extend(different(names(), tasks, FrameworkKey::Restart, |framework| &framework.restart));
        faults.extend(different(names(), tasks, FrameworkKey::Limits, |framework| &framework.limits));
    }
    faults
}

/// `ingest` for a process, while a task `ingest` runs elsewhere.
fn taken_by_task(placement: &Placement, placed: &Placed) -> Option<PathFault> {
    let Place::Process(process) = &placed.place else { return None };
    let other = placement.by_task.get(process).filter(|other| other.place != placed.place)?;
    let reason = format!("process {process:?} has the name of task {process}, which runs in {}", other.place);
    // A task in the process of its own name is no other: so this one names the process by `process`.
    let advice = format!("name it otherwise, or write process: {:?} for task {process} too", process.as_str());
    Some(at(Some(FrameworkKey::Process), reason, &advice))
}

/// `resize.3` for a process or a task, while `resize` is a pool: it is the name of a worker, and of its queue.
fn taken_by_pool(placement: &Placement, name: &TaskName, placed: &Placed) -> Option<PathFault> {
    let pool = |name: &TaskName| pool_of(name).map(|(pool, _)| pool).filter(|pool| placement.is_pool(pool));
    if let Some(pool) = pool(name) {
        let reason = format!("{name:?} is the name of a worker: task {pool} is a pool");
        return Some(at(None, reason, "give the task another name"));
    }
    let Place::Process(process) = &placed.place else { return None };
    let reason = format!("{process:?} is the name of a worker: task {} is a pool", pool(process)?);
    Some(at(Some(FrameworkKey::Process), reason, "name the process otherwise"))
}

/// Of the tasks of one process only those that say something below `key` are asked.
fn different<'a, T: PartialEq + Default + 'a>(
    names: impl Iterator<Item = &'a TaskName>,
    tasks: &'a BTreeMap<TaskName, Candidate<'_>>,
    key: FrameworkKey,
    setting: impl Fn(&'a Framework) -> &'a T,
) -> Vec<PathFault> {
    let said = names.filter_map(|name| Some((name, setting(tasks.get(name)?.framework))));
    let mut said = said.filter(|(_, said)| **said != T::default());
    let Some((first, expected)) = said.next() else { return Vec::new() };
    let differing = said.filter(|(_, other)| *other != expected);
    let fault = |(name, _): (&TaskName, _)| {
        let reason = format!("task {first} runs in the same process and says something else");
        let fault = at(Some(key), reason, "write the same for both, or write it once");
        PathFault { path: fault.path.below(&ValuePath::default().key(name.as_str())), ..fault }
    };
    differing.map(fault).collect()
}
