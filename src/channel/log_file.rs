//! A file that lines are appended to, by this process and perhaps by others: rotated by size, opened anew where its
//! name means another file.
//!
//! Daemon and hosts append to one file by its name, each line with one write, so lines of several processes stand one
//! below the other. Whoever sees that it has grown renames it to `NAME.1`, under a lock that the file itself bears;
//! the others notice with their next line that the name means another file, or none.
//!
//! Invariant: a line stands in a file that has a name when `append` returns, or it returns an error.
//! Invariant: nobody waits for a lock: who does not get it leaves the rotation to the next line.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{AccessFlags, access};

use crate::process::FileError;

/// How often a line is written again because its file was set aside twice and removed meanwhile: once is rare.
const TRIES: usize = 3;

/// A file that lines are appended to, opened with the first one.
#[derive(Default)]
pub(super) struct LogFile {
    file: Option<File>,
    /// Its last failure was told; the next one is told again only after a line that was written.
    pub(super) told: bool,
    /// That it cannot be rotated was told.
    pub(super) told_of_rotation: bool,
}

/// What became of a line that was written.
#[derive(Debug)]
pub(super) enum Appended {
    /// All is well.
    Whole,
    /// The file is too large and cannot be set aside.
    NotRotated(FileError),
}

impl LogFile {
    /// Appends a line; a file of `max_bytes` or more is set aside then.
    pub(super) fn append(&mut self, path: &Path, text: &str, max_bytes: u64) -> Result<Appended, FileError> {
        for _ in 0..TRIES {
            // A file that failed is opened again for the next line: its disk may have room by then.
            let mut file = self.current(path)?;
            file.write_all(text.as_bytes()).map_err(FileError::of(path, "write"))?;
            let metadata = file.metadata().map_err(FileError::of(path, "look at"))?;
            if metadata.nlink() == 0 && !is_named(path, &metadata) {
                continue;
            }
            self.told = false;
            if !metadata.is_file() || metadata.len() < max_bytes {
                self.file = Some(file);
                return Ok(Appended::Whole);
            }
            return Ok(self.rotate(file, path));
        }
        Err(FileError::new(path, "append to", io::Error::other("it is removed again and again")))
    }

    /// The file that has the name now.
    fn current(&mut self, path: &Path) -> Result<File, FileError> {
        let named = |file: &File| file.metadata().is_ok_and(|metadata| is_named(path, &metadata));
        match self.file.take().filter(named) {
            Some(file) => Ok(file),
            None => open(path).map_err(FileError::of(path, "open")),
        }
    }

    /// Opens the name anew for the next line.
    pub(super) fn reopen(&mut self) {
        self.file = None;
    }

    /// Sets the file aside, unless somebody else does or has done so.
    fn rotate(&mut self, file: File, path: &Path) -> Appended {
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => locked,
            Err((file, _)) => {
                self.file = Some(file);
                return Appended::Whole;
            }
        };
        // Only now: who had the lock before may have done it.
        let is_named = file.metadata().is_ok_and(|metadata| is_named(path, &metadata));
        match if is_named { fs::rename(path, aside(path)) } else { Ok(()) } {
            Ok(()) => {
                self.told_of_rotation = false;
                Appended::Whole
            }
            Err(error) => Appended::NotRotated(FileError::new(path, "set aside", error)),
        }
    }
}

/// `NAME.1`
fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".1");
    aside.into()
}

fn is_named(path: &Path, file: &Metadata) -> bool {
    fs::metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (file.dev(), file.ino()))
}

/// Non-blocking, for the path may name a FIFO that nobody reads.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Whether lines can be appended to the file of this name, or one can be made; makes none.
pub(super) fn usable(path: &Path) -> Result<(), FileError> {
    match OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let may = access(folder, AccessFlags::W_OK | AccessFlags::X_OK);
            may.map_err(|error| FileError::new(path, "make", error.into()))
        }
        opened => opened.map(drop).map_err(FileError::of(path, "open")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    const LARGE: u64 = 1 << 30;

    fn append(file: &mut LogFile, path: &Path, text: &str, max_bytes: u64) {
        assert!(matches!(file.append(path, text, max_bytes), Ok(Appended::Whole)), "{text}");
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn whether_a_file_takes_lines_is_told_without_making_it() {
        let dir = tempfile::tempdir().unwrap();
        let (new, missing) = (dir.path().join("new.log"), dir.path().join("missing/new.log"));
        assert!(usable(&new).is_ok() && !new.exists());
        assert!(usable(Path::new("beside.log")).is_ok() && !Path::new("beside.log").exists());
        fs::write(&new, "a line").unwrap();
        assert!(usable(&new).is_ok());
        for path in [missing.as_path(), dir.path()] {
            let told = usable(path).unwrap_err().to_string();
            assert!(told.contains(path.to_str().unwrap()), "{told}");
        }
    }

    #[test]
    fn a_file_that_has_grown_is_set_aside_and_the_one_before_it_goes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("alerts.log");
        let mut file = LogFile::default();
        for line in ["one\n", "two\n", "three\n"] {
            append(&mut file, &path, line, 4);
        }
        assert_eq!(read(&aside(&path)), "three\n");
        append(&mut file, &path, "four\n", LARGE);
        assert_eq!(read(&path), "four\n");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_others_have_renamed_or_removed_is_made_anew() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("alerts.log");
        let mut file = LogFile::default();
        append(&mut file, &path, "one\n", LARGE);
        fs::rename(&path, place.path().join("elsewhere")).unwrap();
        append(&mut file, &path, "two\n", LARGE);
        assert_eq!((read(&place.path().join("elsewhere")), read(&path)), ("one\n".into(), "two\n".into()));
        fs::remove_file(&path).unwrap();
        append(&mut file, &path, "three\n", LARGE);
        assert_eq!(read(&path), "three\n");
    }

    #[test]
    fn a_file_that_cannot_be_set_aside_goes_on_and_says_so() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("alerts.log");
        fs::create_dir(aside(&path)).unwrap();
        let mut file = LogFile::default();
        for _ in 0..2 {
            let appended = file.append(&path, "line\n", 1);
            assert!(matches!(appended, Ok(Appended::NotRotated(_))), "{appended:?}");
        }
        assert_eq!(read(&path), "line\nline\n");
    }

    /// Several hold the file open, as processes do; each line is there once, in what is left or in what went before.
    #[test]
    fn lines_of_many_writers_are_all_there_once_over_a_rotation() {
        const WRITERS: usize = 8;
        const LINES: usize = 500;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("alerts.log");
        let begin = Barrier::new(WRITERS);
        // Large enough that one rotation happens, and no second one.
        let max_bytes = (WRITERS * LINES * "w0 l000\n".len()) as u64 * 2 / 3;
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (begin, path) = (&begin, &path);
                scope.spawn(move || {
                    let mut file = LogFile::default();
                    begin.wait();
                    for line in 0..LINES {
                        append(&mut file, path, &format!("w{writer} l{line:03}\n"), max_bytes);
                    }
                });
            }
        });
        let whole = read(&aside(&path)) + &read(&path);
        let mut lines: Vec<_> = whole.lines().collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!((lines.len(), whole.lines().count()), (WRITERS * LINES, WRITERS * LINES));
    }
}
