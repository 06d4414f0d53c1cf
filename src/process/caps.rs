//! Hard caps of one process: what the kernel refuses or ends by itself, set between `fork` and `exec`.
//!
//! They hold for the host and, one by one, for every process that it starts: only a cgroup bounds them together. Where
//! one is to be had the child enters it, and what it bounds is the supervisor's to write there.
//!
//! | cap | by | beyond it |
//! |---|---|---|
//! | memory | RLIMIT_DATA | allocation fails; a Rust program says so and aborts |
//! | processor time | RLIMIT_CPU | SIGXCPU, a second later SIGKILL |
//! | files | RLIMIT_NOFILE | EMFILE |
//! | processes | RLIMIT_NPROC | EAGAIN; threads of *all* processes of that user count, root is exempt: not set where a cgroup counts those of the task alone |
//! | size of a file | RLIMIT_FSIZE | EFBIG in the host, SIGXFSZ in other programs |
//!
//! Memory is private writable memory and not address space (RLIMIT_AS): a host maps its queues' segments, 16 MiB each,
//! and its allocator reserves address space that it never touches. What a process shares by mapping is not bounded so.
#![expect(unsafe_code, reason = "setpriority has no safe interface")]

use std::fs::OpenOptions;
use std::io::{self, Write};

use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, Uid, User, setgid, setgroups};
use serde::{Deserialize, Serialize};

use super::Argument;
use super::another_user::become_user;

/// How long after SIGXCPU the kernel kills, in seconds of processor time.
const CPU_GRACE_S: u64 = 1;

/// What a process may have at most; what is none is as the daemon's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Caps {
    /// Private writable memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processor time of the process's whole life, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u64>,
    /// Open files. A host needs some 30 to begin, and some for each queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Processes and threads of its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// The size of a file that it writes, in bytes. The segments of its queues (up to 16 MiB, or one message), its
    /// state and its log are such files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// Niceness, -20 (first) to 19 (last).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// The user that it runs as, by number; other groups than the one below are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// The group that it runs as, by number; the user's own, where only that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Whether no program that it executes may gain rights (set-user-id and the like).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_new_privileges: bool,
    /// The `cgroup.procs` of the cgroup that it enters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Argument>,
    /// Whether that cgroup bounds the processes. An older reader bounds them by its own way as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub processes_by_cgroup: bool,
}

/// A cap that this process cannot set, or that does not bound here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapLacking {
    /// The kernel does not count the processes of root.
    #[error("the kernel bounds the number of processes of every user but root: `processes` has no effect")]
    ProcessesOfRoot,
    /// Only root lowers niceness.
    #[error("only root can give a task a negative `nice`: it does not start")]
    NiceNeedsRoot,
}

impl Caps {
    /// Whether nothing is capped.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Without what the machine has beside them: as a config says them.
    #[must_use]
    pub fn of_config(&self) -> Self {
        Self { cgroup: None, processes_by_cgroup: false, ..self.clone() }
    }

    /// What of it cannot be had by a daemon that runs as user `own`.
    #[must_use]
    pub fn lacking(&self, own: u32) -> Vec<CapLacking> {
        let runs_as_root = self.user.unwrap_or(own) == 0;
        [
            (self.user_processes().is_some() && runs_as_root, CapLacking::ProcessesOfRoot),
            (self.nice.is_some_and(|nice| nice < 0) && own != 0, CapLacking::NiceNeedsRoot),
        ]
        .into_iter()
        .filter_map(|(is_so, lacking)| is_so.then_some(lacking))
        .collect()
    }

    /// The bound of all processes of the user together, where those of the task are not bounded otherwise.
    fn user_processes(&self) -> Option<u64> {
        self.processes.filter(|_| !self.processes_by_cgroup)
    }

