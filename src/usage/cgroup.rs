//! Bounds by cgroup v2, where a part of its tree is delegated to us.
//!
//! ```text
//!   BASE                    what was delegated: our own cgroup, or its parent if ours is already called `daemon`
//!     ├─ daemon             the daemon, its spawner, keepers; a cgroup that hands controllers on holds no process itself
//!     └─ task.NAME@OWNER    one external process and all that it starts: the keeper's child enters before its program
//! ```
//!
//! The keepers stay outside, for they must see how what they keep has ended. OWNER tells daemons apart, by their state
//! directories: what is in a cgroup of that name has come there by a keeper of this one.
//!
//! Where the tree lies and what `/proc/self/cgroup` says is the caller's to tell: a directory of plain files will do.
//! It detects, makes, writes and removes; what cannot be had is a list of facts.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::name::TaskName;
use crate::process::FileError;

/// The cgroup into which the daemon moves itself. A unit with `DelegateSubgroup=daemon` starts it there.
const DAEMON: &str = "daemon";
/// What the cgroups of tasks begin with.
const TASK_PREFIX: &str = "task.";
/// The controllers that are wanted, and what each is for.
const CONTROLLERS: [(&str, &str); 2] = [(MEMORY, "memory"), (PIDS, "processes")];
/// How deep the cgroups that a task makes in its own are removed: a container in a container needs some ten.
const MAX_DEPTH: usize = 32;
const MEMORY: &str = "memory";
const PIDS: &str = "pids";

/// The tree, and where in it we are.
#[derive(Debug, Clone, Default)]
pub struct CgroupTree {
    /// Its root.
    pub root: PathBuf,
    /// What `/proc/self/cgroup` says.
    pub own: String,
}

/// What cannot be had of cgroups on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    /// There is no cgroup v2, or we are in none.
    #[error("no cgroup v2: memory and processes are bounded for each process, not for a whole task")]
    NoTree,
    /// The tree is not ours to change.
    #[error(
        "the cgroup {path} is not delegated to us ({reason}): memory and processes are bounded for each process, not \
         for a whole task"
    )]
    NotDelegated {
        /// The cgroup.
        path: String,
        /// What says so.
        reason: String,
    },
    /// A controller is not handed on.
    #[error("the cgroup controller {controller} is missing: {bounded} of a whole task cannot be bounded")]
    NoController {
        /// Its name.
        controller: &'static str,
        /// What it bounds.
        bounded: &'static str,
    },
}

impl Lacking {
    /// Whether the memory of a whole task cannot be bounded for that.
    #[must_use]
    pub fn lacks_memory(&self) -> bool {
        !matches!(self, Self::NoController { controller, .. } if *controller != MEMORY)
    }

    /// Whether the processes of a whole task cannot be bounded for that.
    #[must_use]
    pub fn lacks_processes(&self) -> bool {
        !matches!(self, Self::NoController { controller, .. } if *controller != PIDS)
    }
}

/// The delegated part of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    base: PathBuf,
    controllers: Vec<&'static str>,
    /// Whose they are, among all daemons.
    owner: String,
}

/// What a whole task may have at most; what is none is not bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Bytes of memory; beyond, the kernel kills processes of the task.
    pub memory_bytes: Option<u64>,
    /// Processes and threads; beyond, `fork` fails.
    pub processes: Option<u64>,
}

/// The cgroup of one external process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl CgroupTree {
    /// The tree of this machine as this process sees it.
    #[must_use]
    pub fn of_this_process() -> Self {
        // Where that cannot be read there is no tree.
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self { root: PathBuf::from("/sys/fs/cgroup"), own }
    }
}

