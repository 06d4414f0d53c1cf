//! A queue's files, opened once per process and shared by its senders and its consumer there.
//!
//! Invariant: one `Queue` of a `Transit` stands for one directory, and its one descriptor of `lock` holds all the
//! locks this process has there; so a lock is given back by byte, and lost only with the last user.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::consequences;
use super::directory::{Directory, Identity};
use super::error::Error;
use super::index::{Index, LANES};
use super::recovery;
use super::segment::lane_directory;
use super::settings::Settings;
use super::slot::LaneId;
use crate::name::{LaneName, QueueName};
use crate::process::ByteLock;

/// The right to consume.
pub(super) const CONSUME: ByteLock = ByteLock { byte: 0 };
/// The right to make slots and to change settings.
const CHANGE: ByteLock = ByteLock { byte: 1 << 40 };
/// How long we wait for the right to change an index: it is held for a few file operations, after a reboot for a
/// walk through what the queue holds.
const CHANGE_PATIENCE: Duration = Duration::from_secs(30);
/// The same on a thread of a runtime, where others wait for the thread: whoever asked tries again later.
const RUNTIME_PATIENCE: Duration = Duration::from_millis(100);
const LOCK: &str = "lock";
const INDEX: &str = "index";

/// A queue, opened.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: QueueName,
    pub(super) directory: Directory,
    pub(super) index: Index,
    /// Whether this process consumes it (the kernel's lock does not separate us from ourselves).
    pub(super) consumed: AtomicBool,
    /// Whether the end of this process was asked for: no input that it handles is noted any more.
    pub(super) spared: AtomicBool,
    lock: File,
    identities: [Option<Identity>; 2],
    changing: Mutex<()>,
}

/// The right to write lane `slot`; see [`ByteLock`].
pub(super) fn lane_lock(slot: usize) -> ByteLock {
    ByteLock { byte: slot as u64 + 1 }
}

