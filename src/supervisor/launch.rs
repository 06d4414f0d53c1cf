//! How hosts are started: which program, with which words.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::name::TaskName;
use crate::process::FileError;

/// The words of a host's command line by its name, the program's own name first.
pub type HostArguments = Arc<dyn Fn(&TaskName) -> Vec<OsString> + Send + Sync>;

/// What makes a host of this program.
#[derive(Clone)]
pub struct Launch {
    /// What the spawner runs; this program, as a rule.
    pub spawner: PathBuf,
    /// What hosts run; this program, as a rule. It is held open, so a new file of that name changes nothing.
    pub program: Program,
    /// With which words.
    pub arguments: HostArguments,
    /// Which program that is, in words, for the records.
    pub program_text: String,
    /// Variables of a host's environment beside our own.
    pub environment: Vec<(OsString, OsString)>,
}

/// A program, held open.
#[derive(Clone)]
pub struct Program {
    pub(super) file: Arc<File>,
}

impl Program {
    /// Opens the program at `path`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut options = File::options();
        let file = options.read(true).custom_flags(libc::O_PATH).open(path).map_err(FileError::of(path, "open"))?;
        Ok(Self { file: Arc::new(file) })
    }
}

impl Launch {
    /// The environment of a host: ours, and what is added.
    pub(super) fn whole_environment(&self) -> Vec<OsString> {
        let added = |name: &OsString| self.environment.iter().any(|(other, _)| other == name);
        let ours = std::env::vars_os().filter(|(name, _)| !added(name));
        let all = ours.chain(self.environment.iter().cloned());
        all.map(|(mut entry, value)| {
            entry.push("=");
            entry.push(value);
            entry
        })
        .collect()
    }
}
