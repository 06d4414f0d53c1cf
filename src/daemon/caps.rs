//! What a config's `limits` are to the kernel: what no task can ask for, and what cannot be had on this machine.

use std::collections::BTreeMap;
use std::path::Path;

use nix::unistd::{getegid, geteuid};

use super::assembly::Assembly;
use super::program::state_tag;
use super::running::Daemon;
use crate::config::{FrameworkKey, LimitSettings, MAIN, PathFault, ValuePath};
use crate::name::TaskName;
use crate::process::{Caps, group_number, our_process_one, user_number};
use crate::runtime::Wanted;
use crate::task::Place;
use crate::usage::{CgroupTree, Cgroups, Lacking};

/// The number of an account by its name; none where there is none of that name.
type LookUp = fn(&str) -> nix::Result<Option<u32>>;

/// The caps of a process. That its user and group can be had was checked with its config.
pub(super) fn caps(limits: &LimitSettings) -> Caps {
    let account = |name: &Option<String>, look_up| number(name.as_ref()?, look_up).ok().flatten();
    Caps {
        memory_bytes: limits.memory,
        cpu_seconds: limits.cpu_time.map(|time| time.as_secs().max(1)),
        files: limits.files.map(u64::from),
        processes: limits.processes.map(u64::from),
        file_bytes: limits.file_size,
        nice: limits.nice.map(i32::from),
        user: account(&limits.user, user_number),
        group: account(&limits.group, group_number),
        no_new_privileges: limits.no_new_privs.unwrap_or(false),
        ..Caps::default()
    }
}

fn number(name: &str, look_up: LookUp) -> nix::Result<Option<u32>> {
    name.parse().map_or_else(|_| look_up(name), |number| Ok(Some(number)))
}

/// The users and groups that entries name and that their processes cannot have here.
pub(super) fn account_faults(wanted: &BTreeMap<TaskName, Wanted>) -> Vec<PathFault> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let mut faults = Vec::new();
    for (task, wanted) in wanted {
        let limits = &wanted.framework.limits;
        let entry = ValuePath::default().key(task.as_str()).key(FrameworkKey::Limits.name());
        let mut note = |key: &str, fault: Option<(String, Option<String>)>| {
            faults.extend(fault.map(|(reason, advice)| PathFault { path: entry.clone().key(key), reason, advice }));
        };
        note("user", limits.user.as_ref().and_then(|name| user_fault(name, user)));
        note("group", limits.group.as_ref().and_then(|name| group_fault(name, user, group)));
    }
    faults
}

fn user_fault(name: &str, own: u32) -> Option<(String, Option<String>)> {
    match number(name, user_number) {
        Ok(Some(user)) if own == 0 || user == own => None,
        Ok(Some(_)) => {
            let reason = format!("only root can run a task as another user than itself, which is {own}");
            let advice = format!("run it in a daemon of its own that is started as {name}, with another -s");
            Some((reason, Some(advice)))
        }
        Ok(None) => Some((format!("there is no user {name}"), None)),
        Err(errno) => Some((format!("the user {name} cannot be looked up: {}", errno.desc()), None)),
    }
}

fn group_fault(name: &str, user: u32, own: u32) -> Option<(String, Option<String>)> {
    match number(name, group_number) {
        Ok(Some(group)) if user == 0 || group == own => None,
        Ok(Some(_)) => Some((format!("only root can run a task in another group than its own, which is {own}"), None)),
        Ok(None) => Some((format!("there is no group {name}"), None)),
        Err(errno) => Some((format!("the group {name} cannot be looked up: {}", errno.desc()), None)),
    }
}

/// Enters the part of the cgroup tree that is delegated to us, if one is. Beside it stands what cannot be had.
pub(super) fn enter_cgroups(tree: &CgroupTree, state_dir: &Path) -> (Option<Cgroups>, Vec<Lacking>) {
    let ours: Vec<u32> = [Some(std::process::id()), our_process_one()].into_iter().flatten().collect();
    match Cgroups::enter(tree, &state_tag(state_dir), &ours) {
        Ok((cgroups, lacking)) => (Some(cgroups), lacking),
        Err(lacking) => (None, vec![lacking]),
    }
}

impl Daemon {
    /// Says what of the limits of `assembly` this machine does not enforce: once each, where something asks for it.
    pub(super) fn tell_lacking(&mut self, assembly: &Assembly) {
        for (process, text) in lacking(&limits(assembly), &self.no_cgroups, geteuid().as_raw()) {
            if self.lacking.insert((process.clone(), text.clone())) {
                let whose = if process == MAIN { String::new() } else { format!("{process}: ") };
                tracing::error!(task = process, "{whose}a limit is not enforced here: {text}");
            }
        }
    }
}

