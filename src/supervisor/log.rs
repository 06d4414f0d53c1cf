//! Follows the log file of one process to the terminal, and rotates it by size.
//!
//! A host writes to `STATE/log/NAME.log` itself, opened for append: nothing stands between it and the disk that could
//! break or block. Where the file has grown large it is renamed to `NAME.log.1`, and the host is told to open the name
//! anew; until it has, what it writes is read from the renamed file.
//!
//! Invariant: whole lines go to the terminal, each once, in the order in which they were written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::process::{FileError, open_log};
use crate::secret::redacted_bytes;

/// How large a log file grows before it is rotated: one such file and one older one are kept.
const LOG_BYTES: u64 = 10 << 20;
/// How much is read at once.
const CHUNK: usize = 64 << 10;
/// How much is shown at once: a host that prints faster than the terminal takes it must not keep its watcher for itself.
const PORTION: usize = 16 * CHUNK;
/// What is longer without a newline is shown as it is.
const LINE_BYTES: usize = 64 << 10;

/// A followed log file.
pub(super) struct Log {
    path: PathBuf,
    /// The renamed file while its host still writes there.
    old: Option<Reading>,
    current: Option<Reading>,
    partial: Vec<u8>,
}

/// How much of what was written is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// All, as far as it was there.
    All,
    /// A portion; there is more.
    Part,
}

struct Reading {
    file: File,
    inode: u64,
    offset: u64,
}

impl Log {
    /// Follows the file at `path` from its end on: what was written before has been shown, or was written while
    /// nobody followed.
    pub(super) fn follow(path: &Path) -> Self {
        let current = Reading::open(path).and_then(Reading::at_its_end).ok();
        Self { path: path.to_owned(), old: None, current, partial: Vec::new() }
    }

    /// Shows what was written since, or a portion of it.
    ///
    /// # Errors
    /// The terminal or the file refuses.
    pub(super) fn show(&mut self, terminal: &mut dyn Write) -> io::Result<Shown> {
        let mut shown = Shown::All;
        if let Some(old) = &mut self.old {
            shown = copy(old, &mut self.partial, terminal)?;
        }
        if shown == Shown::All {
            self.find();
            if let Some(current) = &mut self.current {
                shown = copy(current, &mut self.partial, terminal)?;
            }
        }
        terminal.flush()?;
        Ok(shown)
    }

    /// Looks whether the path names another file now, which somebody made in its place.
    fn find(&mut self) {
        let named = fs::metadata(&self.path).map(|metadata| metadata.ino()).ok();
        if named.is_some() && named != self.current.as_ref().map(|reading| reading.inode) {
            if self.old.is_none() {
                self.old = self.current.take();
            }
            self.current = Reading::open(&self.path).ok();
        }
    }

    /// Whether it has grown so large that it should be rotated.
    pub(super) fn is_large(&self) -> bool {
        self.old.is_none() && self.current.as_ref().is_some_and(|reading| reading.offset >= LOG_BYTES)
    }

    /// Renames the file, and makes a new one; the host must be told to open it. [`Log::reopened`] ends it.
    ///
    /// # Errors
    /// The directory refuses.
    pub(super) fn rotate(&mut self) -> Result<(), FileError> {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        fs::rename(&self.path, &aside).map_err(FileError::of(&self.path, "rename"))?;
        open_log(&self.path).map_err(FileError::of(&self.path, "make"))?;
        self.old = self.current.take();
        self.current = Reading::open(&self.path).ok();
        Ok(())
    }

    /// The host writes to the new file now: what is left of the old one is shown, and it is let go.
    ///
    /// # Errors
    /// The terminal or the file refuses.
    pub(super) fn reopened(&mut self, terminal: &mut dyn Write) -> io::Result<()> {
        if let Some(mut old) = self.old.take() {
            // Its host writes there no more; what others do that it has started is not waited for.
            let length = old.file.metadata()?.len();
            while copy(&mut old, &mut self.partial, terminal)? == Shown::Part && old.offset < length {}
        }
        Ok(())
    }
}

