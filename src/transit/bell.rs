//! The doorbell of a consuming process: a FIFO to which senders of other processes write a queue's 8-byte token.
//!
//! Invariant: a FIFO at its final name has a reader, until its process ends. One without is stale, and removed by
//! whoever opens a bell next.
//!
//! A read that fills its buffer means that a sender may have found the FIFO full; then every consumer is woken.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::error::Error;
use super::heartbeat::{Blocking, HEARTBEAT};
use super::open::{Inner, Transit};
use super::protocol::{AWAKE, SLEEPING};
use super::queue::{Queue, random};

/// What is called to wake a consumer. It must not append or take: it is called within an append.
pub(super) type Waker = Arc<dyn Fn() + Send + Sync>;

/// How many tokens are read one by one; a FIFO of the default 64 KiB holds 8,192.
const TOKENS: usize = 512;
/// The longest wait without a look: what bounds the harm when a sender is killed between message and ring.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(1);
const BELLS: &str = ".bells";

/// The FIFO that senders ring for the queues which this process consumes.
pub struct Bell {
    id: u64,
    path: PathBuf,
    /// Made anew where the path names it no longer.
    fifo: Mutex<Arc<File>>,
    rung: Mutex<HashMap<u64, Rung>>,
    late: AtomicU64,
    /// For a plain thread that waits: made at its first wait.
    blocking: Mutex<Option<Arc<Blocking>>>,
    transit: Weak<Inner>,
}

struct Rung {
    queue: Arc<Queue>,
    waker: Option<Waker>,
}

/// The path of a bell's FIFO.
pub(super) fn path(root: &Path, id: u64) -> PathBuf {
    root.join(BELLS).join(format!("{id:016x}"))
}

impl Bell {
    /// Makes this process's bell, and removes those of processes that are gone.
    pub fn open(transit: &Transit) -> Result<Arc<Self>, Error> {
        let directory = transit.root().join(BELLS);
        let fail = |source: io::Error| Error::io(&directory, source);
        make_directory(&directory).map_err(fail)?;
        remove_stale(&directory).map_err(fail)?;
        let id = random();
        let path = path(transit.root(), id);
        let fifo = Mutex::new(Arc::new(make_fifo(&path).map_err(fail)?));
        let (rung, late, blocking) = (Mutex::default(), AtomicU64::new(0), Mutex::default());
        let inner = Arc::downgrade(transit.inner());
        let bell = Arc::new(Self { id, path, fifo, rung, late, blocking, transit: inner });
        transit.inner().add_bell(&bell);
        Ok(bell)
    }

