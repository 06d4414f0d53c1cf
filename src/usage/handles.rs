//! Files of `/proc` that are held open and read again and again: 1 to 3 µs a reading, where to open one anew costs 4
//! to 7 µs.
//!
//! Invariant: all meters that share [`Handles`] hold at most so many files open. Beyond, a file is opened for each
//! reading: slower, and nothing else. An open file of `/proc/PID` stays that process's: when it is gone it reads
//! nothing, also when another process has the pid.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// The longest list that is read: the children of one thread, some 30,000 of them. The other files have one line.
const MAX_BYTES: usize = 256 << 10;
/// What is read at once.
const CHUNK: usize = 4096;

/// How many files meters may hold open.
#[derive(Debug, Clone)]
pub struct Handles {
    limit: usize,
    held: Arc<AtomicUsize>,
}

impl Handles {
    /// At most `limit` files; a tree of a keeper and its host takes about 15.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, held: Arc::default() }
    }

    /// How many are held open now: the caller's bookkeeping, which no limit of its own should count.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Keeps a file open, if there is room for it.
    fn keep(&self, file: OwnedFd) -> Result<Kept, OwnedFd> {
        let one_more = |held| (held < self.limit).then_some(held + 1);
        match self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more) {
            Ok(_) => Ok(Kept { file: File::from(file), held: self.held.clone() }),
            Err(_) => Err(file),
        }
    }
}

/// An open file that is counted.
#[derive(Debug)]
struct Kept {
    file: File,
    held: Arc<AtomicUsize>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The directory of a process.
#[derive(Debug)]
pub(super) struct Directory {
    pid: u32,
    kept: Option<Kept>,
}

/// It, open for as long as one look lasts.
pub(super) enum OpenDirectory<'a> {
    Kept(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl Directory {
    pub(super) fn new(pid: u32) -> Self {
        Self { pid, kept: None }
    }

    /// Opens it, or uses what is open.
    pub(super) fn open(&mut self, handles: &Handles) -> io::Result<OpenDirectory<'_>> {
        if self.kept.is_none() {
            let path = format!("/proc/{}", self.pid);
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            match handles.keep(nix::fcntl::open(path.as_str(), flags, Mode::empty())?) {
                Ok(kept) => self.kept = Some(kept),
                Err(opened) => return Ok(OpenDirectory::Opened(opened)),
            }
        }
        self.kept.as_ref().map(|kept| OpenDirectory::Kept(kept.file.as_fd())).ok_or_else(|| io::ErrorKind::Other.into())
    }
}

impl AsFd for OpenDirectory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Kept(kept) => kept.as_fd(),
            Self::Opened(opened) => opened.as_fd(),
        }
    }
}

/// A file below the directory of a process.
#[derive(Debug)]
pub(super) struct ProcFile {
    name: String,
    kept: Option<Kept>,
}

impl ProcFile {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), kept: None }
    }

    /// Reads it anew into `buffer`, from its beginning: one read for a file of one line, all of a list.
    pub(super) fn read(
        &mut self,
        directory: &OpenDirectory<'_>,
        handles: &Handles,
        buffer: &mut Vec<u8>,
        extent: Extent,
    ) -> io::Result<()> {
        if let Some(kept) = &self.kept {
            return read_from(&kept.file, buffer, extent);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let opened = openat(directory, self.name.as_str(), flags, Mode::empty())?;
        match handles.keep(opened) {
            Ok(kept) => read_from(&self.kept.insert(kept).file, buffer, extent),
            Err(opened) => read_from(&File::from(opened), buffer, extent),
        }
    }
}

/// How much of a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// It is one line, which comes in one piece.
    Line,
    /// It is a list, which may come in pieces.
    List,
}

fn read_from(file: &File, buffer: &mut Vec<u8>, extent: Extent) -> io::Result<()> {
    let mut length = 0;
    loop {
        buffer.resize(length + CHUNK, 0);
        let read = file.read_at(&mut buffer[length..], length as u64)?;
        length += read;
        if read == 0 || extent == Extent::Line || length >= MAX_BYTES {
            buffer.truncate(length);
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_files_are_held_open_than_may_be_and_the_others_are_read_too() {
        let mut buffer = Vec::new();
        for limit in [0, 1, 2, 9] {
            let handles = Handles::new(limit);
            let mut directory = Directory::new(std::process::id());
            let mut files = ["stat", "statm", "io"].map(ProcFile::new);
            for _ in 0..3 {
                let open = directory.open(&handles).unwrap();
                for file in &mut files {
                    file.read(&open, &handles, &mut buffer, Extent::Line).unwrap();
                    assert!(!buffer.is_empty());
                }
            }
            assert_eq!(handles.held(), limit.min(4));
            drop((directory, files));
            assert_eq!(handles.held(), 0);
        }
    }
}
