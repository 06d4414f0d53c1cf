//! A lock that is a file: byte 0 is the lock, the text is the pid of whoever took it last.
//!
//! Invariant: such a file is never removed and never replaced by us; else two processes could hold "the same"
//! lock on two files. Whoever gets the lock checks that the path still names the file it locked.
//!
//! The pid is for people and messages. Nothing is decided by it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{ByteLock, FileError};

/// How often a file that is replaced while we lock it is opened anew: once is an accident, eight times is a fault.
const REPLACED_LIMIT: u32 = 8;

const LOCK: ByteLock = ByteLock { byte: 0 };

/// An open lock file. If its lock is ours, dropping it gives the lock back.
#[derive(Debug)]
pub(super) struct LockFile {
    path: PathBuf,
    file: File,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It is ours.
    Taken(LockFile),
    /// Somebody else has it; the file may name the pid.
    Busy(LockFile),
}

impl LockFile {
    /// Takes the lock at `path`, making the file (0600) where it is missing.
    pub(super) fn try_take(path: &Path) -> Result<Attempt, FileError> {
        for _ in 0..REPLACED_LIMIT {
            let lock = Self { path: path.to_owned(), file: open(path)? };
            if !LOCK.try_take(&lock.file).map_err(FileError::of(path, "lock"))? {
                return Ok(Attempt::Busy(lock));
            }
            if lock.still_ours()? {
                lock.write_pid()?;
                return Ok(Attempt::Taken(lock));
            }
        }
        let reason = io::Error::other("it is replaced again and again while it is being locked");
        Err(FileError::new(path, "lock", reason))
    }

    /// Whether the path still names the file that we hold.
    pub(super) fn still_ours(&self) -> Result<bool, FileError> {
        let held = self.file.metadata().map_err(FileError::of(&self.path, "look at"))?;
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FileError::new(&self.path, "look at", error)),
        }
    }

    /// The length is set last: a reader in between sees our pid, at worst with the end of an older line after it.
    fn write_pid(&self) -> Result<(), FileError> {
        let line = format!("{}\n", std::process::id());
        self.file.write_all_at(line.as_bytes(), 0).map_err(FileError::of(&self.path, "write"))?;
        self.file.set_len(line.len() as u64).map_err(FileError::of(&self.path, "write"))
    }

    /// The pid that the file names, if it names one.
    pub(super) fn pid(&self) -> Option<u32> {
        let mut text = [0; 16];
        let length = self.file.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..length]).ok()?.lines().next()?.parse().ok()
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    // Not blocking: somebody may have put a FIFO there.
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NONBLOCK);
    options.open(path).map_err(FileError::of(path, "open"))
}
