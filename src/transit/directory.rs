//! A queue's directory, held open: its files are named relative to it.
//!
//! Invariant: once opened it is the same directory, also when another stands at its path by now. So nobody who
//! holds an old queue touches the files of the one that replaced it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// What tells two files apart: device and inode.
pub(super) type Identity = (u64, u64);

/// A directory held open, with the path it was opened by.
#[derive(Debug)]
pub(super) struct Directory {
    handle: File,
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { handle: File::open(path)?, path: path.to_owned() })
    }

    /// The path of `name`, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The path it was opened by.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file for reading and writing.
    pub(super) fn open_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        Ok(openat(&self.handle, name, flags, Mode::empty())?.into())
    }

    /// Makes a file anew; what stood there is emptied.
    pub(super) fn make_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        Ok(openat(&self.handle, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Makes a directory where there is none.
    pub(super) fn make_directory(&self, name: &str) -> io::Result<()> {
        match mkdirat(&self.handle, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The names in a directory below; none where there is no such directory.
    pub(super) fn names(&self, below: &str) -> io::Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = match Dir::openat(&self.handle, below, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::ENOENT) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        };
        let mut names = Vec::new();
        for entry in directory.iter() {
            if let Ok(name) = entry?.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Which file `name` is in this directory, if there is one.
    pub(super) fn identity(&self, name: &str) -> Option<Identity> {
        let found = fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        Some((found.st_dev, found.st_ino))
    }

    /// Which file the path names now.
    pub(super) fn identity_by_path(&self, name: &str) -> Option<Identity> {
        identity_of(&std::fs::metadata(self.path.join(name)).ok()?)
    }

    /// Writes the directory below (or itself, for ".") through to the disk.
    pub(super) fn sync(&self, below: &str) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        File::from(openat(&self.handle, below, flags, Mode::empty())?).sync_all()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the callers chain it")]
fn identity_of(metadata: &std::fs::Metadata) -> Option<Identity> {
    Some((metadata.dev(), metadata.ino()))
}
