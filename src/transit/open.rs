//! The transit as one process has it open: its directory, and who in this process uses which queue.
//!
//! Invariant: a lane has at most one writer in a process, a queue at most one set of open files. Kernel locks do
//! not separate us from ourselves, so these tables do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::consumer::{Consumer, Reader};
use super::error::{AppendError, Error};
use super::lane_writer::Stop;
use super::queue::{CONSUME, Queue, lane_lock};
use super::record::{Outgoing, Tag};
use super::recovery;
use super::root;
use super::sender::{Sender, Shared, take_lane};
use super::settings::Settings;
use super::status::{self, LaneStatus, QueueStatus};
use crate::name::{LaneName, QueueName};

/// The queues of a directory. Clones are the same open transit; two of them opened apart exclude each other like
/// two processes.
#[derive(Debug, Clone)]
pub struct Transit {
    inner: Arc<Inner>,
}

type LaneKey = (QueueName, LaneName);

/// What clones, senders and consumers share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) root: PathBuf,
    boot_id: [u64; 2],
    queues: Mutex<HashMap<QueueName, Weak<Queue>>>,
    senders: Mutex<HashMap<LaneKey, Weak<Shared>>>,
    bells: Mutex<Vec<(u64, Weak<Bell>)>>,
    one_shot: Mutex<()>,
    /// Bytes; see [`Transit::written_bytes`].
    written: AtomicU64,
}

/// How often a one-shot sender looks whether `anon:0` is free: an append takes a few µs, its preparation some 100.
const ONE_SHOT_RETRY: Duration = Duration::from_micros(500);

impl Transit {
    /// Opens the transit in `root`, and makes the directory (0700, with its parents) where there is none. Refused
    /// are directories of other users, those we cannot write, and network and FUSE file systems.
    pub fn open(root: &Path) -> Result<Self, Error> {
        Self::open_in_boot(root, boot_id())
    }

    pub(super) fn open_in_boot(root: &Path, boot_id: [u64; 2]) -> Result<Self, Error> {
        root::prepare(root)?;
        let root = root.canonicalize().map_err(|source| Error::io(root, source))?;
        Ok(Self {
            inner: Arc::new(Inner {
                root,
                boot_id,
                queues: Mutex::default(),
                senders: Mutex::default(),
                bells: Mutex::default(),
                one_shot: Mutex::default(),
                written: AtomicU64::default(),
            }),
        })
    }