impl Queue {
    /// Opens a queue; nothing where there is none.
    pub(super) fn open(root: &Path, name: &QueueName, boot_id: [u64; 2]) -> Result<Option<Self>, Error> {
        let path = root.join(name.as_str());
        let directory = match Directory::open(&path) {
            Ok(directory) => directory,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::io(&path, source)),
        };
        let open = |file: &str| directory.open_file(file).map_err(|source| Error::io(&path.join(file), source));
        let (lock, index_file) = (open(LOCK)?, open(INDEX)?);
        let index = Index::open(&index_file, &path.join(INDEX))?;
        let identities = [directory.identity(LOCK), directory.identity(INDEX)];
        let (consumed, spared, changing) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::new(()));
        let queue = Self { name: name.clone(), directory, index, consumed, spared, lock, identities, changing };
        queue.index.reopen();
        if queue.index.boot_id() != boot_id {
            queue.change(|| {
                if queue.index.boot_id() != boot_id {
                    recovery::after_boot(&queue)?;
                    failpoint!("recovery.lanes_walked");
                    queue.index.set_boot_id(boot_id);
                }
                Ok(())
            })?;
        }
        Ok(Some(queue))
    }

    /// The index of a queue alone, for a look; nothing where there is no queue.
    pub(super) fn index(root: &Path, name: &QueueName) -> Result<Option<Index>, Error> {
        let path = root.join(name.as_str()).join(INDEX);
        match File::options().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
            Ok(file) => Index::open(&file, &path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(&path, source)),
        }
    }

    /// Opens a queue, and makes it where there is none.
    pub(super) fn open_or_make(root: &Path, name: &QueueName, boot_id: [u64; 2]) -> Result<Self, Error> {
        // A maker who loses the race, or a directory that vanishes in between, means to look again.
        for _ in 0..3 {
            if let Some(queue) = Self::open(root, name, boot_id)? {
                return Ok(queue);
            }
            Self::make(root, name, boot_id)?;
        }
        Self::open(root, name, boot_id)?
            .ok_or_else(|| Error::io(&root.join(name.as_str()), std::io::ErrorKind::NotFound))
    }

    /// Makes a queue's directory under a dot name and renames it into place; whoever did so before us has won.
    fn make(root: &Path, name: &QueueName, boot_id: [u64; 2]) -> Result<(), Error> {
        let path = root.join(format!(".new-{:016x}", random()));
        let fail = |source: std::io::Error| Error::io(&path, source);
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(fail)?;
        let filled = Directory::open(&path).and_then(|directory| {
            directory.make_file(LOCK)?;
            Index::create(&directory.make_file(INDEX)?, &directory.path_of(INDEX), &Settings::default(), boot_id)
        });
        failpoint!("queue.filled");
        let renamed = filled.and_then(|()| std::fs::rename(&path, root.join(name.as_str())));
        match renamed {
            Ok(()) => Ok(()),
            Err(error) => {
                std::fs::remove_dir_all(&path).map_err(fail)?;
                let lost = matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST));
                if lost { Ok(()) } else { Err(Error::io(&root.join(name.as_str()), error)) }
            }
        }
    }

    /// Whether the path names other files by now.
    pub(super) fn is_replaced(&self) -> bool {
        [LOCK, INDEX].map(|file| self.directory.identity_by_path(file)) != self.identities
    }

    /// The end of this process was asked for: forgets which inputs it handles, if it consumes this queue. One that a
    /// handler is called with in this very moment may stay noted: that is one end too many of three.
    pub(super) fn spare_inputs(&self) {
        self.spared.store(true, Ordering::Relaxed);
        if self.consumed.load(Ordering::Relaxed) {
            (0..self.index.slots()).for_each(|at| self.index.slot(at).set_under_way(0));
            consequences::forget(self);
        }
    }

    /// Takes a lock: true when it is ours now, also when it was before.
    pub(super) fn try_lock(&self, lock: ByteLock) -> Result<bool, Error> {
        lock.try_take(&self.lock).map_err(|source| Error::io(&self.directory.path_of(LOCK), source))
    }

    /// Gives a lock back.
    pub(super) fn unlock(&self, lock: ByteLock) {
        if let Err(error) = lock.release(&self.lock) {
            tracing::error!("queue {}: lock {} could not be given back: {error}", self.name, lock.byte);
        }
    }

    /// Whether another process holds a lock.
    pub(super) fn is_locked_elsewhere(&self, lock: ByteLock) -> Result<bool, Error> {
        crate::process::is_locked(&self.lock, lock.byte)
            .map_err(|source| Error::io(&self.directory.path_of(LOCK), source))
    }

    /// The slot of a lane, if it has one.
    pub(super) fn find_lane(&self, name: &LaneName) -> Option<usize> {
        (0..self.index.slots()).find(|at| self.index.slot(*at).name().as_ref() == Some(name))
    }

    /// The slot of a lane, made where there is none.
    pub(super) fn lane(&self, name: &LaneName) -> Result<usize, Error> {
        match self.find_lane(name) {
            Some(at) => Ok(at),
            None => self.change(|| self.find_lane(name).map_or_else(|| self.make_lane(name), Ok)),
        }
    }

    fn make_lane(&self, name: &LaneName) -> Result<usize, Error> {
        let at = self.index.slots();
        if at == LANES {
            return Err(Error::TooManyLanes { queue: self.name.clone(), lanes: LANES });
        }
        let fail = |file: &str, source| Error::io(&self.directory.path_of(file), source);
        self.directory.make_directory(&lane_directory(at)).map_err(|source| fail(&lane_directory(at), source))?;
        // Opened anew: a new lane is rare, and there may be ten thousand queues, each with its descriptors.
        let index_file = self.directory.open_file(INDEX).map_err(|source| fail(INDEX, source))?;
        if self.directory.identity(INDEX) != self.identities[1] {
            return Err(fail(INDEX, std::io::ErrorKind::NotFound.into()));
        }
        self.index.allocate_slot(&index_file, at).map_err(|source| fail(INDEX, source))?;
        self.index.slot(at).assign(name, LaneId(random()));
        failpoint!("queue.lane_assigned");
        self.index.publish_slot(at);
        Ok(at)
    }

    /// Writes new settings.
    pub(super) fn set_settings(&self, settings: &Settings) -> Result<(), Error> {
        self.change(|| {
            self.index.set_settings(settings);
            Ok(())
        })
    }

    fn change<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (begin, patience) = (Instant::now(), patience());
        while !self.try_lock(CHANGE)? {
            if begin.elapsed() > patience {
                return Err(Error::IndexBusy { queue: self.name.clone(), seconds: patience.as_secs_f64() });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let result = work();
        self.unlock(CHANGE);
        result
    }
}

fn patience() -> Duration {
    if tokio::runtime::Handle::try_current().is_ok() { RUNTIME_PATIENCE } else { CHANGE_PATIENCE }
}

/// Random bits for an id or a name; where the kernel has none, the clock and the pid stand in.
pub(super) fn random() -> u64 {
    let drawn = getrandom::u64();
    drawn.unwrap_or_else(|_| crate::message::Stamp::now().time_ns ^ (u64::from(std::process::id()) << 40)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_runtime_is_not_held_up_by_whoever_changes_an_index() {
        let (place, name) = (tempfile::tempdir().unwrap(), QueueName::new("q").unwrap());
        let open = || Queue::open_or_make(place.path(), &name, [0; 2]).unwrap();
        let (ours, theirs) = (open(), open());
        assert!(theirs.try_lock(CHANGE).unwrap());
        let begin = Instant::now();
        assert!(matches!(ours.set_settings(&Settings::default()), Err(Error::IndexBusy { .. })));
        assert!(begin.elapsed() < CHANGE_PATIENCE / 3, "{:?}", begin.elapsed());
        theirs.unlock(CHANGE);
        ours.set_settings(&Settings::default()).unwrap();
    }
}
