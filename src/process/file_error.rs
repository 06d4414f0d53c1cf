//! An error of one file: which, at what, why, and what its user can do about it.
//!
//! Invariant: the text stands alone. It holds the system's reason, so whoever prints a chain of causes needs no
//! second line; that is why the reason is a field, and not the `source()` of this error.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// What went wrong with a file or directory.
#[derive(Debug)]
pub struct FileError {
    /// The file or directory.
    pub path: PathBuf,
    /// What was tried, as a verb: `open`, `write`.
    pub action: &'static str,
    /// The system's reason.
    pub source: io::Error,
}

impl FileError {
    /// An error of `action` on `path`.
    pub fn new(path: impl AsRef<Path>, action: &'static str, source: io::Error) -> Self {
        Self { path: path.as_ref().to_owned(), action, source }
    }

    /// Makes an error of `action` on `path` of the system's reason: for `map_err`.
    pub fn of<'a>(path: &'a Path, action: &'static str) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::new(path, action, source)
    }

    /// What the user can do, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        Some(match Errno::from_raw(self.source.raw_os_error()?) {
            Errno::ENOSPC | Errno::EDQUOT => "free some space there, or raise the quota",
            Errno::EACCES | Errno::EPERM => "make it readable and writable for this user, or choose another directory",
            Errno::EROFS => "that file system is mounted read-only: remount it writable, or choose another directory",
            Errno::EFBIG => "it would pass the limit for the size of a file: raise `ulimit -f`",
            Errno::ENOTDIR | Errno::EEXIST => "a file stands where a directory is needed: move it, or choose another",
            Errno::EISDIR => "a directory stands where a file is needed: move it away",
            Errno::EMFILE | Errno::ENFILE => "too many files are open: raise `ulimit -n`",
            Errno::ENAMETOOLONG => "choose a shorter name",
            Errno::EIO => "the disk fails: `dmesg` may say more",
            _ => return None,
        })
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.action, self.path.display(), self.source)?;
        self.advice().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_file_names_it_and_says_what_to_do() {
        for (errno, advice) in [
            (libc::ENOSPC, "free some space"),
            (libc::EACCES, "for this user"),
            (libc::EROFS, "read-only"),
            (libc::EFBIG, "ulimit -f"),
        ] {
            let error = FileError::new("/state/a.state.0", "write", io::Error::from_raw_os_error(errno));
            let text = error.to_string();
            assert!(text.starts_with("cannot write /state/a.state.0: "), "{text}");
            assert!(text.contains(advice), "{text}");
        }
        let plain = FileError::new("x", "read", io::Error::other("odd"));
        assert_eq!(plain.to_string(), "cannot read x: odd");
    }
}
