//! The files of one process of tasks in the state directory, by name.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::FileError;
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

/// The names of the processes that have an identity record in `state_dir`, ascending; none where it does not exist.
///
/// # Errors
/// The directory cannot be read.
pub fn processes_on_record(state_dir: &Path) -> Result<Vec<TaskName>, FileError> {
    let entries = match std::fs::read_dir(state_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::new(state_dir, "read", error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.map_err(FileError::of(state_dir, "read"))?.file_name();
        // What is no name of ours is somebody else's file.
        let name = file.to_str().and_then(|file| file.strip_suffix(".process"));
        names.extend(name.filter(|name| !name.starts_with('.')).and_then(|name| TaskName::new(name).ok()));
    }
    names.sort();
    Ok(names)
}

/// Opens a log (0600) to append to it, and makes it where there is none.
///
/// # Errors
/// The system's reason.
pub fn open_log(log: &Path) -> io::Result<File> {
    let mut options = File::options();
    // Not blocking: somebody may have put a FIFO there; without a reader it does not open then.
    options.append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(log)
}
