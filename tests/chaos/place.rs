//! The directory of one run: the daemon's config, its state, its transit, and what it prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use multimodule::name::{QueueName, TaskName};
use multimodule::sdk::Deserialize;
use multimodule::store::{Recovered, TaskStore};
use multimodule::transit::Transit;
use tempfile::TempDir;

/// A directory that is removed at the end, unless something was wrong in it.
#[derive(Debug)]
pub(crate) struct Place {
    dir: Option<TempDir>,
    path: PathBuf,
    mounted: bool,
    environment: Vec<(&'static str, PathBuf)>,
    /// Whether the daemon is to be the copy of its program.
    other_program: bool,
}

impl Place {
    /// A place of its own, told by its name.
    pub(crate) fn new(name: &str) -> Self {
        let dir = tempfile::Builder::new().prefix(&format!("multimodule-chaos-{name}-")).tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        fs::create_dir(path.join("conf")).unwrap();
        fs::create_dir(path.join("disk")).unwrap();
        Self { dir: Some(dir), path, mounted: false, environment: Vec::new(), other_program: false }
    }

    /// Puts state and transit on a disk of `mib` MiB; why not, where this user may not mount one.
    pub(crate) fn mount(&mut self, mib: u64) -> Result<(), String> {
        let options = format!("size={mib}m,mode=0700");
        let command = ["-t", "tmpfs", "-o", &options, "multimodule-chaos"];
        let outcome =
            Command::new("mount").args(command).arg(self.disk()).output().map_err(|error| error.to_string())?;
        self.mounted = outcome.status.success();
        let reason = || String::from_utf8_lossy(&outcome.stderr).trim_end().to_owned();
        if self.mounted { Ok(()) } else { Err(reason()) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("disk/state")
    }

    pub(crate) fn transit_dir(&self) -> PathBuf {
        self.path.join("disk/transit")
    }

    /// What the daemon gets in its environment beside the usual.
    pub(crate) fn environment(&self) -> &[(&'static str, PathBuf)] {
        &self.environment
    }

    pub(crate) fn add_to_environment(&mut self, name: &'static str, value: PathBuf) {
        self.environment.push((name, value));
    }

    /// What may be made full or taken away: holds state and transit.
    pub(crate) fn disk(&self) -> PathBuf {
        self.path.join("disk")
    }

    /// The program of the daemon: ours, or a copy.
    pub(crate) fn program(&self) -> PathBuf {
        if self.other_program { self.path.join("program") } else { "/proc/self/exe".into() }
    }

    /// From its next start on the daemon is the other program of the two.
    pub(crate) fn change_program(&mut self) {
        self.other_program = !self.other_program;
        if self.other_program && !self.program().exists() {
            // By a process of its own: no child of ours must inherit a descriptor that writes to a program.
            let ours = std::env::current_exe().unwrap();
            assert!(Command::new("cp").arg(ours).arg(self.program()).status().unwrap().success());
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("conf/chaos.ron")
    }

    pub(crate) fn daemon_log(&self) -> PathBuf {
        self.path.join("daemon.log")
    }

    /// What the plain senders write down.
    pub(crate) fn sent(&self) -> PathBuf {
        self.path.join("plain.sent")
    }

    /// Writes the config beside and renames it: a daemon that watches it never sees half of it.
    pub(crate) fn write_config(&self, text: &str) {
        let beside = self.path.join("conf/.chaos.ron.new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, self.config()).unwrap();
    }

    pub(crate) fn transit(&self) -> Transit {
        Transit::open(&self.transit_dir()).unwrap()
    }

    /// What the daemon and its hosts have printed.
    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.daemon_log()).unwrap_or_default()).into_owned()
    }

    /// The state that a task has saved last, once nothing runs any more; the default where it has none.
    pub(crate) fn saved<S: Default + for<'de> Deserialize<'de>>(&self, task: &str) -> Result<S, String> {
        let fault = |error: &dyn std::fmt::Display| format!("the state of {task}: {error}");
        let mut store = TaskStore::open(&self.state(), &task_name(task)).map_err(|error| fault(&error))?;
        match store.recover(&mut |_| Ok(())).map_err(|error| fault(&error))? {
            Recovered::Taken(taken) => ron::from_str(&taken.record.state).map_err(|error| fault(&error)),
            Recovered::Fresh => Ok(S::default()),
        }
    }

    /// The directory stays, for whoever looks at what went wrong.
    pub(crate) fn keep(&mut self) {
        if let Some(dir) = self.dir.take() {
            println!("everything of it is kept in {}", dir.keep().display());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted && !Command::new("umount").arg("-l").arg(self.disk()).status().is_ok_and(|it| it.success()) {
            println!("{} is still mounted", self.disk().display());
        }
    }
}

pub(crate) fn task_name(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

pub(crate) fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}