    /// The directory, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The queues there are, sorted.
    pub fn queues(&self) -> Result<Vec<QueueName>, Error> {
        let fail = |source| Error::io(self.root(), source);
        let mut queues = Vec::new();
        for entry in std::fs::read_dir(self.root()).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if let Some(Ok(name)) = entry.file_name().to_str().map(QueueName::new)
                && entry.path().join("index").exists()
            {
                queues.push(name);
            }
        }
        queues.sort();
        Ok(queues)
    }

    /// A look at a queue, without a right to it; nothing where there is none.
    pub fn status(&self, queue: &QueueName) -> Result<Option<QueueStatus>, Error> {
        if let Some(queue) = self.inner.consumed_here(queue) {
            return status::look(&queue).map(Some);
        }
        self.inner.find(queue)?.map(|queue| status::look(&queue)).transpose()
    }

    /// The sending end of a lane; makes queue and lane where there are none. Asked again for the same lane it gives
    /// the same one. [`Error::LaneBusy`] while another process writes it.
    pub fn sender(&self, queue: &QueueName, lane: &LaneName) -> Result<Sender, Error> {
        if *lane == LaneName::Anonymous {
            return Err(Error::LaneIsShared);
        }
        let mut senders = self.inner.senders();
        let key = (queue.clone(), lane.clone());
        if let Some(shared) = senders.get(&key).and_then(Weak::upgrade) {
            return Ok(Sender::new(shared));
        }
        let shared = Arc::new(Shared::open(&self.inner, queue, lane)?);
        senders.insert(key, Arc::downgrade(&shared));
        Ok(Sender::new(shared))
    }

    /// Appends one message by the lane `anon:0`, which one-shot senders share: waits at most `wait` for its lock
    /// and holds it for the append only. Blocks its thread.
    pub fn append_once(&self, queue: &QueueName, out: &Outgoing<'_>, wait: Duration) -> Result<(), AppendError> {
        let _alone = self.inner.one_shot.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = Instant::now();
        loop {
            let opened = self.inner.queue(queue)?;
            if let Some(mut writer) = take_lane(opened, &LaneName::Anonymous)? {
                let result = writer.append(&self.inner, out);
                self.inner.add_written(writer.take_written());
                writer.queue().unlock(lane_lock(writer.slot_number()));
                match result {
                    Ok(()) => return Ok(()),
                    Err(Stop::Refused(error)) => return Err(error),
                    Err(Stop::Replaced) => {}
                }
            }
            if begin.elapsed() >= wait {
                return Err(Error::LaneBusy { queue: queue.clone(), lane: LaneName::Anonymous }.into());
            }
            std::thread::sleep(ONE_SHOT_RETRY);
        }
    }

    /// The consuming end of a queue, made where there is none; `settings` are written to it. [`Error::ConsumedBy`]
    /// while somebody else consumes it.
    pub fn consumer(&self, queue: &QueueName, settings: Option<&Settings>, reader: &Reader) -> Result<Consumer, Error> {
        Consumer::open(self.inner.clone(), queue, settings, reader)
    }

    /// Writes a queue's settings, and makes it where there is none.
    pub fn set_settings(&self, queue: &QueueName, settings: &Settings) -> Result<(), Error> {
        self.inner.queue(queue)?.set_settings(settings)
    }

    /// The settings of a queue; nothing where there is none.
    pub fn settings(&self, queue: &QueueName) -> Result<Option<Settings>, Error> {
        Ok(self.inner.find(queue)?.map(|queue| queue.index.settings()))
    }

    /// How many messages a queue takes now before whoever sends one more must wait; of large ones perhaps fewer. A look at
    /// each of its lanes, some nanoseconds each.
    pub fn free(&self, queue: &QueueName) -> Result<u64, Error> {
        Ok(self.inner.find(queue)?.map_or(u64::MAX, |queue| super::room::free(&queue.index)))
    }

    /// Says that nobody will read a queue for now, or that somebody will again; makes it where there is none. All
    /// senders see it at once: while it is parked, what does not fit goes to `dead` where it would have waited
    /// ([`AppendError::DeadLetter`]). It outlives whoever says it, and changes nothing for whoever consumes.
    pub fn set_parked(&self, queue: &QueueName, parked: bool) -> Result<(), Error> {
        self.inner.queue(queue)?.index.set_parked(parked);
        Ok(())
    }

    /// The end of this process was asked for: whatever it handles now or from now on, its end does not count against
    /// that.
    pub fn spare_inputs(&self) {
        let queues: Vec<_> = self.inner.queues().values().filter_map(Weak::upgrade).collect();
        queues.iter().for_each(|queue| queue.spare_inputs());
    }

    /// The last tag of a lane, for whoever goes on after a crash. Only `task:` lanes keep it for sure.
    pub fn last_tag(&self, queue: &QueueName, lane: &LaneName) -> Result<Option<Tag>, Error> {
        let Some(queue) = self.inner.find(queue)? else { return Ok(None) };
        let Some(at) = queue.find_lane(lane) else { return Ok(None) };
        Ok(recovery::last_tag(&queue.directory, at, queue.index.slot(at))?.map(|(_, tag)| tag))
    }

    /// Which share of its bound a queue holds, of that in bytes or of that in messages, whichever is nearer; nothing
    /// where there is none, or none that was used since the machine was started. Reads the index alone, waits for
    /// nobody and keeps nobody waiting.
    pub fn fullness(&self, queue: &QueueName) -> Result<Option<f64>, Error> {
        if let Some(queue) = self.inner.consumed_here(queue) {
            return Ok(Some(queue.index.fullness()));
        }
        let found = Queue::index(&self.inner.root, queue)?;
        Ok(found.filter(|index| index.boot_id() == self.inner.boot_id).map(|index| index.fullness()))
    }

    /// A look at one lane: what a report says of it after a damaged state record.
    pub fn lane_counts(&self, queue: &QueueName, lane: &LaneName) -> Result<Option<LaneStatus>, Error> {
        let Some(queue) = self.inner.find(queue)? else { return Ok(None) };
        Ok(queue.find_lane(lane).and_then(|at| status::lane(&queue, at)))
    }

    /// Housekeeping, once a second: `fsync: interval`, and lanes of ours that are drained and idle for 10 s give
    /// their files back. The first error is returned after all lanes were seen to.
    pub fn tidy(&self) -> Result<(), Error> {
        self.tidy_at(Instant::now())
    }

    pub(super) fn tidy_at(&self, now: Instant) -> Result<(), Error> {
        let senders: Vec<Arc<Shared>> = self.inner.senders().values().filter_map(Weak::upgrade).collect();
        let tidied = senders.iter().map(|sender| {
            let mut writer = sender.writer();
            self.inner.add_written(writer.take_written());
            writer.tidy(now)
        });
        tidied.fold(Ok(()), Result::and)
    }

    /// Bytes that the kernel counts as written by this process, on a file system where it counts them, and that are
    /// what was appended here: as of the last [`Transit::tidy`]. In the second between two of them a page counts once,
    /// which is at least as often as the kernel counts it.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.inner.written.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// A queue's files, made where there are none.
    pub(super) fn queue(&self, name: &QueueName) -> Result<Arc<Queue>, Error> {
        self.look_up(name, || Queue::open_or_make(&self.root, name, self.boot_id).map(Some))
            .map(|queue| queue.expect("what is missing was made"))
    }

    /// A queue's files, if there are any.
    pub(super) fn find(&self, name: &QueueName) -> Result<Option<Arc<Queue>>, Error> {
        self.look_up(name, || Queue::open(&self.root, name, self.boot_id))
    }

    /// A queue that this process consumes: its consumer looks itself whether it was replaced.
    fn consumed_here(&self, name: &QueueName) -> Option<Arc<Queue>> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.get(name)?.upgrade().filter(|queue| queue.consumed.load(Ordering::Relaxed))
    }

    fn look_up(
        &self,
        name: &QueueName,
        open: impl FnOnce() -> Result<Option<Queue>, Error>,
    ) -> Result<Option<Arc<Queue>>, Error> {
        let mut queues = self.queues();
        if let Some(queue) = queues.get(name).and_then(Weak::upgrade).filter(|queue| !queue.is_replaced()) {
            return Ok(Some(queue));
        }
        let opened = open()?.map(Arc::new);
        queues.retain(|_, queue| queue.strong_count() > 0);
        if let Some(queue) = &opened {
            queues.insert(name.clone(), Arc::downgrade(queue));
        }
        Ok(opened)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<QueueName, Weak<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn senders(&self) -> MutexGuard<'_, HashMap<LaneKey, Weak<Shared>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last clone of a sender goes: gives its lane back, unless a new one has taken it over already.
    pub(super) fn forget_sender(&self, lane: &LaneKey, shared: *const Shared, give_back: impl FnOnce()) {
        let mut senders = self.senders();
        if senders.get(lane).is_none_or(|entry| std::ptr::eq(entry.as_ptr(), shared)) {
            senders.remove(lane);
            give_back();
        }
    }

    /// Does `work` with the right to write a lane that has no writer; nothing while it has one, here or elsewhere.
    pub(super) fn as_writer<T>(
        &self,
        queue: &Queue,
        at: usize,
        lane: &LaneName,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        // Our own writers share the queue's descriptor, and with it the lock: while these tables are held, none of
        // them opens the lane. An entry stands there until its writer has given the lane back.
        let senders = self.senders();
        if senders.contains_key(&(queue.name.clone(), lane.clone())) {
            return Ok(None);
        }
        let _alone = match self.one_shot.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        if !queue.try_lock(lane_lock(at))? {
            return Ok(None);
        }
        let done = work();
        queue.unlock(lane_lock(at));
        done.map(Some)
    }

    pub(super) fn add_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes the right to consume for this process, once.
    pub(super) fn take_consumption(&self, queue: &Queue) -> Result<bool, Error> {
        if queue.consumed.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        let taken = queue.try_lock(CONSUME);
        if !matches!(taken, Ok(true)) {
            queue.consumed.store(false, Ordering::Relaxed);
        }
        taken
    }

    pub(super) fn add_bell(&self, bell: &Arc<Bell>) {
        self.bells().push((bell.id(), Arc::downgrade(bell)));
    }

    pub(super) fn remove_bell(&self, id: u64) {
        self.bells().retain(|(known, _)| *known != id);
    }

    /// A bell of this process by its id.
    pub(super) fn own_bell(&self, id: u64) -> Option<Arc<Bell>> {
        self.bells().iter().find(|(known, _)| *known == id).and_then(|(_, bell)| bell.upgrade())
    }

    fn bells(&self) -> MutexGuard<'_, Vec<(u64, Weak<Bell>)>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kernel's id of this boot; zeros where it tells none, and then no boot differs from another.
fn boot_id() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |from: usize| digits.get(from..from + 16).and_then(|half| u64::from_str_radix(half, 16).ok());
    [half(0).unwrap_or(0), half(16).unwrap_or(0)]
}
