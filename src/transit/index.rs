//! The index of a queue: its settings, its consumer's doorbell, which lanes may hold something, and the lanes.
//!
//! ```text
//! 0      magic, format version, boot id (2 words), slots in use
//! 64     settings (5 words)
//! 104    parked: not 0 while nobody will read the queue
//! 128    consumer: version (odd while being changed), bell, token, length of the description
//! 192    the description, at most 1,024 bytes
//! 2048   8 places for consequences of inputs: which is under way, a suspect, how many processes ended on it
//! 4096   bits: a word per 64 lanes
//! 4352   sleeping
//! 8192   1,024 slots of 512 bytes
//! ```
//!
//! Invariant: the file has its full length, and what is written has blocks on the disk: the first two pages from
//! the beginning, a slot's page before its first use. So a full disk is an error here, and never a SIGBUS.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::posix_fallocate;

use super::consequences::PLACE_WORDS;
use super::error::Error;
use super::map::{Map, PAGE};
use super::protocol::{AWAKE, CLOSED, Mark};
use super::settings::{Fsync, Overflow, Settings};
use super::slot::{self, Slot, load_text, store_text};

/// How many lanes a queue can have.
pub(super) const LANES: usize = 1024;
/// How many words of bits there are.
pub(super) const BIT_WORDS: usize = LANES / 64;

/// The version of the transit's files: of each index and each segment. It changes with their layout only.
pub const FORMAT: u32 = 1;
const MAGIC: u64 = u64::from_le_bytes(*b"mmindex\n");
const VERSION: u64 = FORMAT as u64;
const BOOT_ID: usize = 16;
const SLOTS_USED: usize = 32;
const SETTINGS: usize = 64;
const PARKED: usize = 104;
const CONSUMER: usize = 128;
const DESCRIPTION: usize = 192;
const DESCRIPTION_WORDS: usize = 128;
const CONSEQUENCES: usize = 2048;
const BITS: usize = 4096;
const SLEEPING: usize = 4352;
const SLOTS: usize = 8192;
const SLOT: usize = slot::WORDS * 8;
const SIZE: usize = SLOTS + LANES * SLOT;

/// Whom to ring for: the FIFO `.bells/<bell>`, and the queue's token in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ringing {
    pub(super) bell: u64,
    pub(super) token: u64,
}

/// An index, mapped.
#[derive(Debug)]
pub(super) struct Index {
    map: Map,
}

impl Index {
    /// Fills a new file.
    pub(super) fn create(file: &File, path: &Path, settings: &Settings, boot_id: [u64; 2]) -> io::Result<()> {
        file.set_len(SIZE as u64)?;
        allocate(file, 0, SLOTS)?;
        let index = Self { map: Map::new(file, path, SIZE)? };
        index.set_settings(settings);
        index.set_boot_id(boot_id);
        index.word(8).store(VERSION, Ordering::Relaxed);
        index.word(0).store(MAGIC, Ordering::Release);
        Ok(())
    }

