//! Which process is meant: a pid alone is used again by the kernel, after a boot from 1 on.
//!
//! Invariant: two processes with equal identities are one process.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::FileError;

/// Which boot of the machine: the kernel's random id, as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootId(Arc<str>);

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
    let path = format!("/proc/{pid}/stat");
    let line = match std::fs::read(&path) {
        Ok(line) => line,
        // ESRCH: it ended between opening and reading.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(FileError::new(path, "read", error)),
    };
    let unknown = || FileError::new(&path, "read", io::Error::other("it has no start time in field 22"));
    parse_start_ticks(&line).ok_or_else(unknown).map(Some)
}

/// Field 22 of a line of `/proc/PID/stat`. Field 2, the program's name in parentheses, may hold anything, spaces
/// and parentheses too: what counts begins after the last closing one, with field 3.
fn parse_start_ticks(line: &[u8]) -> Option<u64> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&line[name_end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_time_is_found_whatever_the_program_is_called() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n";
        for name in ["(cat)", "(a b)", "(a) S 1 (b)", "())", "(\u{e4})"] {
            assert_eq!(parse_start_ticks(format!("12 {name} {fields}").as_bytes()), Some(4711), "{name}");
        }
        let odd = [b"12 (\xff\xfe) ".as_slice(), fields.as_bytes()].concat();
        assert_eq!(parse_start_ticks(&odd), Some(4711));
        for line in ["", "12 (cat", "12 (cat) S 1 2", "12 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x"] {
            assert_eq!(parse_start_ticks(line.as_bytes()), None, "{line}");
        }
    }

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
