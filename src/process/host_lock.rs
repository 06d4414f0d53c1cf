//! Which process is the host of a name: `STATE/NAME.host`.
//!
//! Invariant: whoever fails to get it has opened nothing.

use std::path::Path;

use super::lock_file::{Attempt, LockFile};
use super::{FileError, make_state_dir};
use crate::name::TaskName;

/// The right to be the host of a name, until dropped.
#[derive(Debug)]
pub struct HostLock {
    _lock: LockFile,
}

impl HostLock {
    /// Takes the right to be the host `process`; none when another process has it.
    ///
    /// # Errors
    /// The directory or the lock file cannot be made, opened or written.
    pub fn try_take(state_dir: &Path, process: &TaskName) -> Result<Option<Self>, FileError> {
        make_state_dir(state_dir)?;
        Ok(match LockFile::try_take(&state_dir.join(format!("{process}.host")))? {
            Attempt::Taken(lock) => Some(Self { _lock: lock }),
            Attempt::Busy(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_host_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let name = TaskName::new("One").unwrap();
        let lock = HostLock::try_take(dir.path(), &name).unwrap().unwrap();
        assert!(HostLock::try_take(dir.path(), &name).unwrap().is_none());
        drop(lock);
        assert!(HostLock::try_take(dir.path(), &name).unwrap().is_some());
    }
}
