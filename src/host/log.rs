//! The log file of a host: its standard output and standard error.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::unistd::{dup2_stderr, dup2_stdout};

use crate::name::TaskName;
use crate::process::{FileError, HostFiles};

/// Opens the log's name anew and goes on there: somebody has renamed the file.
pub(super) fn reopen(state_dir: &Path, process: &TaskName) -> Result<(), FileError> {
    let path = HostFiles::new(state_dir, process).log();
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(&path).map_err(FileError::of(&path, "open"))?;
    let refused = |error: nix::Error| FileError::new(&path, "write to", io::Error::from(error));
    dup2_stdout(&file).map_err(refused)?;
    dup2_stderr(&file).map_err(refused)
}