impl Cgroups {
    /// Makes the delegated part of `tree` ready, if there is one: the processes `ours` (the daemon and process 1, where
    /// that is ours) move into a cgroup of their own, and controllers are handed on. Beside it stands what can not be
    /// had of it. To be called once, at start; again does no harm. `owner` tells daemons apart.
    ///
    /// # Errors
    /// [`Lacking`]: nothing can be had.
    pub fn enter(tree: &CgroupTree, owner: &str, ours: &[u32]) -> Result<(Self, Vec<Lacking>), Lacking> {
        let (cgroups, lacking) = Self::detect(tree, owner, ours)?;
        cgroups.prepare(ours).map_err(|error| not_delegated(&cgroups.base, error))?;
        Ok((cgroups, lacking))
    }

    fn detect(tree: &CgroupTree, owner: &str, ours: &[u32]) -> Result<(Self, Vec<Lacking>), Lacking> {
        let own = tree.own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or(Lacking::NoTree)?;
        let mut base = tree.root.join(own);
        let in_subgroup = base.file_name().is_some_and(|name| name == DAEMON);
        if in_subgroup {
            base.pop();
        }
        let offered = std::fs::read_to_string(base.join("cgroup.controllers")).map_err(|_| Lacking::NoTree)?;
        let is_offered = |name: &str| offered.split_ascii_whitespace().any(|one| one == name);
        if !in_subgroup {
            check_alone(&base, ours)?;
        }
        check_writable(&base)?;
        let (there, missing): (Vec<_>, Vec<_>) = CONTROLLERS.into_iter().partition(|(name, _)| is_offered(name));
        let lacking = missing.into_iter().map(|(controller, bounded)| Lacking::NoController { controller, bounded });
        let controllers = there.into_iter().map(|(name, _)| name).collect();
        Ok((Self { base, controllers, owner: owner.to_owned() }, lacking.collect()))
    }

    fn prepare(&self, ours: &[u32]) -> Result<(), FileError> {
        let daemon = self.base.join(DAEMON);
        make_directory(&daemon)?;
        for pid in ours {
            write(&daemon.join("cgroup.procs"), &pid.to_string())?;
        }
        if self.controllers.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = self.controllers.iter().map(|name| format!("+{name}")).collect();
        write(&self.base.join("cgroup.subtree_control"), &all.join(" "))
    }

    /// Whether the number of processes of a whole task can be bounded.
    #[must_use]
    pub fn bounds_processes(&self) -> bool {
        self.controllers.contains(&PIDS)
    }

    /// The cgroup of a process, whether it is there or not.
    #[must_use]
    pub fn of(&self, process: &TaskName) -> Cgroup {
        Cgroup { path: self.base.join(format!("{TASK_PREFIX}{process}@{}", self.owner)) }
    }

    /// Makes the cgroup of a process, or takes the one that is there with whatever lives in it, and sets its bounds as
    /// far as there are controllers; those that are none are lifted.
    ///
    /// # Errors
    /// The system's reason. Some of the bounds may have been set.
    pub fn make(&self, process: &TaskName, bounds: &Bounds) -> Result<Cgroup, FileError> {
        let cgroup = self.of(process);
        make_directory(&cgroup.path)?;
        for (controller, file, bound) in
            [(MEMORY, "memory.max", bounds.memory_bytes), (PIDS, "pids.max", bounds.processes)]
        {
            if self.controllers.contains(&controller) {
                let most = bound.map_or_else(|| "max".to_owned(), |bound| bound.to_string());
                write(&cgroup.path.join(file), &most)?;
            }
        }
        Ok(cgroup)
    }
}

impl Cgroup {
    /// The file to which a process that is to belong to it writes `0`, or its pid.
    #[must_use]
    pub fn door(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Kills all that is in it at once, also what is forked meanwhile. False where this kernel cannot (before Linux
    /// 5.14), or the cgroup is not there.
    ///
    /// # Errors
    /// The system's reason.
    pub fn kill(&self) -> Result<bool, FileError> {
        let path = self.path.join("cgroup.kill");
        match OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(b"1")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            killed => killed.map(|()| true).map_err(FileError::of(&path, "write")),
        }
    }

    /// Removes it, with those that its processes have made below it; false: a process is in one of them. One that is
    /// not there is removed.
    ///
    /// # Errors
    /// The system's reason.
    pub fn remove(&self) -> Result<bool, FileError> {
        match remove_directory(&self.path, MAX_DEPTH) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
            removed => removed.map(|()| true).map_err(FileError::of(&self.path, "remove")),
        }
    }
}

