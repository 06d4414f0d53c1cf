//! Why a process is parked: `NAME.failsafe`.
//!
//! It is for a person first: plain RON, with a comment that says how to clear it. What counts is that the file is
//! there; one that cannot be read parks as well. A daemon reads it to show it.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{FileError, RecordError, RecordFault, replace_file};
use crate::name::TaskName;
use crate::secret::redacted_bytes;

/// The version of the form; a change of it takes a new number.
const FORMAT: u32 = 1;

/// How much of a log's end stands in it: 20 lines, read from the last 32 KiB, each cut to 1000 characters. Enough for
/// a reason, and little enough to show.
const LOG_LINES: usize = 20;
const LOG_BYTES: u64 = 32 << 10;
const LINE_CHARACTERS: usize = 1000;

/// The longest file that is read: everything above with room to spare, and a hundred ends.
const MAX_BYTES: u64 = 1 << 20;

/// Why a process is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failsafe {
    /// The version of this form.
    pub format: u32,
    /// The process's name.
    pub name: TaskName,
    /// What happened, in one line.
    pub reason: String,
    /// When it was parked, UTC.
    pub parked: String,
    /// The newest ends that count, at most 100, oldest first, each with its time.
    pub ends: Vec<String>,
    /// The last lines of the log.
    pub log: Vec<String>,
    /// The readings that broke a limit, oldest first; none where no limit was broken.
    #[serde(default)]
    pub readings: Vec<String>,
    /// The entries of its tasks in the config then, each a line of JSON.
    #[serde(default)]
    pub config: String,
    /// What a person does to have it run again.
    pub clear: String,
}

/// Why somebody stops a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Which limit it broke, in one line.
    pub reason: String,
    /// What was read, oldest first.
    pub readings: Vec<String>,
    /// The entries of its tasks in the config, each a line of JSON.
    pub config: String,
    /// How it ended.
    pub ended: String,
}

impl Failsafe {
    /// The failsafe of `name`, which will stand at `path`; `log` is what it printed.
    #[must_use]
    pub fn new(name: &TaskName, reason: String, unix_ms: i64, ends: Vec<String>, path: &Path, log: &Path) -> Self {
        let log = last_lines(log).unwrap_or_else(|error| vec![format!("(cannot read {}: {error})", log.display())]);
        let clear = format!("`multimodule failsafe clear {name}`, or remove this file ({})", path.display());
        let (readings, config) = (Vec::new(), String::new());
        Self { format: FORMAT, name: name.clone(), reason, parked: utc(unix_ms), ends, log, readings, config, clear }
    }

    /// The failsafe of a task that is stopped now.
    #[must_use]
    pub fn of(name: &TaskName, evidence: Evidence, path: &Path, log: &Path) -> Self {
        let Evidence { reason, readings, config, ended } = evidence;
        let now = jiff::Timestamp::now().as_millisecond();
        Self { readings, config, ..Self::new(name, reason, now, vec![ended], path, log) }
    }

    /// Writes it to `path` (0600), beside and renamed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let unusable = |error: ron::Error| content(path, error.to_string());
        let body = ron::ser::to_string_pretty(self, ron::ser::PrettyConfig::default()).map_err(unusable)?;
        let text = format!("// {} is parked. To clear: {}; it runs again then.\n{body}\n", self.name, self.clear);
        Ok(replace_file(path, text.as_bytes())?)
    }

    /// Reads the one at `path`; none where there is no file.
    ///
    /// # Errors
    /// [`RecordError`]: the file cannot be read or understood. It parks all the same.
    pub fn read(path: &Path) -> Result<Option<Self>, RecordError> {
        let opened = std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(FileError::of(path, "open"))?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(FileError::of(path, "read"))?;
        let understood = ron::de::from_bytes::<Self>(&bytes).map_err(|error| content(path, error.to_string()))?;
        if understood.format > FORMAT {
            let fault = RecordFault::Newer { found: understood.format, known: FORMAT };
            return Err(RecordError::Unusable { path: path.to_owned(), fault });
        }
        Ok(Some(understood))
    }
}

/// A moment as people read it; one that no calendar holds is its number.
pub(super) fn utc(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map_or_else(|_| format!("{unix_ms} ms"), |time| time.to_string())
}

fn content(path: &Path, reason: String) -> RecordError {
    RecordError::Unusable { path: path.to_owned(), fault: RecordFault::Content(reason) }
}

fn last_lines(path: &Path) -> io::Result<Vec<String>> {
    let mut file = std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let start = file.metadata()?.len().saturating_sub(LOG_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    // A process of an older program may have printed secrets; a keeper knows none.
    let bytes = redacted_bytes(&bytes);
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    Ok(last.iter().map(|line| line.chars().take(LINE_CHARACTERS).collect()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_failsafe_tells_a_person_why_and_how_to_clear_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, log) = (dir.path().join("T.failsafe"), dir.path().join("T.log"));
        let lines: Vec<String> = (0..30).map(|n| format!("line {n}")).collect();
        std::fs::write(&log, lines.join("\n") + "\n\u{e4}\"quoted\"").unwrap();
        assert_eq!(Failsafe::read(&path).unwrap(), None);
        let name = TaskName::new("T").unwrap();
        let ends = vec!["1970-01-01T00:00:00Z: exited with 1".to_owned()];
        let failsafe = Failsafe::new(&name, "4 ends within 60 s".to_owned(), 1, ends, &path, &log);
        assert_eq!(failsafe.parked, "1970-01-01T00:00:00.001Z");
        assert_eq!((failsafe.log.len(), failsafe.log[0].as_str()), (20, "line 11"));
        failsafe.write(&path).unwrap();
        assert_eq!(Failsafe::read(&path).unwrap(), Some(failsafe));
        let text = std::fs::read_to_string(&path).unwrap();
        let first = format!(
            "// T is parked. To clear: `multimodule failsafe clear T`, or remove this file ({}); it runs again then.",
            path.display()
        );
        assert_eq!(text.lines().next(), Some(first.as_str()));
    }

    #[test]
    fn a_failsafe_of_a_newer_program_is_told_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("T.failsafe");
        let name = TaskName::new("T").unwrap();
        let failsafe = Failsafe::new(&name, String::new(), i64::MAX, vec![], &path, &dir.path().join("none"));
        assert!(failsafe.log[0].contains("cannot read"), "{failsafe:?}");
        Failsafe { format: 2, ..failsafe }.write(&path).unwrap();
        let text = Failsafe::read(&path).unwrap_err().to_string();
        assert!(text.contains("format 2"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_failsafe_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("T.failsafe");
            std::fs::write(&path, &bytes).unwrap();
            // Either way is right; what must not be is a panic.
            drop(Failsafe::read(&path));
        }
    }
}
