//! The last lines of a log file, and what is written to it afterwards.
//!
//! A file that is rotated under way is read to its end, and then the new one from its beginning.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::secret::{Pieces, redacted_bytes};

/// How much of a file's end is looked through for its last lines.
const TAIL_BYTES: u64 = 1 << 20;

/// How much is told at once.
const CHUNK_BYTES: u64 = 64 << 10;

/// A file that is followed.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    open: Option<(File, u64)>,
    /// A task of an older program may have printed a secret there.
    pieces: Pieces,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None, pieces: Pieces::default() }
    }

    /// The last `lines` lines; from there on it is followed. A file that is not there yet holds none.
    pub(super) fn last(&mut self, lines: usize) -> io::Result<Vec<u8>> {
        let Some((mut file, inode)) = open(&self.path)? else { return Ok(Vec::new()) };
        let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        (&mut file).take(TAIL_BYTES).read_to_end(&mut bytes)?;
        if start > 0 {
            // The first line is cut.
            let whole = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            bytes.drain(..whole);
        }
        let ends = bytes.iter().enumerate().rev().filter(|(at, byte)| **byte == b'\n' && at + 1 < bytes.len());
        let begin = ends.map(|(at, _)| at + 1).nth(lines.saturating_sub(1)).unwrap_or(0);
        bytes.drain(..if lines == 0 { bytes.len() } else { begin });
        self.open = Some((file, inode));
        Ok(redacted_bytes(&bytes).into_owned())
    }

    /// What was written since, or a portion of it.
    pub(super) fn more(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.read_more()?;
        Ok(if bytes.is_empty() { bytes } else { self.pieces.next(&bytes) })
    }

    fn read_more(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some((file, inode)) = &mut self.open {
            file.take(CHUNK_BYTES).read_to_end(&mut bytes)?;
            if !bytes.is_empty() {
                return Ok(bytes);
            }
            let is_named = std::fs::metadata(&self.path).is_ok_and(|named| named.ino() == *inode);
            if is_named {
                return Ok(bytes);
            }
        }
        if let Some((mut file, inode)) = open(&self.path)? {
            (&mut file).take(CHUNK_BYTES).read_to_end(&mut bytes)?;
            self.open = Some((file, inode));
        }
        Ok(bytes)
    }
}

/// Not blocking: somebody may have put a FIFO there.
fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some((file, inode)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines_are_told_and_then_what_comes_also_from_the_next_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("T.log");
        let mut log = LogFile::new(path.clone());
        assert_eq!(log.last(2).unwrap(), b"");
        assert_eq!(log.more().unwrap(), b"");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        for (lines, expected) in [(0, ""), (1, "three\n"), (2, "two\nthree\n"), (9, "one\ntwo\nthree\n")] {
            assert_eq!(String::from_utf8(log.last(lines).unwrap()).unwrap(), expected, "{lines}");
        }
        let mut writer = File::options().append(true).open(&path).unwrap();
        writer.write_all(b"four\n").unwrap();
        std::fs::rename(&path, dir.path().join("T.log.1")).unwrap();
        std::fs::write(&path, "five\n").unwrap();
        assert_eq!(
            (log.more().unwrap(), log.more().unwrap(), log.more().unwrap()),
            (b"four\n".into(), b"five\n".into(), vec![])
        );
    }

    #[test]
    fn a_huge_file_is_read_from_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("T.log");
        let line = format!("{}\n", "x".repeat(99));
        std::fs::write(&path, line.repeat(30_000)).unwrap();
        let all = LogFile::new(path).last(usize::MAX).unwrap();
        assert!(all.len() as u64 <= TAIL_BYTES && all.len().is_multiple_of(100), "{}", all.len());
    }
}
