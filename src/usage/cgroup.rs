//! Bounds by cgroup v2, where a part of its tree is delegated to us.
//!
//! ```text
//!   BASE                 what was delegated: our own cgroup, or its parent if ours is already called `daemon`
//!     ├─ daemon          the daemon and its spawner; a cgroup that hands controllers on holds no process itself
//!     └─ task.NAME       one external task, all of it: the keeper's child enters before its program begins
//! ```
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
const CONTROLLERS: [(&str, &str); 3] = [("memory", "memory"), ("pids", "processes"), ("cpu", "cpu")];
/// The period of a share of processor time, in µs: the kernel's usual one.
const CPU_PERIOD_US: u64 = 100_000;

/// What cannot be had of cgroups on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    /// There is no cgroup v2, or we are in none.
    #[error("no cgroup v2: memory, processes and processor time are bounded for each process, not for a whole task")]
    NoTree,
    /// The tree is not ours to change.
    #[error(
        "the cgroup {path} is not delegated to us ({reason}): memory, processes and processor time are bounded for \
         each process, not for a whole task"
    )]
    NotDelegated {
        /// The cgroup.
        path: String,
        /// The system's reason.
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

/// A bound that could not be set.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file or directory of the tree.
    #[error(transparent)]
    File(#[from] FileError),
    /// It needs a controller that is not there.
    #[error(transparent)]
    Lacking(#[from] Lacking),
}

/// The delegated part of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    base: PathBuf,
    controllers: Vec<&'static str>,
}

/// What a whole task may have at most; what is none is not bounded.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bounds {
    /// Bytes of memory; beyond, the kernel kills processes of the task.
    pub memory_bytes: Option<u64>,
    /// Processes and threads; beyond, `fork` fails.
    pub processes: Option<u64>,
    /// Processor seconds per second; beyond, the task waits.
    pub cpus: Option<f64>,
}

/// The cgroup of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroups {
    /// Looks whether a part of the tree at `root` (`/sys/fs/cgroup`) is ours, by the text of `/proc/self/cgroup`.
    /// Beside it stands what can not be had. Nothing is changed yet.
    ///
    /// # Errors
    /// [`Lacking`]: nothing can be had.
    pub fn detect(root: &Path, own: &str) -> Result<(Self, Vec<Lacking>), Lacking> {
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or(Lacking::NoTree)?;
        let mut base = root.join(own);
        if base.file_name().is_some_and(|name| name == DAEMON) {
            base.pop();
        }
        let offered = std::fs::read_to_string(base.join("cgroup.controllers")).map_err(|_| Lacking::NoTree)?;
        let is_offered = |name: &str| offered.split_ascii_whitespace().any(|one| one == name);
        let (there, missing): (Vec<_>, Vec<_>) = CONTROLLERS.into_iter().partition(|(name, _)| is_offered(name));
        if there.is_empty() {
            return Err(Lacking::NoTree);
        }
        check_delegation(&base)?;
        let lacking = missing.into_iter().map(|(controller, bounded)| Lacking::NoController { controller, bounded });
        Ok((Self { base, controllers: there.into_iter().map(|(name, _)| name).collect() }, lacking.collect()))
    }

    /// Moves the processes `ours` (the daemon, its spawner) into a cgroup of their own and hands the controllers on.
    /// To be called once, at start; again does no harm.
    ///
    /// # Errors
    /// The system's reason: another process sits in the delegated cgroup.
    pub fn prepare(&self, ours: &[u32]) -> Result<(), FileError> {
        let daemon = self.base.join(DAEMON);
        make_directory(&daemon)?;
        for pid in ours {
            write(&daemon.join("cgroup.procs"), &pid.to_string())?;
        }
        let all: Vec<String> = self.controllers.iter().map(|name| format!("+{name}")).collect();
        write(&self.base.join("cgroup.subtree_control"), &all.join(" "))
    }

    /// Makes the cgroup of a task, or takes the one that is there, and sets its bounds; those that are none are
    /// lifted.
    ///
    /// # Errors
    /// [`CgroupError`]: a bound cannot be set. The others may have been.
    pub fn make(&self, task: &TaskName, bounds: &Bounds) -> Result<Cgroup, CgroupError> {
        let path = self.base.join(format!("{TASK_PREFIX}{task}"));
        make_directory(&path)?;
        let most = |bound: Option<u64>| bound.map_or_else(|| "max".to_owned(), |bound| bound.to_string());
        let quota = |cpus: f64| ((cpus * CPU_PERIOD_US as f64) as u64).max(1000);
        let cpu = format!("{} {CPU_PERIOD_US}", most(bounds.cpus.map(quota)));
        for ((controller, bounded), file, is_bounded, text) in [
            (CONTROLLERS[0], "memory.max", bounds.memory_bytes.is_some(), most(bounds.memory_bytes)),
            (CONTROLLERS[1], "pids.max", bounds.processes.is_some(), most(bounds.processes)),
            (CONTROLLERS[2], "cpu.max", bounds.cpus.is_some(), cpu),
        ] {
            match (self.controllers.contains(&controller), is_bounded) {
                (true, _) => write(&path.join(file), &text)?,
                (false, true) => return Err(Lacking::NoController { controller, bounded }.into()),
                (false, false) => {}
            }
        }
        Ok(Cgroup { path })
    }
}