impl Reading {
    fn open(path: &Path) -> io::Result<Self> {
        // Not blocking: somebody may have put a FIFO there.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode, offset: 0 })
    }

    fn at_its_end(mut self) -> io::Result<Self> {
        self.offset = self.file.seek(SeekFrom::End(0))?;
        Ok(self)
    }
}

/// Shows the whole lines that are new in `reading`, at most a portion.
fn copy(reading: &mut Reading, partial: &mut Vec<u8>, terminal: &mut dyn Write) -> io::Result<Shown> {
    let length = reading.file.metadata()?.len();
    if length == reading.offset {
        return Ok(Shown::All);
    }
    if length < reading.offset {
        // Somebody emptied it.
        reading.offset = reading.file.seek(SeekFrom::Start(0))?;
    }
    let mut chunk = vec![0; CHUNK];
    for _ in 0..PORTION / CHUNK {
        let length = reading.file.read(&mut chunk)?;
        if length == 0 {
            return Ok(Shown::All);
        }
        reading.offset += length as u64;
        partial.extend_from_slice(&chunk[..length]);
        let whole = partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let shown = if whole == 0 && partial.len() >= LINE_BYTES { partial.len() } else { whole };
        // A task may have printed its secret.
        terminal.write_all(&redacted_bytes(&partial[..shown]))?;
        partial.drain(..shown);
    }
    Ok(Shown::Part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn shown(log: &mut Log) -> String {
        let mut terminal = Vec::new();
        while log.show(&mut terminal).unwrap() == Shown::Part {}
        String::from_utf8(terminal).unwrap()
    }

    #[test]
    fn whole_lines_are_shown_once_and_older_ones_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("Task.log");
        append(&path, "before\n");
        let mut log = Log::follow(&path);
        assert_eq!(shown(&mut log), "");
        append(&path, "one\ntw");
        assert_eq!(shown(&mut log), "one\n");
        append(&path, "o\n");
        assert_eq!(shown(&mut log), "two\n");
        fs::write(&path, "anew\n").unwrap();
        assert_eq!(shown(&mut log), "anew\n");
    }

    #[test]
    fn a_file_that_does_not_exist_yet_is_shown_from_its_beginning() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("Task.log");
        let mut log = Log::follow(&path);
        assert_eq!(shown(&mut log), "");
        append(&path, "first\n");
        assert_eq!(shown(&mut log), "first\n");
    }

    #[test]
    fn a_host_that_prints_much_is_shown_in_portions_and_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("Task.log");
        let mut log = Log::follow(&path);
        let text = "a line of 20 letters\n".repeat(100_000);
        append(&path, &text);
        let mut terminal = Vec::new();
        let mut portions = 1;
        while log.show(&mut terminal).unwrap() == Shown::Part {
            assert!(terminal.len() <= portions * PORTION + LINE_BYTES);
            portions += 1;
        }
        assert!(portions > 1, "{portions}");
        assert!(terminal == text.as_bytes());
    }

    #[test]
    fn a_large_file_is_rotated_and_no_line_is_lost_on_the_way() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("Task.log");
        let mut log = Log::follow(&path);
        append(&path, "first\n");
        assert!(!log.is_large());
        let mut host = OpenOptions::new().append(true).open(&path).unwrap();
        host.set_len(LOG_BYTES + 1).unwrap();
        shown(&mut log);
        assert!(log.is_large());
        log.rotate().unwrap();
        host.write_all(b"\nto the old file\n").unwrap();
        assert!(shown(&mut log).ends_with("to the old file\n"));
        host.write_all(b"again\n").unwrap();
        append(&path, "to the new file\n");
        let mut terminal = Vec::new();
        log.reopened(&mut terminal).unwrap();
        log.show(&mut terminal).unwrap();
        assert_eq!(terminal, b"again\nto the new file\n");
        assert!(!log.is_large());
        assert!(place.path().join("Task.log.1").exists());
    }
}
