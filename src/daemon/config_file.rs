//! The config file: finding it, reading it, noticing that it changed.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::error::DaemonError;
use crate::config::{Document, MAX_CONFIG_BYTES};

/// Where configs are looked for by name alone.
const CONF_DIR: &str = "conf";

/// A config file that is watched.
pub(super) struct ConfigFile {
    path: PathBuf,
    seen: Option<Seen>,
    /// Kept for its effect: it sends to the receiver of [`ConfigFile::watch`].
    watcher: Option<RecommendedWatcher>,
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { inode: metadata.ino(), length: metadata.len(), modified }
    }
}

impl ConfigFile {
    /// Finds the file `name`: as given, then in `conf/`.
    pub(super) fn find(name: &Path) -> Result<Self, DaemonError> {
        let in_conf = Path::new(CONF_DIR).join(name);
        let path = [name, in_conf.as_path()].into_iter().find(|path| path.exists());
        let path = path.ok_or_else(|| DaemonError::ConfigFile {
            path: name.to_owned(),
            reason: format!("there is no such file, neither as given nor as {}", in_conf.display()),
        })?;
        Ok(Self { path: path.to_owned(), seen: None, watcher: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells of changes in the file's directory at once; without it they are noticed within a second. Editors
    /// write beside and rename, so the directory is watched and not the file.
    pub(super) fn watch(&mut self) -> mpsc::Receiver<()> {
        // One is enough: it says "look", not what happened.
        let (tx, rx) = mpsc::channel(1);
        let changed = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // Full means that a look is due already.
                let _due = tx.try_send(());
            }
        };
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let watched = notify::recommended_watcher(changed).and_then(|mut watcher| {
            watcher.watch(directory.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watched {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => tracing::debug!("the config's directory is looked at once a second: {error}"),
        }
        rx
    }

    /// Whether the file is another than when it was read last.
    pub(super) fn has_changed(&self) -> bool {
        let now = std::fs::metadata(&self.path).ok().map(|metadata| Seen::of(&metadata));
        // A file that is being replaced is missing for a moment: what was read goes on.
        now.is_some() && now != self.seen
    }

    /// Reads the file.
    pub(super) fn read(&mut self) -> Result<Document, DaemonError> {
        // Remembered also when it turns out to be faulty: it is read again when it changes, not each second.
        self.seen = Some(Seen::of(&self.metadata()?));
        self.peek()
    }

    fn metadata(&self) -> Result<Metadata, DaemonError> {
        let fail = |reason: String| DaemonError::ConfigFile { path: self.path.clone(), reason };
        std::fs::metadata(&self.path).map_err(|error| fail(error.to_string()))
    }

    /// Reads the file; a change in it is still to be noticed.
    pub(super) fn peek(&self) -> Result<Document, DaemonError> {
        let fail = |reason: String| DaemonError::ConfigFile { path: self.path.clone(), reason };
        let metadata = self.metadata()?;
        if !metadata.is_file() {
            return Err(fail("is no regular file; a config is read again and again, so it must be one".to_owned()));
        }
        let mut bytes = Vec::new();
        let limit = MAX_CONFIG_BYTES as u64 + 1;
        let file = File::open(&self.path).map_err(|error| fail(error.to_string()))?;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
        Document::parse_bytes(&self.path.display().to_string(), &bytes).map_err(DaemonError::Config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_noticed_and_a_faulty_one_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.conf");
        std::fs::write(&path, "{ A => 1 ").unwrap();
        let mut file = ConfigFile::find(&path).unwrap();
        assert!(file.has_changed());
        assert!(file.read().is_err());
        assert!(!file.has_changed());
        std::fs::write(&path, "{ A => {} }").unwrap();
        assert!(file.has_changed());
        assert!(file.read().is_ok());
        std::fs::remove_file(&path).unwrap();
        assert!(!file.has_changed(), "a file that is gone for a moment changes nothing");
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let error = ConfigFile::find(Path::new("/dev/zero")).unwrap().read().unwrap_err().to_string();
        assert!(error.contains("/dev/zero") && error.contains("regular file"), "{error}");
    }
}