    /// Maps the index in `file`, whose path is for the error.
    pub(super) fn open(file: &File, path: &Path) -> Result<Self, Error> {
        let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
        let len = file.metadata().map_err(|source| Error::io(path, source))?.len();
        if len < SIZE as u64 {
            return Err(damaged(format!("an index has {SIZE} bytes, this one has {len}")));
        }
        let index = Self { map: Map::new(file, path, SIZE).map_err(|source| Error::io(path, source))? };
        if index.word(0).load(Ordering::Acquire) != MAGIC {
            return Err(damaged("not an index".to_owned()));
        }
        match index.word(8).load(Ordering::Relaxed) {
            VERSION => Ok(index),
            version => Err(damaged(format!("an index of format {version}, we know {VERSION}"))),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        let words = self.map.words(SETTINGS, Settings::WORDS);
        Settings::from_words(std::array::from_fn(|at| words[at].load(Ordering::Relaxed)))
    }

    /// The settings as they hold now: a parked queue does not block.
    pub(super) fn settings_now(&self) -> Settings {
        let settings = self.settings();
        let overflow = match settings.overflow {
            Overflow::Block if self.is_parked() => Overflow::DeadLetter,
            overflow => overflow,
        };
        Settings { overflow, ..settings }
    }

    /// Whether nobody will read the queue for now.
    pub(super) fn is_parked(&self) -> bool {
        self.word(PARKED).load(Ordering::Relaxed) != 0
    }

    pub(super) fn set_parked(&self, parked: bool) {
        self.word(PARKED).store(u64::from(parked), Ordering::Relaxed);
    }

    /// When what is accepted reaches the disk; asked at each append.
    #[inline]
    pub(super) fn fsync(&self) -> Fsync {
        Settings::fsync_from(self.word(SETTINGS + 32).load(Ordering::Relaxed))
    }

    pub(super) fn set_settings(&self, settings: &Settings) {
        for (word, value) in self.map.words(SETTINGS, Settings::WORDS).iter().zip(settings.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The boot in which the write positions are valid as they stand.
    pub(super) fn boot_id(&self) -> [u64; 2] {
        let words = self.map.words(BOOT_ID, 2);
        [words[0].load(Ordering::Relaxed), words[1].load(Ordering::Relaxed)]
    }

    pub(super) fn set_boot_id(&self, boot_id: [u64; 2]) {
        let words = self.map.words(BOOT_ID, 2);
        words[0].store(boot_id[0], Ordering::Relaxed);
        words[1].store(boot_id[1], Ordering::Relaxed);
    }

    pub(super) fn bits(&self) -> &[AtomicU64] {
        self.map.words(BITS, BIT_WORDS)
    }

    pub(super) fn sleeping(&self) -> &AtomicU64 {
        self.word(SLEEPING)
    }

    /// Whether the consumer went on to the files that replaced these.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.sleeping().load(Ordering::Relaxed) == CLOSED
    }

    /// These files are what the path names: if they were closed, they were put back since.
    pub(super) fn reopen(&self) {
        let closed = self.sleeping().compare_exchange(CLOSED, AWAKE, Ordering::Relaxed, Ordering::Relaxed);
        if closed.is_ok() {
            tracing::info!("a queue's files were put back");
        }
    }

    /// How many slots were ever in use.
    pub(super) fn slots(&self) -> usize {
        usize::try_from(self.word(SLOTS_USED).load(Ordering::Acquire)).map_or(LANES, |slots| slots.min(LANES))
    }

    /// The words of place `at`, below [`PLACES`](super::consequences::PLACES); see there. Earlier programs leave them 0.
    pub(super) fn consequence(&self, at: usize) -> &[AtomicU64] {
        self.map.words(CONSEQUENCES + at * PLACE_WORDS * 8, PLACE_WORDS)
    }

    /// Slot `at`, below [`LANES`].
    #[inline]
    pub(super) fn slot(&self, at: usize) -> Slot<'_> {
        Slot::new(self.map.words(SLOTS + at * SLOT, slot::WORDS))
    }

    /// Makes the next slot usable: its page gets its blocks, then it counts. Under the index's lock.
    pub(super) fn allocate_slot(&self, file: &File, at: usize) -> io::Result<()> {
        allocate(file, (SLOTS + at * SLOT) / PAGE * PAGE, PAGE)
    }

    /// Counts slot `at` in, after it was assigned.
    pub(super) fn publish_slot(&self, at: usize) {
        self.word(SLOTS_USED).store(at as u64 + 1, Ordering::Release);
    }

    /// Bytes and messages held in all lanes.
    pub(super) fn held(&self) -> Mark {
        (0..self.slots()).map(|at| self.slot(at).held()).fold(Mark::default(), |sum, lane| Mark {
            position: sum.position.saturating_add(lane.position),
            count: sum.count.saturating_add(lane.count),
        })
    }

    /// Which share of the bound is held, of that in bytes or of that in messages, whichever is nearer.
    pub(super) fn fullness(&self) -> f64 {
        let (held, settings) = (self.held(), self.settings());
        let share = |held: u64, most: u64| held as f64 / most.max(1) as f64;
        share(held.position, settings.max_bytes).max(share(held.count, settings.max_messages))
    }

    /// Says who consumes. Only the consumer does.
    pub(super) fn set_consumer(&self, ringing: Ringing, description: &str) {
        let words = self.map.words(CONSUMER, 4);
        let mut end = description.len().min(DESCRIPTION_WORDS * 8);
        while !description.is_char_boundary(end) {
            end -= 1;
        }
        let version = words[0].load(Ordering::Relaxed) | 1;
        words[0].store(version, Ordering::Relaxed);
        std::sync::atomic::fence(Ordering::Release);
        words[1].store(ringing.bell, Ordering::Relaxed);
        words[2].store(ringing.token, Ordering::Relaxed);
        words[3].store(end as u64, Ordering::Relaxed);
        store_text(self.map.words(DESCRIPTION, DESCRIPTION_WORDS), &description[..end]);
        words[0].store(version.wrapping_add(1), Ordering::Release);
    }

    /// Changes whenever the consumer's bell does.
    pub(super) fn consumer_version(&self) -> u64 {
        self.word(CONSUMER).load(Ordering::Acquire)
    }

    /// Whom to ring for; nothing while it is being changed (who changes it looks at everything afterwards).
    pub(super) fn ringing(&self) -> Option<Ringing> {
        let words = self.map.words(CONSUMER, 4);
        let version = words[0].load(Ordering::Acquire);
        let ringing = Ringing { bell: words[1].load(Ordering::Relaxed), token: words[2].load(Ordering::Relaxed) };
        std::sync::atomic::fence(Ordering::Acquire);
        let same = words[0].load(Ordering::Relaxed) == version;
        (same && version.is_multiple_of(2) && ringing.bell != 0).then_some(ringing)
    }

    /// What the consumer said of itself, also when it is gone by now.
    pub(super) fn description(&self) -> String {
        let len = usize::try_from(self.word(CONSUMER + 24).load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        load_text(self.map.words(DESCRIPTION, DESCRIPTION_WORDS), len).unwrap_or_default()
    }

    /// Writes the first pages, and slot `at`, through to the disk.
    pub(super) fn sync_slot(&self, at: usize) -> io::Result<()> {
        self.map.sync(SLOTS + at * SLOT, SLOT)
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU64 {
        &self.map.words(offset, 1)[0]
    }
}

/// Gives a range of a file its blocks on the disk, so that writing there cannot fail for want of room.
pub(super) fn allocate(file: &File, from: usize, len: usize) -> io::Result<()> {
    let (from, len) = (libc::off_t::try_from(from), libc::off_t::try_from(len));
    let (Ok(from), Ok(len)) = (from, len) else { return Err(io::ErrorKind::FileTooLarge.into()) };
    loop {
        match posix_fallocate(file, from, len) {
            Err(Errno::EINTR) => {}
            result => return result.map_err(io::Error::from),
        }
    }
}
