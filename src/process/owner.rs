//! Who runs a stateful task: `STATE/NAME.owner`.
//!
//! Invariant: it is taken before anything of the task is opened, and given back after everything else, when the
//! record that was being written is written. Whoever fails to get it has opened nothing.

use std::path::Path;

use super::lock_file::{Attempt, LockFile};
use super::{FileError, make_state_dir};
use crate::name::TaskName;

/// The right to run a stateful task, until dropped.
#[derive(Debug)]
pub struct OwnerLock {
    lock: LockFile,
}

impl OwnerLock {
    /// Takes the right to run `task`; none when another process (or another holder in this one) has it.
    ///
    /// # Errors
    /// The directory or the lock file cannot be made, opened or written.
    pub fn try_take(state_dir: &Path, task: &TaskName) -> Result<Option<Self>, FileError> {
        make_state_dir(state_dir)?;
        Ok(match LockFile::try_take(&state_dir.join(format!("{task}.owner")))? {
            Attempt::Taken(lock) => Some(Self { lock }),
            Attempt::Busy(_) => None,
        })
    }

    /// Whether the path still names the file that we hold. If not, somebody removed or replaced it, and another
    /// process may hold "the same" lock: stop writing.
    ///
    /// # Errors
    /// The path cannot be looked at.
    pub fn still_ours(&self) -> Result<bool, FileError> {
        self.lock.still_ours()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (TaskName::new("One").unwrap(), TaskName::new("Other").unwrap());
        let owner = OwnerLock::try_take(dir.path(), &one).unwrap().unwrap();
        assert!(OwnerLock::try_take(dir.path(), &one).unwrap().is_none());
        assert!(OwnerLock::try_take(dir.path(), &other).unwrap().is_some());
        drop(owner);
        assert!(OwnerLock::try_take(dir.path(), &one).unwrap().is_some());
    }

    #[test]
    fn an_owner_notices_that_its_lock_was_removed_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let task = TaskName::new("Task").unwrap();
        let path = dir.path().join("Task.owner");
        let owner = OwnerLock::try_take(dir.path(), &task).unwrap().unwrap();
        assert!(owner.still_ours().unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!owner.still_ours().unwrap());
        let second = OwnerLock::try_take(dir.path(), &task).unwrap().unwrap();
        assert!(!owner.still_ours().unwrap());
        assert!(second.still_ours().unwrap());
    }
}
