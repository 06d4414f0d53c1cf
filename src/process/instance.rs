//! One daemon per state directory: `STATE/daemon.lock`.
//!
//! Invariant: the file is never removed; the kernel gives the lock back however the daemon ends.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock_file::{Attempt, LockFile};
use super::{FileError, start_ticks};

/// How often we try for the lock of a daemon that cannot be seen, and the pause between: a tenth of a second in all,
/// far more than the kernel takes to free the lock of a process that has ended, or a daemon to write its pid.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// The right to be the daemon of a state directory, until dropped.
#[derive(Debug)]
pub struct InstanceLock {
    _lock: LockFile,
}

/// Why this process may not be the daemon of that state directory.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Another daemon has it.
    #[error("program is already running under PID {pid} (state directory {})", state_dir.display())]
    Running {
        /// The other daemon.
        pid: u32,
        /// The directory as it was given.
        state_dir: PathBuf,
    },
    /// Another daemon has it, but the pid it wrote is none that can be seen here: it runs in another container.
    #[error("program is already running under a PID that cannot be seen from here (state directory {})", state_dir.display())]
    RunningUnseen {
        /// The directory as it was given.
        state_dir: PathBuf,
    },
    /// The directory or the lock file could not be made, opened or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl InstanceLock {
    /// Takes the lock, making the directory (0700, with its parents) where it is missing, and writes our pid.
    ///
    /// # Errors
    /// [`InstanceError`]: another daemon holds it, or the directory cannot be used.
    pub fn take(state_dir: &Path) -> Result<Self, InstanceError> {
        make_state_dir(state_dir)?;
        for _ in 0..LOOKS {
            match LockFile::try_take(&state_dir.join("daemon.lock"))? {
                Attempt::Taken(lock) => return Ok(Self { _lock: lock }),
                // Whoever has just taken it writes its pid next, and whoever has just ended may hold it for some
                // milliseconds more: until then the file names a process that is gone, or none.
                Attempt::Busy(lock) => match lock.pid().filter(|pid| matches!(start_ticks(*pid), Ok(Some(_)))) {
                    Some(pid) => return Err(InstanceError::Running { pid, state_dir: state_dir.to_owned() }),
                    None => std::thread::sleep(PAUSE),
                },
            }
        }
        Err(InstanceError::RunningUnseen { state_dir: state_dir.to_owned() })
    }
}

/// Makes a state directory (0700, with its parents) where it is missing; one that exists is left as it is.
///
/// # Errors
/// It cannot be made, or something that is no directory stands there.
pub fn make_state_dir(state_dir: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(FileError::of(state_dir, "make directory"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_daemon_on_a_state_directory_is_refused_with_the_pid() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("deep/state");
        let first = InstanceLock::take(&state_dir).unwrap();
        let text = InstanceLock::take(&state_dir).unwrap_err().to_string();
        let pid = std::process::id();
        assert_eq!(
            text,
            format!("program is already running under PID {pid} (state directory {})", state_dir.display())
        );
        drop(first);
        InstanceLock::take(&state_dir).unwrap();
        assert!(state_dir.join("daemon.lock").exists());
    }

    #[test]
    fn a_daemon_that_has_just_ended_does_not_keep_the_next_one_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        let ended = InstanceLock::take(dir.path()).unwrap();
        std::fs::write(dir.path().join("daemon.lock"), "4194999\n").unwrap();
        let (tried, begin) = std::sync::mpsc::channel();
        let path = dir.path().to_owned();
        let next = std::thread::spawn(move || {
            tried.send(()).unwrap();
            InstanceLock::take(&path).map(drop)
        });
        begin.recv().unwrap();
        drop(ended);
        next.join().unwrap().unwrap();
    }

    #[test]
    fn a_state_directory_is_made_for_its_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("state");
        let _lock = InstanceLock::take(&state_dir).unwrap();
        assert_eq!(state_dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_pid_of_a_process_that_is_gone_is_not_blamed() {
        let dir = tempfile::tempdir().unwrap();
        let _lock = InstanceLock::take(dir.path()).unwrap();
        std::fs::write(dir.path().join("daemon.lock"), "4194999\n").unwrap();
        assert!(matches!(InstanceLock::take(dir.path()), Err(InstanceError::RunningUnseen { .. })));
    }

    #[test]
    fn a_file_in_the_place_of_the_state_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::write(&path, "").unwrap();
        let text = InstanceLock::take(&path).unwrap_err().to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains("a file stands where"), "{text}");
    }

    #[test]
    fn a_fifo_in_the_place_of_the_lock_does_not_hang_the_start() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("daemon.lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(InstanceLock::take(dir.path()).is_err());
    }
}