    /// What the kernel keeps for each process by itself: the limit, how far the hard one is above it, and its name.
    pub(super) fn limits(&self) -> [(Resource, Option<u64>, u64, &'static str); 5] {
        [
            (Resource::RLIMIT_DATA, self.memory_bytes, 0, "memory"),
            (Resource::RLIMIT_CPU, self.cpu_seconds, CPU_GRACE_S, "cpu_time"),
            (Resource::RLIMIT_NOFILE, self.files, 0, "files"),
            (Resource::RLIMIT_NPROC, self.user_processes(), 0, "processes"),
            (Resource::RLIMIT_FSIZE, self.file_bytes, 0, "file_size"),
        ]
    }

    /// Sets them for this process, which is about to execute a program; says why not. What needs rights comes before
    /// they are given up.
    pub(super) fn apply(&self) -> Result<(), String> {
        self.set_limits()?;
        if let Some(nice) = self.nice {
            set_niceness(nice).map_err(|errno| format!("cannot set nice to {nice}: {}", errno.desc()))?;
        }
        self.change_user().map_err(|error| format!("cannot run as user {:?}: {error}", self.user))?;
        if self.no_new_privileges {
            set_no_new_privs().map_err(|errno| format!("cannot forbid new rights: {}", errno.desc()))?;
        }
        Ok(())
    }

    /// Has this process enter its cgroup, if it has one. Outside of it everything else holds.
    pub(super) fn enter_cgroup(&self) -> Result<(), String> {
        let Some(door) = self.cgroup.as_ref().map(Argument::as_path) else { return Ok(()) };
        let entered = OpenOptions::new().write(true).open(door).and_then(|mut file| file.write_all(b"0"));
        entered.map_err(|error| format!("cannot enter the cgroup of {}: {error}", door.display()))
    }

    fn set_limits(&self) -> Result<(), String> {
        for (resource, limit, grace, name) in self.limits() {
            let Some(limit) = limit else { continue };
            let set = set_limit(resource, limit, grace);
            set.map_err(|errno| format!("cannot limit {name} to {limit}: {}", errno.desc()))?;
        }
        Ok(())
    }

    fn change_user(&self) -> io::Result<()> {
        let user = self.user.map(Uid::from_raw);
        let own_group = |user: Uid| User::from_uid(user)?.map(|user| user.gid).ok_or(Errno::EINVAL);
        let group = match (self.group, user) {
            (Some(group), _) => Some(Gid::from_raw(group)),
            (None, Some(user)) => Some(own_group(user)?),
            (None, None) => None,
        };
        if let Some(group) = group.filter(|group| *group != Gid::effective() || Uid::effective().is_root()) {
            setgroups(&[group])?;
            setgid(group)?;
        }
        user.filter(|user| *user != Uid::effective()).map_or(Ok(()), become_user)
    }
}

/// The number of the user of that name; none where there is none.
///
/// # Errors
/// The system's reason: its list of users cannot be read.
pub fn user_number(name: &str) -> nix::Result<Option<u32>> {
    Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
}

/// The number of the group of that name; none where there is none.
///
/// # Errors
/// The system's reason: its list of groups cannot be read.
pub fn group_number(name: &str) -> nix::Result<Option<u32>> {
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

/// Never above the hard limit that holds already: that is stricter, and only root could lift it.
fn set_limit(resource: Resource, limit: u64, grace: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    setrlimit(resource, limit.min(hard), limit.saturating_add(grace).min(hard))
}

fn set_niceness(nice: i32) -> nix::Result<()> {
    // SAFETY: the arguments are numbers; 0 means this process.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_daemon_cannot_set_is_known_before() {
        let (processes, user) = (Caps { processes: Some(9), ..Caps::default() }, |user| Some(user));
        let nice = |nice| Caps { nice: Some(nice), ..Caps::default() };
        for (caps, own, expected) in [
            (Caps::default(), 1000, vec![]),
            (processes.clone(), 1000, vec![]),
            (processes.clone(), 0, vec![CapLacking::ProcessesOfRoot]),
            (Caps { user: user(1000), ..processes.clone() }, 0, vec![]),
            (Caps { processes_by_cgroup: true, ..processes }, 0, vec![]),
            (nice(-1), 1000, vec![CapLacking::NiceNeedsRoot]),
            (nice(-1), 0, vec![]),
            (nice(5), 1000, vec![]),
        ] {
            assert_eq!(caps.lacking(own), expected, "{caps:?} as {own}");
        }
    }

    #[test]
    fn caps_are_written_by_what_is_capped_and_unknown_ones_are_skipped() {
        assert_eq!(ron::to_string(&Caps::default()).unwrap(), "()");
        let caps = Caps { files: Some(100), nice: Some(5), no_new_privileges: true, ..Caps::default() };
        let text = ron::to_string(&caps).unwrap();
        assert_eq!(text, "(files:Some(100),nice:Some(5),no_new_privileges:true)");
        assert_eq!(ron::from_str::<Caps>(&text.replace("(files", "(later:Some(\"x\"),files")), Ok(caps));
    }

    #[test]
    fn users_and_groups_are_found_by_name() {
        assert_eq!((user_number("root"), group_number("root")), (Ok(Some(0)), Ok(Some(0))));
        assert_eq!(user_number("no such user"), Ok(None));
    }
}
