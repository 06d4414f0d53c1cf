//! Changed caps of processes that run.
//!
//! Each process is held by a verified handle while its limits are set. The calls themselves take a pid: to meet another
//! process they would have to find this one ended and waited for, and its number given away, since the handle was
//! verified, which is microseconds.
#![expect(unsafe_code, reason = "prlimit, getpriority and setpriority have no safe interface")]

use nix::errno::Errno;
use nix::sys::resource::Resource;

use super::family::{Look, processes_below};
use super::{Caps, HostRecord, Pidfd, PidfdError, ProcessIdentity, is_no_keeper};

/// Gives the host of `record`, and all that it has started, the caps `new` instead of `old`. A cap that is gone becomes
/// what the keeper has. What comes back holds only from the host's next start, each with the reason.
///
/// # Errors
/// [`PidfdError`]: `/proc` does not tell, or there are no handles to be had.
pub fn change_caps(record: &HostRecord, old: &Caps, new: &Caps) -> Result<Vec<String>, PidfdError> {
    let changes = Changes::between(old, new);
    let mut later = changes.later.clone();
    if changes.is_none() {
        return Ok(later);
    }
    let keeper = record.keeper_identity();
    // Below another program that its record calls its keeper is not what it has started.
    let usual = Pidfd::open(&keeper)?.filter(|_| !is_no_keeper(record));
    // Who has lost its keeper has at least its own children.
    let root = if usual.is_some() { keeper } else { record.host_identity() };
    let mut processes = processes_below(&root, Look::Quick)?;
    if usual.is_none() {
        processes.push(root.clone());
    }
    let uncapped = if usual.is_some() { root.pid } else { std::process::id() };
    for process in processes {
        let Some(handle) = Pidfd::open(&process)? else { continue };
        for (what, errno) in changes.apply(&process, uncapped) {
            // The end of a process may come first.
            let lives = !handle.wait(std::time::Duration::ZERO).unwrap_or(true);
            let text = format!("{what} ({})", errno.desc());
            if lives && !later.contains(&text) {
                later.push(text);
            }
        }
    }
    Ok(later)
}

/// What differs between two sets of caps.
struct Changes {
    limits: Vec<(Resource, Option<u64>, u64, &'static str)>,
    /// The new niceness, if it changes; none within is the keeper's.
    nice: Option<Option<i32>>,
    /// What cannot change while a program runs.
    later: Vec<String>,
}

impl Changes {
    fn between(old: &Caps, new: &Caps) -> Self {
        // Who runs stays in the cgroup where it is, or in none, and is bounded as it is there.
        let same_cgroup = old.cgroup == new.cgroup;
        let by_cgroup = if same_cgroup { new.processes_by_cgroup } else { old.processes_by_cgroup };
        let now = Caps { processes_by_cgroup: by_cgroup, ..new.clone() };
        let both = old.limits().into_iter().zip(now.limits());
        let limits = both.filter(|(old, new)| old.1 != new.1).map(|(_, new)| new).collect();
        let whole = new.memory_bytes.is_some() || new.processes.is_some();
        let fixed = [
            (old.user != new.user, "user"),
            (old.group != new.group, "group"),
            (old.no_new_privileges != new.no_new_privileges, "no_new_privs"),
            (whole && !same_cgroup, "memory and processes of the whole task"),
        ];
        let later = fixed.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what.to_owned()).collect();
        Self { limits, nice: (old.nice != new.nice).then_some(new.nice), later }
    }

    fn is_none(&self) -> bool {
        self.limits.is_empty() && self.nice.is_none()
    }

    /// What cannot be changed of `process`, and why.
    fn apply(&self, process: &ProcessIdentity, uncapped: u32) -> Vec<(&'static str, Errno)> {
        let mut refused = Vec::new();
        for (resource, limit, grace, what) in &self.limits {
            let set = limits_of(uncapped, *resource).and_then(|usual| {
                let most = |limit: u64| limit.min(usual.rlim_max);
                let limits = limit.map_or(usual, |limit| libc::rlimit {
                    rlim_cur: most(limit),
                    rlim_max: most(limit.saturating_add(*grace)),
                });
                set_limits_of(process.pid, *resource, &limits)
            });
            refused.extend(set.err().map(|errno| (*what, errno)));
        }
        if let Some(nice) = self.nice {
            let set = nice.map_or_else(|| niceness_of(uncapped), Ok).and_then(|nice| set_niceness(process.pid, nice));
            refused.extend(set.err().map(|errno| ("nice", errno)));
        }
        refused
    }
}

fn limits_of(pid: u32, resource: Resource) -> nix::Result<libc::rlimit> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one such structure where the last pointer points, and reads none.
    let result = unsafe { libc::prlimit(number(pid), resource as _, std::ptr::null(), &raw mut limits) };
    Errno::result(result).map(|_| limits)
}

