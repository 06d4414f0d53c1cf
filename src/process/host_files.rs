//! The files of one process of tasks in the state directory, by name.

use std::path::{Path, PathBuf};

use crate::name::TaskName;

/// Where the files of the process `name` are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFiles {
    state_dir: PathBuf,
    name: TaskName,
}

impl HostFiles {
    /// The files of the process `name` in `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path, name: &TaskName) -> Self {
        Self { state_dir: state_dir.to_owned(), name: name.clone() }
    }

    /// What the keeper was told ([`Intent`](super::Intent)).
    #[must_use]
    pub fn intent(&self) -> PathBuf {
        self.file("intent")
    }

    /// Which processes the keeper and its host are ([`HostRecord`](super::HostRecord)).
    #[must_use]
    pub fn process(&self) -> PathBuf {
        self.file("process")
    }

    /// How the last host ended ([`EndRecord`](super::EndRecord)).
    #[must_use]
    pub fn end(&self) -> PathBuf {
        self.file("end")
    }

    /// The ends that nobody asked for ([`Restarts`](super::Restarts)).
    #[must_use]
    pub fn restarts(&self) -> PathBuf {
        self.file("restarts")
    }

    /// Why it is parked ([`Failsafe`](super::Failsafe)); while this file is there, no keeper starts it.
    #[must_use]
    pub fn failsafe(&self) -> PathBuf {
        self.file("failsafe")
    }

    /// The keeper's lock.
    #[must_use]
    pub fn keeper_lock(&self) -> PathBuf {
        self.file("keeper")
    }

    /// What the host and its keeper print.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.state_dir.join("log").join(format!("{}.log", self.name))
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.state_dir.join(format!("{}.{kind}", self.name))
    }
}