/// Removes a cgroup that is there, or not: from the innermost out, for the kernel removes none that has others in it.
fn remove_directory(path: &Path, depth: usize) -> io::Result<()> {
    let is_in_the_way = |kind| matches!(kind, io::ErrorKind::ResourceBusy | io::ErrorKind::DirectoryNotEmpty);
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if depth > 0 && is_in_the_way(error.kind()) => {
            let mut below = Vec::new();
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                below.extend(entry.file_type()?.is_dir().then(|| entry.path()));
            }
            below.iter().try_for_each(|below| remove_directory(below, depth - 1))?;
            if below.is_empty() { Err(error) } else { std::fs::remove_dir(path) }
        }
        removed => removed,
    }
}

/// A cgroup is ours where nobody else is in it. One that systemd has made for a service is not: with controllers
/// handed on, systemd could not start the service in it again.
fn check_alone(base: &Path, ours: &[u32]) -> Result<(), Lacking> {
    if base.extension().is_some_and(|extension| extension == "service") {
        return Err(not_delegated(base, "its unit lacks Delegate=yes and DelegateSubgroup=daemon, of systemd 254"));
    }
    let members = std::fs::read_to_string(base.join("cgroup.procs")).map_err(|error| not_delegated(base, error))?;
    let stranger = members.split_ascii_whitespace().find(|pid| !ours.iter().any(|own| own.to_string() == **pid));
    stranger.map_or(Ok(()), |pid| Err(not_delegated(base, format_args!("process {pid} is in it, too"))))
}

/// What lets us make cgroups, move processes and hand controllers on.
fn check_writable(base: &Path) -> Result<(), Lacking> {
    use nix::unistd::{AccessFlags, access};
    let place = [".", "cgroup.procs", "cgroup.subtree_control"];
    let denied = place.iter().find_map(|name| access(&base.join(name), AccessFlags::W_OK).err());
    denied.map_or(Ok(()), |errno| Err(not_delegated(base, errno.desc())))
}

fn not_delegated(base: &Path, reason: impl std::fmt::Display) -> Lacking {
    Lacking::NotDelegated { path: base.display().to_string(), reason: reason.to_string() }
}

fn make_directory(path: &Path) -> Result<(), FileError> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(FileError::of(path, "make directory")),
    }
}

