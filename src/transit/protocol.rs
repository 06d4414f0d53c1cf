//! The protocol of a lane and of the doorbell, generic over the memory it runs in.
//!
//! The same code runs over mapped files (`Mapped`) and, in the tests, over loom's atomics, which try every
//! interleaving and every reordering that the memory model permits.
//!
//! ```text
//! sender                                   consumer
//!   bytes of the record                      collect: bits := 0, what was set is "to be looked at"
//!   count (Relaxed), written (Release)       FENCE
//!   FENCE                                    written (Acquire), bytes, ... until position = written
//!   bit clear? set it, FENCE                 sleeping := 1
//!   sleeping? swap to 0, and ring            FENCE
//!                                            any bit? sleeping := 0 and look; else wait
//! ```
//!
//! Why no wake-up is lost. *A bit that is set already*: the sender saw it after its first fence. If the consumer
//! clears it later, its own fence comes later too, and it sees the write position. If it was cleared before,
//! the sender would have seen that. *Sleeping*: of the sender's last fence and the consumer's, one is first in the
//! one order of all SeqCst fences; either the consumer sees the bit, or the sender sees `sleeping`.
//!
//! Invariant: SeqCst appears only in fences; loom models those exactly, and SeqCst accesses not.

use std::sync::atomic::{AtomicU64, Ordering};

/// What `sleeping` holds: the consumer works, or will look again before it waits.
pub(super) const AWAKE: u64 = 0;
/// The consumer waits, or is about to: ring.
pub(super) const SLEEPING: u64 = 1;
/// These files were replaced, and their consumer went on to the new ones: so must the senders.
pub(super) const CLOSED: u64 = 2;

/// A 64-bit atomic.
pub(super) trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
    fn swap(&self, value: u64, order: Ordering) -> u64;
    fn fetch_or(&self, value: u64, order: Ordering) -> u64;
    fn exchange(&self, old: u64, new: u64, order: Ordering) -> bool;
}

/// Where the words are.
pub(super) trait Memory {
    type Word: Word;
    fn fence(order: Ordering);
}

/// The memory of the product: files mapped by several processes.
pub(super) struct Mapped;

impl Word for AtomicU64 {
    #[inline]
    fn load(&self, order: Ordering) -> u64 {
        Self::load(self, order)
    }
    #[inline]
    fn store(&self, value: u64, order: Ordering) {
        Self::store(self, value, order);
    }
    #[inline]
    fn swap(&self, value: u64, order: Ordering) -> u64 {
        Self::swap(self, value, order)
    }
    #[inline]
    fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        Self::fetch_or(self, value, order)
    }
    #[inline]
    fn exchange(&self, old: u64, new: u64, order: Ordering) -> bool {
        self.compare_exchange(old, new, order, Ordering::Relaxed).is_ok()
    }
}

impl Memory for Mapped {
    type Word = AtomicU64;
    #[inline]
    fn fence(order: Ordering) {
        std::sync::atomic::fence(order);
    }
}

/// A position with the count of messages before it: how far a lane is written, finished, or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) position: u64,
    pub(super) count: u64,
}

/// Publishes a mark: whoever sees its position (by [`observe`]) sees what was written before, and at least its
/// count. One process at a time publishes to a pair of words.
#[inline]
pub(super) fn publish<M: Memory>(position: &M::Word, count: &M::Word, mark: Mark) {
    count.store(mark.count, Ordering::Relaxed);
    position.store(mark.position, Ordering::Release);
}

/// Looks at a mark. Its count may be newer than its position.
#[inline]
pub(super) fn observe<M: Memory>(position: &M::Word, count: &M::Word) -> Mark {
    let position = position.load(Ordering::Acquire);
    Mark { position, count: count.load(Ordering::Relaxed) }
}

/// Before a place is used anew: changes what says which use it is in.
pub(super) fn renew<M: Memory>(usage: &M::Word, value: u64) {
    usage.store(value, Ordering::Relaxed);
    M::fence(Ordering::Release);
}

/// After a place was read: whether it was in the use `value` all the while. A reader that stands at the end of what
/// it has finished may look at a place that is used anew by now; what it saw there then does not count.
#[must_use]
pub(super) fn is_still<M: Memory>(usage: &M::Word, value: u64) -> bool {
    M::fence(Ordering::Acquire);
    usage.load(Ordering::Relaxed) == value
}

/// After publishing: says that the lane of `bit` may hold something; true when the consumer must be rung for.
#[inline]
#[must_use]
pub(super) fn announce<M: Memory>(bits: &M::Word, bit: u64, sleeping: &M::Word) -> bool {
    M::fence(Ordering::SeqCst);
    if bits.load(Ordering::Relaxed) & bit == 0 {
        bits.fetch_or(bit, Ordering::Relaxed);
        M::fence(Ordering::SeqCst);
    }
    sleeping.load(Ordering::Relaxed) == SLEEPING && sleeping.exchange(SLEEPING, AWAKE, Ordering::Relaxed)
}

/// Before a writer waits until `count` messages of its lane are finished (more than none): true when it may, for the
/// consumer will ring; false when they are.
///
/// Of this fence and the one of [`is_awaited`] one is first: either the writer sees the count, or the consumer sees
/// that it is awaited.
#[must_use]
pub(super) fn await_finished<M: Memory>(awaited: &M::Word, count: u64, finished_count: &M::Word) -> bool {
    // Release: who takes it sees whom to ring for.
    awaited.store(count, Ordering::Release);
    M::fence(Ordering::SeqCst);
    let waits = finished_count.load(Ordering::Relaxed) < count;
    if !waits {
        awaited.store(0, Ordering::Relaxed);
    }
    waits
}

/// After publishing that `finished` messages of a lane are: true when its writer must be rung for, once each time it
/// waits.
#[inline]
#[must_use]
pub(super) fn is_awaited<M: Memory>(awaited: &M::Word, finished: u64) -> bool {
    M::fence(Ordering::SeqCst);
    let count = awaited.load(Ordering::Relaxed);
    count != 0 && count <= finished && awaited.exchange(count, 0, Ordering::Acquire)
}

/// Takes the bits of 64 lanes, those left out that `known` has already: each lane returned, and each of `known`,
/// is to be read until its write position is reached.
#[must_use]
pub(super) fn collect<M: Memory>(bits: &M::Word, known: u64) -> u64 {
    if bits.load(Ordering::Relaxed) & !known == 0 {
        return known;
    }
    let found = bits.swap(0, Ordering::Relaxed);
    M::fence(Ordering::SeqCst);
    found | known
}

/// Before the consumer waits: true when it may, false when there is something to look at.
#[must_use]
pub(super) fn fall_asleep<M: Memory>(bits: &[M::Word], sleeping: &M::Word) -> bool {
    sleeping.store(SLEEPING, Ordering::Relaxed);
    M::fence(Ordering::SeqCst);
    let nothing = bits.iter().all(|word| word.load(Ordering::Relaxed) == 0);
    if !nothing {
        wake_up::<M>(sleeping);
    }
    nothing
}

/// The consumer is at work again: nobody needs to ring.
pub(super) fn wake_up<M: Memory>(sleeping: &M::Word) {
    sleeping.store(AWAKE, Ordering::Relaxed);
}
