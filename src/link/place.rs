//! Where the files of a link lie: `STATE/NAME.link`, the name of the host's server, and `STATE/run/NAME.link/`, the
//! directory of its sockets.
//!
//! Invariant: the directory belongs to the one host NAME; whatever lies there when it starts is left over.
//!
//! `ipc-channel` makes its sockets where the `tempfile` crate makes its directories, and cuts a path that is too long
//! for a socket address without an error. So a host tells `tempfile` once where: the directory itself, or, where its
//! path is too long (or no text), the same by `/proc`. A task that makes temporary files by that crate has them there
//! too; they go with the host.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::name::TaskName;
use crate::process::FileError;

use super::LinkError;

/// The longest path that a socket address holds, in bytes, without the zero at its end.
const MAX_ADDRESS_BYTES: usize = 107;
/// What `ipc-channel` appends: `/.tmpABCDEF/socket`, and some room.
const APPENDED_BYTES: usize = 24;

/// The directory that this process has told `tempfile` about, kept open: its path may lead through the descriptor.
static TOLD: OnceLock<File> = OnceLock::new();

/// The files of one process's link.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `STATE/NAME.link`
    pub(super) link_file: PathBuf,
    /// `STATE/run/NAME.link`
    pub(super) sockets: PathBuf,
}

impl Place {
    pub(super) fn new(state_dir: &Path, process: &TaskName) -> Self {
        let name = format!("{process}.link");
        Self { sockets: state_dir.join("run").join(&name), link_file: state_dir.join(name) }
    }

    /// Makes the directory anew and tells `tempfile` about it, once in the life of a process; returns the path by
    /// which sockets are made in it.
    pub(super) fn prepare(&self) -> Result<PathBuf, LinkError> {
        self.remove()?;
        self.make_directory()?;
        let directory = File::open(&self.sockets).map_err(FileError::of(&self.sockets, "open"))?;
        let path = short_path(&self.sockets, &directory).map_err(FileError::of(&self.sockets, "find the path of"))?;
        TOLD.set(directory).map_err(|_| LinkError::AlreadyStarted)?;
        tempfile::env::override_temp_dir(&path).map_err(|set| LinkError::TemporaryDirectory { set })?;
        Ok(path)
    }

    /// Makes the directory where it is missing, for its user alone.
    pub(super) fn make_directory(&self) -> Result<(), FileError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.sockets);
        made.map_err(FileError::of(&self.sockets, "make directory"))
    }

    pub(super) fn remove(&self) -> Result<(), FileError> {
        unless_missing(fs::remove_file(&self.link_file)).map_err(FileError::of(&self.link_file, "remove"))?;
        unless_missing(fs::remove_dir_all(&self.sockets)).map_err(FileError::of(&self.sockets, "remove"))
    }
}

/// Removes what a host that was killed left of its link. Only for whoever knows that no such host runs.
///
/// # Errors
/// A file or directory is there and cannot be removed.
pub fn remove_remains(state_dir: &Path, process: &TaskName) -> Result<(), FileError> {
    Place::new(state_dir, process).remove()
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// A path of that directory which has room for a socket's name behind it.
fn short_path(path: &Path, directory: &File) -> io::Result<PathBuf> {
    let path = path.canonicalize()?;
    let fits = path.to_str().is_some_and(|text| text.len() + APPENDED_BYTES <= MAX_ADDRESS_BYTES);
    let by_descriptor = || format!("/proc/{}/fd/{}", std::process::id(), directory.as_raw_fd());
    Ok(if fits { path } else { by_descriptor().into() })
}
