//! Where a daemon can be found: a file per daemon in the transit directory that names its state directory.
//!
//! Invariant: what counts is the lock on `STATE/daemon.lock`, which the kernel frees however a daemon ends; a file
//! that was left behind leads nowhere.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::program::process_name;
use crate::config::MAIN;
use crate::process::{is_locked, replace_file};

/// What the files' names begin with; names with a dot are no queues.
const PREFIX: &str = ".daemon-";

/// The longest path that is read: what the kernel takes as one.
const MAX_PATH_BYTES: u64 = 4096;

/// How many such files are looked at: far more daemons than one user has on a machine.
const MAX_DAEMONS: usize = 1000;

/// Where a daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its state directory, absolute.
    pub state_dir: PathBuf,
    /// The directory of its queues, absolute.
    pub transit_dir: PathBuf,
}

/// A file that tells where a daemon is, until dropped.
#[derive(Debug)]
pub struct Published(PathBuf);

impl Whereabouts {
    /// Tells others where this daemon is.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish(&self) -> io::Result<Published> {
        let path = self.transit_dir.join(format!("{PREFIX}{}", process_name(MAIN, &self.state_dir)));
        replace_file(&path, self.state_dir.as_os_str().as_bytes()).map_err(io::Error::other)?;
        Ok(Published(path))
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // One that stays leads nowhere: the daemon's lock is free.
        drop(std::fs::remove_file(&self.0));
    }
}

/// The state directories of the daemons that run and use the transit directory `transit_dir`, ascending; none where
/// there is no such directory.
///
/// # Errors
/// The directory cannot be read.
pub fn known_daemons(transit_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(transit_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name()));
    let files = names.filter(|name| name.as_bytes().starts_with(PREFIX.as_bytes())).take(MAX_DAEMONS);
    let mut found: Vec<_> = files.filter_map(|name| read(&transit_dir.join(name))).filter(|dir| runs(dir)).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// Whether a daemon has this state directory now.
#[must_use]
pub fn runs(state_dir: &Path) -> bool {
    let lock = open(&state_dir.join("daemon.lock"));
    lock.and_then(|lock| is_locked(&lock, 0)).unwrap_or(false)
}

fn read(path: &Path) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    open(path).ok()?.take(MAX_PATH_BYTES).read_to_end(&mut bytes).ok()?;
    let state_dir = PathBuf::from(OsString::from_vec(bytes));
    state_dir.is_absolute().then_some(state_dir)
}

/// Not blocking: somebody may have put a FIFO there.
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::InstanceLock;

    #[test]
    fn a_daemon_is_known_while_it_runs_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let (state_dir, transit_dir) = (dir.path().join("state"), dir.path().to_owned());
        assert_eq!(known_daemons(&dir.path().join("none")).unwrap(), Vec::<PathBuf>::new());
        let lock = InstanceLock::take(&state_dir).unwrap();
        let whereabouts = Whereabouts { state_dir: state_dir.clone(), transit_dir };
        let published = whereabouts.publish().unwrap();
        std::fs::write(dir.path().join(".daemon-main@lie"), "relative").unwrap();
        assert_eq!(known_daemons(dir.path()).unwrap(), std::slice::from_ref(&state_dir));
        drop(lock);
        assert_eq!(known_daemons(dir.path()).unwrap(), Vec::<PathBuf>::new());
        let _again = InstanceLock::take(&state_dir).unwrap();
        assert_eq!(known_daemons(dir.path()).unwrap(), [state_dir]);
        drop(published);
        assert_eq!(known_daemons(dir.path()).unwrap(), Vec::<PathBuf>::new());
    }
}