/// In one piece, as these files want it.
fn write(path: &Path, text: &str) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    // The kernel makes the files with their directory; there a missing one is an error whatever is asked for.
    let file = options.write(true).create(true).truncate(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(FileError::of(path, "write"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u32; 2] = [12, 1];

    /// A tree with one delegated cgroup, `/unit`.
    fn tree(controllers: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let unit = root.path().join("unit");
        std::fs::create_dir(&unit).unwrap();
        for (file, text) in [("cgroup.controllers", controllers), ("cgroup.procs", ""), ("cgroup.subtree_control", "")]
        {
            std::fs::write(unit.join(file), text).unwrap();
        }
        root
    }

    fn enter(root: &tempfile::TempDir, own: &str) -> Result<(Cgroups, Vec<Lacking>), Lacking> {
        Cgroups::enter(&CgroupTree { root: root.path().to_owned(), own: own.to_owned() }, "1a2b", &OURS)
    }

    fn text(root: &tempfile::TempDir, path: &str) -> String {
        std::fs::read_to_string(root.path().join(path)).unwrap()
    }

    #[test]
    fn a_task_gets_its_bounds_in_a_delegated_tree() {
        let root = tree("cpuset cpu io memory pids\n");
        let (cgroups, lacking) = enter(&root, "4:memory:/x\n0::/unit\n").unwrap();
        assert_eq!(lacking, []);
        assert_eq!(text(&root, "unit/daemon/cgroup.procs"), "1", "each is written, the last stands in a plain file");
        assert_eq!(text(&root, "unit/cgroup.subtree_control"), "+memory +pids");
        let task = TaskName::new("Task").unwrap();
        let bounds = Bounds { memory_bytes: Some(1 << 30), processes: Some(20) };
        let cgroup = cgroups.make(&task, &bounds).unwrap();
        let files = || ["memory.max", "pids.max"].map(|file| text(&root, &format!("unit/task.Task@1a2b/{file}")));
        assert_eq!(files(), ["1073741824", "20"]);
        assert_eq!(cgroup.door(), root.path().join("unit/task.Task@1a2b/cgroup.procs"));
        cgroups.make(&task, &Bounds::default()).unwrap();
        assert_eq!(files(), ["max", "max"], "what is no longer bounded is lifted");
        assert!(!cgroup.kill().unwrap(), "a kernel without it");
        // The kernel's own files go with their directory; here they are in the way.
        assert!(cgroup.remove().is_err());
        std::fs::create_dir_all(root.path().join("unit/task.Task@1a2b/container/within")).unwrap();
        for file in ["memory.max", "pids.max"] {
            std::fs::remove_file(root.path().join("unit/task.Task@1a2b").join(file)).unwrap();
        }
        assert!(cgroup.remove().unwrap() && cgroup.remove().unwrap());
    }

    #[test]
    fn a_daemon_that_was_started_in_a_subgroup_uses_the_group_above() {
        let root = tree("memory pids cpu");
        let found = enter(&root, "0::/unit\n").unwrap();
        assert_eq!(enter(&root, "0::/unit/daemon\n").unwrap(), found);
    }

    #[test]
    fn what_cannot_be_had_is_a_fact() {
        let root = tree("pids");
        let (cgroups, lacking) = enter(&root, "0::/unit\n").unwrap();
        assert_eq!(lacking, [Lacking::NoController { controller: "memory", bounded: "memory" }]);
        assert!(lacking[0].lacks_memory() && !lacking[0].lacks_processes() && cgroups.bounds_processes());
        let task = TaskName::new("T").unwrap();
        cgroups.make(&task, &Bounds { memory_bytes: Some(1), processes: Some(2) }).unwrap();
        assert_eq!(text(&root, "unit/task.T@1a2b/pids.max"), "2");
        assert!(!root.path().join("unit/task.T@1a2b/memory.max").exists());

        for own in ["4:memory:/x\n", "0::/nowhere\n", ""] {
            assert_eq!(enter(&root, own), Err(Lacking::NoTree), "{own}");
        }
        std::fs::remove_file(root.path().join("unit/cgroup.subtree_control")).unwrap();
        let refused = enter(&root, "0::/unit\n").unwrap_err();
        assert!(matches!(refused, Lacking::NotDelegated { .. }), "{refused}");
    }

    #[test]
    fn a_cgroup_with_others_in_it_and_one_of_a_service_are_left_alone() {
        let root = tree("memory pids");
        std::fs::write(root.path().join("unit/cgroup.procs"), "12\n1\n").unwrap();
        enter(&root, "0::/unit").unwrap();
        std::fs::write(root.path().join("unit/cgroup.procs"), "12\n77\n").unwrap();
        let refused = enter(&root, "0::/unit").unwrap_err().to_string();
        assert!(refused.contains("process 77 is in it, too"), "{refused}");
        std::fs::rename(root.path().join("unit"), root.path().join("m.service")).unwrap();
        let refused = enter(&root, "0::/m.service").unwrap_err().to_string();
        assert!(refused.contains("DelegateSubgroup=daemon"), "{refused}");
        enter(&root, "0::/m.service/daemon").unwrap();
    }
}