    /// Reads what senders of other processes have rung, and calls the wakers of those queues. Returns how many
    /// tokens there were.
    pub fn ring_pending(&self) -> io::Result<usize> {
        let (mut count, fifo) = (0, self.fifo());
        loop {
            match self.read_tokens(&fifo) {
                Ok((read, true)) => count += read,
                Ok((read, false)) => return Ok(count + read),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// For a plain thread: waits until somebody rings (true), or for a second at most (false).
    pub(super) fn wait(&self) -> io::Result<bool> {
        let blocking = self.blocking()?;
        match self.read_tokens(&blocking.fifo) {
            Ok((0, _)) => {
                // At the next wait.
                self.mend()?;
                Ok(false)
            }
            Ok(_) => Ok(true),
            // A signal is a reason to look, too.
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn blocking(&self) -> io::Result<Arc<Blocking>> {
        let made = self.blocking.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(blocking) = made {
            return Ok(blocking);
        }
        // It is opened by its path.
        self.mend()?;
        let made = Arc::new(Blocking::new(&self.path, &self.fifo())?);
        *self.blocking.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }

    /// Makes the FIFO anew where its path does not name it any more, and wakes everybody; true when it did. Once a
    /// second: until then senders do not find it, and who waits finds their messages by looking. Whoever waits on
    /// the old one's descriptor goes on with [`Bell::fifo`].
    pub fn mend(&self) -> io::Result<bool> {
        let mut fifo = self.fifo.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let ours = identity(fifo.metadata()?);
        if std::fs::symlink_metadata(&self.path).is_ok_and(|there| identity(there) == ours) {
            return Ok(false);
        }
        self.path.parent().map_or(Ok(()), make_directory)?;
        *fifo = Arc::new(make_fifo(&self.path)?);
        drop(fifo);
        tracing::info!("{}: the doorbell was removed and is made anew", self.path.display());
        *self.blocking.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // What was written to the old one is read by nobody.
        self.wake_all();
        Ok(true)
    }

    /// The FIFO: readable when somebody has rung.
    #[must_use]
    pub fn fifo(&self) -> Arc<File> {
        self.fifo.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads tokens once and wakes their consumers: how many there were, and whether there may be more.
    fn read_tokens(&self, mut fifo: &File) -> io::Result<(usize, bool)> {
        let mut buffer = [0; TOKENS * 8];
        let read = fifo.read(&mut buffer)?;
        if read == buffer.len() {
            self.wake_all();
            return Ok((TOKENS, true));
        }
        let tokens = buffer[..read].chunks_exact(8).filter(|token| **token != HEARTBEAT);
        let count = tokens.map(|token| self.wake(u64::from_le_bytes(token.try_into().expect("a chunk of 8 bytes"))));
        Ok((count.count(), false))
    }

    /// After a second without a ring: counts every consumer that sleeps while a lane of its may hold something, and
    /// wakes as [`Bell::wake_waiting`] does. It happens only when a sender was killed between its message and its ring.
    pub fn look_again(&self) {
        let late = self.rung().values().filter(|rung| rung.overslept()).count();
        self.count_late(late);
        self.wake_waiting();
    }

    /// Wakes every consumer of which a lane may hold something; one that is at work looks once in vain. Called each
    /// second: a sender that could not ring (it was killed on the way, or the FIFO was removed) has marked the
    /// consumer as awake already, so that nobody rings for it any more.
    pub fn wake_waiting(&self) {
        let waiting = |rung: &&Rung| rung.has_something();
        let wakers: Vec<Waker> = self.rung().values().filter(waiting).filter_map(|rung| rung.waker.clone()).collect();
        wakers.into_iter().for_each(|waker| waker());
    }

    /// How many times a wait ended by time-out although there was a message.
    #[must_use]
    pub fn late_wakeups(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    pub(super) fn count_late(&self, times: usize) {
        self.late.fetch_add(times as u64, Ordering::Relaxed);
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Wakes the consumer of a token. One that waits on the FIFO itself is woken through it.
    pub(super) fn wake(&self, token: u64) {
        let waker = self.rung().get(&token).map(|rung| rung.waker.clone());
        if let Some(Some(waker)) = waker {
            waker();
        }
    }

    /// Whether the consumer of a token is woken by a call.
    pub(super) fn has_waker(&self, token: u64) -> bool {
        self.rung().get(&token).is_some_and(|rung| rung.waker.is_some())
    }

    /// Adds a consumer; the token is its queue's.
    pub(super) fn add(&self, queue: Arc<Queue>, waker: Option<Waker>) -> u64 {
        let token = random();
        self.rung().insert(token, Rung { queue, waker });
        token
    }

    pub(super) fn remove(&self, token: u64) {
        self.rung().remove(&token);
    }

    fn wake_all(&self) {
        let wakers: Vec<Waker> = self.rung().values().filter_map(|rung| rung.waker.clone()).collect();
        wakers.into_iter().for_each(|waker| waker());
    }

    fn rung(&self) -> MutexGuard<'_, HashMap<u64, Rung>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rung {
    fn has_something(&self) -> bool {
        self.queue.index.bits().iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    fn overslept(&self) -> bool {
        let index = &self.queue.index;
        self.has_something()
            && index.sleeping().compare_exchange(SLEEPING, AWAKE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(directory)
}

/// Makes a FIFO beside and renames it to its name, with a reader.
fn make_fifo(path: &Path) -> io::Result<File> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!(".new-{name}"));
    mkfifo(&unfinished, Mode::S_IRUSR | Mode::S_IWUSR)?;
    // Open for writing too, so that it never reads as ended between two senders.
    let open =
        |flags: i32| OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK | flags).open(&unfinished);
    // Each read would mark the inode, half a µs; it is refused where the owner is another.
    let fifo = open(libc::O_NOATIME).or_else(|_| open(0))?;
    std::fs::rename(&unfinished, path)?;
    Ok(fifo)
}

/// Removes the FIFOs that nobody reads. Those being made have dot names and stay.
fn remove_stale(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let opened = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(entry.path());
        if opened.is_err_and(|error| error.raw_os_error() == Some(libc::ENXIO)) {
            match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(transit) = self.transit.upgrade() {
            transit.remove_bell(self.id);
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!("{}: {error}", self.path.display());
        }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("path", &self.path).finish_non_exhaustive()
    }
}
