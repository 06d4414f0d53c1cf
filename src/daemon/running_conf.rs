//! `STATE/running.conf`: the config that runs, written by the daemon, read by the processes beside it, which so start
//! and go on without the daemon.
//!
//! Written beside and renamed: who reads it finds the old one or the new one, whole. It is not synced, for after a
//! power cut nobody runs who could read it before the next daemon has written it anew.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::{MAX_CONFIG_BYTES, RunningConfig, RunningFault};
use crate::process::{FileError, Replacement};

/// The file's name in the state directory.
const NAME: &str = "running.conf";

/// The most that is written and read: entries by message come on top of a file's, and are spelt out.
const MAX_RUNNING_BYTES: usize = 4 * MAX_CONFIG_BYTES;

/// Why the running config was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum RunningConfError {
    /// The file refuses.
    #[error(transparent)]
    File(#[from] FileError),
    /// What stands in it is of no use.
    #[error("{}: {fault}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: RunningFault,
    },
    /// There is more of it than anybody would read.
    #[error("{}: a config takes at most {MAX_RUNNING_BYTES} bytes there", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// Makes `running` the running config of `state_dir`. After an error the one before is still there.
///
/// # Errors
/// The file cannot be written, or the config is longer than 64 MiB.
pub fn write_running_conf(state_dir: &Path, running: &RunningConfig) -> Result<(), RunningConfError> {
    Ok(prepare_running_conf(state_dir, running)?.put()?)
}

/// Writes what is to be the running config of `state_dir` once it is put there: all that may well fail has been done then.
pub(super) fn prepare_running_conf(state_dir: &Path, running: &RunningConfig) -> Result<Replacement, RunningConfError> {
    let path = state_dir.join(NAME);
    let text = running.to_text();
    if text.len() > MAX_RUNNING_BYTES {
        return Err(RunningConfError::TooLong { path });
    }
    Ok(Replacement::write(&path, text.as_bytes())?)
}

/// The running config of `state_dir`; none if no daemon has applied one.
///
/// # Errors
/// The file cannot be read, is damaged, or was written by a newer program.
pub fn read_running_conf(state_dir: &Path) -> Result<Option<RunningConfig>, RunningConfError> {
    let path = state_dir.join(NAME);
    let mut options = File::options();
    // Not blocking: somebody may have put a FIFO there.
    let file = match options.read(true).custom_flags(libc::O_NONBLOCK).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::new(&path, "open", error).into()),
    };
    let mut bytes = Vec::new();
    file.take(MAX_RUNNING_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(FileError::of(&path, "read"))?;
    if bytes.len() > MAX_RUNNING_BYTES {
        return Err(RunningConfError::TooLong { path });
    }
    let text = String::from_utf8(bytes).map_err(|error| content(&path, RunningFault::Damaged(error.to_string())))?;
    RunningConfig::from_text(&text).map(Some).map_err(|fault| content(&path, fault))
}

fn content(path: &Path, fault: RunningFault) -> RunningConfError {
    RunningConfError::Content { path: path.to_owned(), fault }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::fields;

    #[test]
    fn the_running_config_is_read_as_it_was_written_last() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_running_conf(dir.path()).unwrap(), None);
        for generation in 1..3 {
            let config = fields! { A: fields! { generation: generation } };
            let running = RunningConfig { generation, config, ..RunningConfig::default() };
            write_running_conf(dir.path(), &running).unwrap();
            assert_eq!(read_running_conf(dir.path()).unwrap(), Some(running));
        }
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [NAME]);
        let mode = std::fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_of_no_use_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        for (bytes, expected) in [
            (&b"\xff"[..], "utf-8"),
            (b"", "no second line"),
            (b"{\"format\":9}\n", "format 9"),
            (b"{}", "no second line"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = read_running_conf(dir.path()).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(expected), "{error}");
        }
        File::create(&path).unwrap().set_len(MAX_RUNNING_BYTES as u64 + 1).unwrap();
        assert!(matches!(read_running_conf(dir.path()), Err(RunningConfError::TooLong { .. })));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(read_running_conf(dir.path()), Err(RunningConfError::File(_))));
    }

    #[test]
    fn what_cannot_be_written_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let running = RunningConfig { generation: 1, ..RunningConfig::default() };
        write_running_conf(dir.path(), &running).unwrap();
        std::fs::create_dir(dir.path().join(".running.conf.tmp")).unwrap();
        let error = write_running_conf(dir.path(), &RunningConfig::default()).unwrap_err().to_string();
        assert!(error.contains(".running.conf.tmp"), "{error}");
        assert_eq!(read_running_conf(dir.path()).unwrap(), Some(running));
    }
}
