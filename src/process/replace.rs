//! A file that is replaced whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::FileError;

/// The next contents of a file, written beside it (`.NAME.tmp`, 0600), until they are put in its place. Left undone, they
/// go. One process at a time replaces a file. Nothing is synced.
#[derive(Debug)]
#[must_use = "the file is still what it was"]
pub struct Replacement {
    path: PathBuf,
    beside: PathBuf,
    is_put: bool,
}

impl Replacement {
    /// Writes the bytes beside `path`.
    ///
    /// # Errors
    /// They cannot be written; nothing has changed then.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        let mut beside_name = OsString::from(".");
        beside_name.push(path.file_name().unwrap_or_default());
        beside_name.push(".tmp");
        let beside = path.with_file_name(beside_name);
        let mut options = File::options();
        // Not blocking: somebody may have put a FIFO there.
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NONBLOCK);
        let mut file = options.open(&beside).map_err(FileError::of(&beside, "open"))?;
        let replacement = Self { path: path.to_owned(), beside, is_put: false };
        file.write_all(bytes).map_err(FileError::of(&replacement.beside, "write"))?;
        Ok(replacement)
    }

    /// Makes them the file, in one step: who reads it finds the old one or the new one, whole.
    ///
    /// # Errors
    /// It cannot be renamed; what stood there stands there then.
    pub fn put(mut self) -> Result<(), FileError> {
        failpoint!("keeper.record_beside");
        fs::rename(&self.beside, &self.path).map_err(FileError::of(&self.path, "rename to"))?;
        self.is_put = true;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_put {
            // On a full disk it only takes room. That it cannot be removed either would not add to the error.
            let _removed = fs::remove_file(&self.beside);
        }
    }
}

/// Makes `path` a file of these bytes: see [`Replacement`].
///
/// # Errors
/// It cannot be written or renamed; what stood there stands there then.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    Replacement::write(path, bytes)?.put()
}
