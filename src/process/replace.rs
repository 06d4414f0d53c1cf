//! A file that is replaced whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::FileError;

/// Makes `path` a file (0600) of these bytes, in one step: written beside (`.NAME.tmp`), then renamed. Who reads it
/// finds the old one or the new one, whole. One process at a time replaces a file. Nothing is synced.
///
/// # Errors
/// It cannot be written or renamed; what stood there stands there then.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut beside_name = OsString::from(".");
    beside_name.push(path.file_name().unwrap_or_default());
    beside_name.push(".tmp");
    let beside = path.with_file_name(beside_name);
    put(&beside, path, bytes).inspect_err(|_| {
        // On a full disk it only takes room. That it cannot be removed either would not add to the error.
        let _removed = fs::remove_file(&beside);
    })
}

fn put(beside: &Path, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut options = File::options();
    // Not blocking: somebody may have put a FIFO there.
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NONBLOCK);
    let mut file = options.open(beside).map_err(FileError::of(beside, "open"))?;
    file.write_all(bytes).map_err(FileError::of(beside, "write"))?;
    failpoint!("keeper.record_beside");
    fs::rename(beside, path).map_err(FileError::of(path, "rename to"))
}