/// What each external process may use up, by its name; the workers of a pool by that of the pool.
fn limits(assembly: &Assembly) -> BTreeMap<&str, &LimitSettings> {
    let of_processes = assembly.placement.processes.iter().map(|(name, process)| (name.as_str(), &process.limits));
    let is_pool = |name: &TaskName| {
        assembly.placement.by_task.get(name).is_some_and(|placed| matches!(placed.place, Place::Pool { .. }))
    };
    let pools = assembly.wanted.iter().filter(|(name, _)| is_pool(name));
    of_processes.chain(pools.map(|(name, task)| (name.as_str(), &task.framework.limits))).collect()
}

/// What this machine does not enforce of `limits` for a daemon of user `own`, each with the process that it is about;
/// what is about the machine comes once, with the daemon's name.
fn lacking(limits: &BTreeMap<&str, &LimitSettings>, no_cgroups: &[Lacking], own: u32) -> Vec<(String, String)> {
    let processes_by_cgroup = !no_cgroups.iter().any(Lacking::lacks_processes);
    let asks = |of: fn(&LimitSettings) -> bool| limits.values().any(|limits| of(limits));
    let (memory, processes) = (asks(|limits| limits.memory.is_some()), asks(|limits| limits.processes.is_some()));
    let is_missed = |one: &&Lacking| (memory && one.lacks_memory()) || (processes && one.lacks_processes());
    let of_machine = no_cgroups.iter().filter(is_missed).map(|one| (MAIN.to_owned(), one.to_string()));
    let of_processes = limits.iter().flat_map(|(process, limits)| {
        let lacking = Caps { processes_by_cgroup, ..caps(limits) }.lacking(own);
        lacking.into_iter().map(|one| ((*process).to_owned(), one.to_string()))
    });
    of_machine.chain(of_processes).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn limits_are_told_to_the_kernel_in_its_units() {
        let limits = LimitSettings {
            memory: Some(64 << 20),
            cpu_time: Some(Duration::from_millis(1500)),
            user: Some("0".to_owned()),
            no_new_privs: Some(true),
            ..LimitSettings::default()
        };
        let caps = caps(&limits);
        assert_eq!((caps.memory_bytes, caps.cpu_seconds, caps.user), (Some(64 << 20), Some(1), Some(0)));
        assert!(caps.no_new_privileges);
    }

    #[test]
    fn root_can_have_other_users_and_groups_and_nobody_else_can() {
        let check = |fault: Option<(String, Option<String>)>, expected: Option<&str>| match (fault, expected) {
            (None, None) => {}
            (Some((reason, _)), Some(part)) => assert!(reason.contains(part), "{reason}"),
            (fault, expected) => panic!("{fault:?} is not {expected:?}"),
        };
        check(user_fault("root", 0), None);
        check(user_fault("1000", 1000), None);
        check(user_fault("1000", 0), None);
        check(user_fault("root", 1000), Some("only root can run a task as another user than itself, which is 1000"));
        check(user_fault("nobody-of-that-name", 0), Some("there is no user nobody-of-that-name"));
        check(group_fault("4711", 0, 0), None);
        check(group_fault("4711", 1000, 4711), None);
        check(group_fault("4711", 1000, 1000), Some("only root"));
        check(group_fault("none-of-that-name", 0, 0), Some("there is no group"));
    }

    #[test]
    fn what_is_lacking_is_told_of_the_machine_once_and_only_where_it_is_asked_for() {
        let memory = LimitSettings { memory: Some(64 << 20), ..LimitSettings::default() };
        let processes = LimitSettings { processes: Some(64), ..LimitSettings::default() };
        let pids = Lacking::NoController { controller: "pids", bounded: "processes" };
        let none = LimitSettings::default();
        let check = |limits: [&LimitSettings; 2], no_cgroups: &[Lacking], own, expected: &[(&str, &str)]| {
            let told = lacking(&BTreeMap::from([("A", limits[0]), ("B", limits[1])]), no_cgroups, own);
            assert_eq!(told.len(), expected.len(), "{told:?}");
            for ((process, text), (name, part)) in told.iter().zip(expected) {
                assert!(process == name && text.contains(part), "{told:?}");
            }
        };
        check([&none, &none], &[Lacking::NoTree], 0, &[]);
        check([&memory, &memory], &[Lacking::NoTree], 0, &[(MAIN, "no cgroup v2")]);
        check([&memory, &none], std::slice::from_ref(&pids), 0, &[]);
        check([&memory, &processes], &[], 0, &[]);
        check([&memory, &processes], &[pids], 0, &[(MAIN, "pids is missing"), ("B", "every user but root")]);
        check([&none, &processes], &[Lacking::NoTree], 1000, &[(MAIN, "no cgroup v2")]);
    }
}
