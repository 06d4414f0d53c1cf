//! What is being handled in the course of a queue's inputs, after those were handled themselves, and which of it
//! processes ended on.
//!
//! As `under_way` is for the inputs, but by keys that the consumer chooses, and for a few at once: whoever handles one
//! stores its key in a free word of the index, and 0 afterwards. The next consumer counts what it finds there.
//!
//! ```text
//! word:  0 ── begin ─▶ key ── done ─▶ 0
//!                       └── found at open ─▶ suspect (which key), ended (how many processes)
//! ```
//!
//! Invariant: it may count too few, and never counts what did not end a process: with more under way than there are words,
//! or more suspects than places for them, some are not noted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::queue::Queue;
use super::under_way::POISON;

/// How many words there are: as many of it are noted at once. Each is handled by another task of one process.
pub(super) const PLACES: usize = 8;
/// What stands at each place: the key under way, and of a suspect the key and how many processes ended on it.
pub(super) const PLACE_WORDS: usize = 3;

const UNDER_WAY: usize = 0;
const SUSPECT: usize = 1;
const ENDED: usize = 2;

/// Where the consumer of a queue notes what it handles in the course of its inputs.
pub struct Consequences {
    queue: Arc<Queue>,
    /// The right to consume is about to go to somebody else.
    released: AtomicBool,
    poison: Vec<u64>,
}

/// It is being handled until this is dropped.
pub struct Consequence<'a> {
    word: &'a AtomicU64,
    key: u64,
}

impl Consequences {
    /// Counts what the last consumer left under way. Only for whoever consumes.
    pub(super) fn open(queue: Arc<Queue>) -> Self {
        let left: Vec<u64> = words(&queue, UNDER_WAY).map(|word| word.swap(0, Ordering::Relaxed)).collect();
        left.into_iter().filter(|key| *key != 0).for_each(|key| count(&queue, key));
        let suspects = words(&queue, SUSPECT).zip(words(&queue, ENDED));
        let poison = suspects.filter(|(_, ended)| ended.load(Ordering::Relaxed) >= POISON);
        let poison = poison.map(|(suspect, _)| suspect.load(Ordering::Relaxed)).collect();
        Self { queue, released: AtomicBool::new(false), poison }
    }

    /// Whether so many processes ended on `key` that it is not to be handled again.
    #[inline]
    #[must_use]
    pub fn is_poison(&self, key: u64) -> bool {
        !self.poison.is_empty() && self.poison.contains(&key)
    }

    /// `key`, which is not 0, is being handled from now on. Nothing where that is not noted.
    pub fn begin(&self, key: u64) -> Option<Consequence<'_>> {
        if self.released.load(Ordering::Relaxed) || self.queue.spared.load(Ordering::Relaxed) {
            return None;
        }
        let free = |word: &&AtomicU64| word.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        words(&self.queue, UNDER_WAY).find(free).map(|word| Consequence { word, key })
    }

    /// What is still being handled is nothing to whoever consumes next.
    pub fn release(&self) {
        if !self.released.swap(true, Ordering::Relaxed) {
            forget(&self.queue);
        }
    }
}

impl Drop for Consequence<'_> {
    fn drop(&mut self) {
        // Another's is left alone: this one was given up, and the word may be taken again.
        let _was_ours = self.word.compare_exchange(self.key, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Nothing is under way any more.
pub(super) fn forget(queue: &Queue) {
    words(queue, UNDER_WAY).for_each(|word| word.store(0, Ordering::Relaxed));
}

fn words(queue: &Queue, which: usize) -> impl Iterator<Item = &AtomicU64> {
    (0..PLACES).map(move |at| &queue.index.consequence(at)[which])
}

/// One more process ended on `key`. Where there are too many suspects the least suspect makes room.
fn count(queue: &Queue, key: u64) {
    let places = || (0..PLACES).map(|at| queue.index.consequence(at));
    let ended = |place: &[AtomicU64]| place[ENDED].load(Ordering::Relaxed);
    let known = places().find(|place| place[SUSPECT].load(Ordering::Relaxed) == key);
    let Some(place) = known.or_else(|| places().min_by_key(|place| ended(place))) else { return };
    if known.is_none() {
        place[ENDED].store(0, Ordering::Relaxed);
        place[SUSPECT].store(key, Ordering::Relaxed);
    }
    place[ENDED].store(ended(place).saturating_add(1), Ordering::Relaxed);
}

impl fmt::Debug for Consequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consequences").field("poison", &self.poison).finish_non_exhaustive()
    }
}
