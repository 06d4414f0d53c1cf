//! Why a daemon did not start, or did not end in order.

use std::io;
use std::path::PathBuf;

use super::running_conf::RunningConfError;
use crate::config::Faults;
use crate::link::LinkError;
use crate::name::TaskName;
use crate::process::{FileError, InstanceError};
use crate::runtime::RegistryError;
use crate::transit;

/// Why a daemon ended otherwise than in order.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The config cannot be used.
    #[error("{0}")]
    Config(Faults),
    /// The config is in order, and something that it needs cannot be made.
    #[error("{}", .0.join("\n"))]
    CannotBuild(Vec<String>),
    /// The config file cannot be read.
    #[error("config file {}: {reason}", path.display())]
    ConfigFile {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// Another daemon has the state directory, or it cannot be used.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The transit cannot be used.
    #[error(transparent)]
    Transit(#[from] transit::Error),
    /// A file refuses.
    #[error(transparent)]
    File(#[from] FileError),
    /// The kernel refuses something a daemon needs.
    #[error("{what}: {source}")]
    Kernel {
        /// What.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The compiled-in tasks contradict each other.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// No task runs in a process of that name.
    #[error("no task runs in a process {process} by {}; the daemon starts the processes of its tasks", state_dir.join("running.conf").display())]
    UnknownProcess {
        /// The name.
        process: TaskName,
        /// The state directory.
        state_dir: PathBuf,
    },
    /// The config that the daemon left for its hosts cannot be read.
    #[error(transparent)]
    RunningConf(#[from] RunningConfError),
    /// No link to the daemon can be offered.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A second Ctrl-C.
    #[error("ended at once, on a second signal")]
    Interrupted,
    /// Something could not be saved or delivered; the lines before say what.
    #[error("not everything ended in order")]
    Disorderly,
}

impl DaemonError {
    /// Whether the machine does not take a config that is in order: it may later.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::CannotBuild(_) | Self::RunningConf(RunningConfError::File(_)))
    }
}