impl Cgroup {
    /// The file to which a process that is to belong to it writes `0`, or its pid.
    #[must_use]
    pub fn door(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Removes it, when no process is in it any more; one that is not there is removed.
    ///
    /// # Errors
    /// The system's reason: a process is in it.
    pub fn remove(&self) -> Result<(), FileError> {
        match std::fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(FileError::of(&self.path, "remove")),
        }
    }
}

/// Delegated is what lets us make cgroups, move processes and hand controllers on.
fn check_delegation(base: &Path) -> Result<(), Lacking> {
    use nix::unistd::{AccessFlags, access};
    let place = [".", "cgroup.procs", "cgroup.subtree_control"];
    let denied = place.iter().find_map(|name| access(&base.join(name), AccessFlags::W_OK).err());
    let refused = |errno: nix::errno::Errno| Lacking::NotDelegated {
        path: base.display().to_string(),
        reason: errno.desc().to_owned(),
    };
    denied.map_or(Ok(()), |errno| Err(refused(errno)))
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

    fn text(root: &tempfile::TempDir, path: &str) -> String {
        std::fs::read_to_string(root.path().join(path)).unwrap()
    }

    #[test]
    fn a_task_gets_its_bounds_in_a_delegated_tree() {
        let root = tree("cpuset cpu io memory pids\n");
        let (cgroups, lacking) = Cgroups::detect(root.path(), "4:memory:/x\n0::/unit\n").unwrap();
        assert_eq!(lacking, []);
        cgroups.prepare(&[12]).unwrap();
        cgroups.prepare(&[12]).unwrap();
        assert_eq!(text(&root, "unit/daemon/cgroup.procs"), "12");
        assert_eq!(text(&root, "unit/cgroup.subtree_control"), "+memory +pids +cpu");
        let task = TaskName::new("Task").unwrap();
        let bounds = Bounds { memory_bytes: Some(1 << 30), processes: Some(20), cpus: Some(1.5) };
        let cgroup = cgroups.make(&task, &bounds).unwrap();
        let files = || ["memory.max", "pids.max", "cpu.max"].map(|file| text(&root, &format!("unit/task.Task/{file}")));
        assert_eq!(files(), ["1073741824", "20", "150000 100000"]);
        assert_eq!(cgroup.door(), root.path().join("unit/task.Task/cgroup.procs"));
        cgroups.make(&task, &Bounds::default()).unwrap();
        assert_eq!(files(), ["max", "max", "max 100000"], "what is no longer bounded is lifted");
        // The kernel's own files go with their directory; here they are in the way like a process.
        assert!(cgroup.remove().is_err());
        for file in ["memory.max", "pids.max", "cpu.max"] {
            std::fs::remove_file(root.path().join("unit/task.Task").join(file)).unwrap();
        }
        cgroup.remove().unwrap();
        cgroup.remove().unwrap();
    }

    #[test]
    fn a_daemon_that_was_started_in_a_subgroup_uses_the_group_above() {
        let root = tree("memory pids cpu");
        std::fs::create_dir(root.path().join("unit/daemon")).unwrap();
        let found = Cgroups::detect(root.path(), "0::/unit/daemon\n").unwrap();
        assert_eq!(found, Cgroups::detect(root.path(), "0::/unit\n").unwrap());
    }

    #[test]
    fn what_cannot_be_had_is_a_fact() {
        let root = tree("pids");
        let (cgroups, lacking) = Cgroups::detect(root.path(), "0::/unit\n").unwrap();
        let no = |controller, bounded| Lacking::NoController { controller, bounded };
        assert_eq!(lacking, [no("memory", "memory"), no("cpu", "cpu")]);
        let bounds = Bounds { memory_bytes: Some(1), ..Bounds::default() };
        let refused = cgroups.make(&TaskName::new("T").unwrap(), &bounds).unwrap_err();
        assert!(refused.to_string().contains("controller memory is missing"), "{refused}");
        cgroups.make(&TaskName::new("T").unwrap(), &Bounds { processes: Some(1), ..Bounds::default() }).unwrap();

        for (own, root) in [("4:memory:/x\n", &root), ("0::/nowhere\n", &root), ("0::/unit\n", &tree("io"))] {
            assert_eq!(Cgroups::detect(root.path(), own), Err(Lacking::NoTree), "{own}");
        }
        std::fs::remove_file(root.path().join("unit/cgroup.subtree_control")).unwrap();
        let refused = Cgroups::detect(root.path(), "0::/unit\n").unwrap_err();
        assert!(matches!(refused, Lacking::NotDelegated { .. }), "{refused}");
    }
}
