//! Which process is meant: a pid alone is used again by the kernel, after a boot from 1 on.
//!
//! Invariant: two processes with equal identities are one process.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::FileError;
use super::stat::ProcessStat;

/// Which boot of the machine: the kernel's random id, as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct BootId(Arc<str>);

impl From<String> for BootId {
    fn from(text: String) -> Self {
        Self(Arc::from(text))
    }
}

impl From<BootId> for String {
    fn from(boot: BootId) -> Self {
        boot.as_str().to_owned()
    }
}

impl BootId {
    /// The id of this boot.
    ///
    /// # Errors
    /// `/proc` is not there or does not tell.
    pub fn current() -> Result<Self, FileError> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let text = std::fs::read_to_string(path).map_err(FileError::of(path, "read"))?;
        Ok(Self(Arc::from(text.trim_end())))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A process, told from every other one of this machine, also from those of earlier boots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProcessIdentity {
    /// The boot in which it runs.
    pub boot: BootId,
    /// Its pid.
    pub pid: u32,
    /// When it was started: clock ticks since that boot.
    pub start_ticks: u64,
}

impl ProcessIdentity {
    /// Our own identity.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn own() -> Result<Self, FileError> {
        let pid = std::process::id();
        let missing = || FileError::new("/proc/self/stat", "read", io::ErrorKind::NotFound.into());
        Self::of(pid)?.ok_or_else(missing)
    }

    /// The identity of the process that has `pid` now; none where no process has it.
    ///
    /// # Errors
    /// `/proc` does not tell.
    pub fn of(pid: u32) -> Result<Option<Self>, FileError> {
        let boot = BootId::current()?;
        Ok(start_ticks(pid)?.map(|start_ticks| Self { boot, pid, start_ticks }))
    }

    /// The process without its boot: as records hold it.
    #[must_use]
    pub fn reference(&self) -> ProcessRef {
        ProcessRef { pid: self.pid, start_ticks: self.start_ticks }
    }

    /// Whether that very process still exists (a zombie does).
    ///
    /// # Errors
    /// `/proc` does not tell.
    pub fn exists(&self) -> Result<bool, FileError> {
        Ok(Self::of(self.pid)?.as_ref() == Some(self))
    }
}

/// When the process with `pid` was started, in clock ticks since boot; none where there is no such process.
///
/// # Errors
/// `/proc` does not tell, or tells it in a form that is not known.
pub fn start_ticks(pid: u32) -> Result<Option<u64>, FileError> {
    Ok(ProcessStat::of(pid)?.map(|stat| stat.start_ticks))
}

/// A process of a boot that is named elsewhere: as records hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Its pid.
    pub pid: u32,
    /// When it was started: clock ticks since that boot.
    pub start_ticks: u64,
}

impl ProcessRef {
    /// The process, told from every other one.
    #[must_use]
    pub fn of_boot(self, boot: &BootId) -> ProcessIdentity {
        ProcessIdentity { boot: boot.clone(), pid: self.pid, start_ticks: self.start_ticks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself_and_a_pid_that_nobody_has_is_nobody() {
        let own = ProcessIdentity::own().unwrap();
        assert_eq!(own.pid, std::process::id());
        assert!(own.exists().unwrap());
        assert_eq!(ProcessIdentity::of(u32::MAX).unwrap(), None);
        let stranger = ProcessIdentity { start_ticks: own.start_ticks + 1, ..own };
        assert!(!stranger.exists().unwrap());
    }
}
