//! The directory of one run: the daemon's config, its state, its transit, and what it prints.

use std::fs;
use std::path::{Path, PathBuf};

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
}

impl Place {
    /// A place of its own, told by its name.
    pub(crate) fn new(name: &str) -> Self {
        let dir = tempfile::Builder::new().prefix(&format!("multimodule-{name}-")).tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        fs::create_dir(path.join("conf")).unwrap();
        Self { dir: Some(dir), path }
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

    /// What may be made full or taken away: holds state and transit.
    pub(crate) fn disk(&self) -> PathBuf {
        self.path.join("disk")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("conf/chaos.ron")
    }

    /// Where steps are armed at which a process is killed: nowhere, unless the program has them.
    pub(crate) fn failpoints(&self) -> PathBuf {
        self.path.join("failpoints")
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

pub(crate) fn task_name(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

pub(crate) fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}