fn set_limits_of(pid: u32, resource: Resource, limits: &libc::rlimit) -> nix::Result<()> {
    // SAFETY: the kernel reads one such structure, which is borrowed for that long, and writes none.
    let result = unsafe { libc::prlimit(number(pid), resource as _, limits, std::ptr::null_mut()) };
    Errno::result(result).map(drop)
}

fn niceness_of(pid: u32) -> nix::Result<i32> {
    Errno::clear();
    // SAFETY: the arguments are numbers.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, pid) };
    // -1 is a niceness too.
    if nice == -1 && Errno::last_raw() != 0 { Err(Errno::last()) } else { Ok(nice) }
}

/// Each thread has its own; those that are made later have their maker's.
fn set_niceness(pid: u32, nice: i32) -> nix::Result<()> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Err(Errno::ESRCH) };
    let threads = threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse::<u32>().ok());
    for thread in threads {
        // SAFETY: the arguments are numbers.
        match Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, nice) }) {
            // It has ended since.
            Ok(_) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn number(pid: u32) -> libc::pid_t {
    // What is no pid is nobody's.
    libc::pid_t::try_from(pid).unwrap_or(libc::pid_t::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::super::{Nonce, ProcessRef};
    use super::*;

    /// The record of a child whose keeper is gone: no process has so high a pid.
    fn record(child: &Child) -> HostRecord {
        let host = ProcessIdentity::of(child.id()).unwrap().unwrap();
        HostRecord {
            boot: host.boot.clone(),
            pid_namespace: 1,
            keeper: ProcessRef { pid: u32::MAX / 4, start_ticks: 1 },
            host: host.reference(),
            nonce: Nonce::fresh().unwrap(),
            started_unix_ms: 1,
            starts: 1,
            program: String::new(),
        }
    }

    fn files(pid: u32) -> u64 {
        limits_of(pid, Resource::RLIMIT_NOFILE).unwrap().rlim_max
    }

    #[test]
    fn a_host_without_keeper_gets_its_changed_caps_and_a_stranger_with_its_pid_keeps_its_own() {
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let (own, old) = (record(&child), Caps::default());
        let new = Caps { files: Some(100), nice: Some(9), ..Caps::default() };
        let before = files(child.id());
        let host = ProcessRef { start_ticks: own.host.start_ticks + 1, ..own.host };
        let stranger = HostRecord { host, ..own.clone() };
        assert_eq!(change_caps(&stranger, &old, &new).unwrap(), Vec::<String>::new());
        assert_eq!(files(child.id()), before);
        assert_eq!(change_caps(&own, &old, &new).unwrap(), Vec::<String>::new());
        assert_eq!((files(child.id()), niceness_of(child.id())), (100, Ok(9)));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn what_is_below_a_stranger_that_a_record_calls_its_keeper_keeps_its_own_caps() {
        let mut shell = Command::new("/bin/sh");
        let mut stranger = shell.args(["-c", "sleep 600 & echo $!; read -r line; kill $!"]);
        stranger = stranger.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut stranger = stranger.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(stranger.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let below: u32 = line.trim().parse().unwrap();
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let keeper = ProcessIdentity::of(stranger.id()).unwrap().unwrap().reference();
        let (lies, before) = (HostRecord { keeper, ..record(&child) }, files(below));
        let new = Caps { files: Some(100), ..Caps::default() };
        assert_eq!(change_caps(&lies, &Caps::default(), &new).unwrap(), Vec::<String>::new());
        assert_eq!((files(below), files(child.id())), (before, 100));
        drop((child.stdin.take(), stranger.stdin.take()));
        child.wait().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_host_outside_of_its_new_cgroup_keeps_the_bound_that_it_has() {
        let old = Caps { processes: Some(500), ..Caps::default() };
        let cgroup = Some(crate::process::Argument::new("/cgroup.procs").unwrap());
        let new = Caps { cgroup, processes_by_cgroup: true, ..old.clone() };
        let changes = Changes::between(&old, &new);
        assert!(changes.is_none());
        assert_eq!(changes.later, ["memory and processes of the whole task"]);
        let within = Changes::between(&new, &Caps { processes: Some(600), ..new.clone() });
        assert!(within.is_none() && within.later.is_empty(), "its cgroup has the other bound");
    }

    #[test]
    fn what_a_running_program_cannot_change_holds_from_its_next_start() {
        let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
        let new = Caps { group: Some(4711), no_new_privileges: true, ..Caps::default() };
        assert_eq!(change_caps(&record(&child), &Caps::default(), &new).unwrap(), ["group", "no_new_privs"]);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
