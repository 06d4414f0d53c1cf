//! A slot of the index: the words of one lane.
//!
//! ```text
//! line 0   writer   written, its count; dropped-to, its count; the finished count it waits for, its bell and token
//! line 1   reader   finished, its count; messages lost; the input under way, the suspect, how many ended on it
//! line 2   identity in use, lane id, length of the name; the base of an abandoned segment, with bit 0 set; what the lane
//!                   follows: from where on, with bit 0 set, which lane, up to where
//! 192..    the lane's name, at most 320 bytes
//! ```
//!
//! Invariant: the writer's words are stored by whoever holds the lane's lock, the reader's by whoever consumes;
//! identity words once, under the index's lock (`abandoned`: by the consumer; what it follows: by the writer, seldom). The count waited for is cleared by the
//! consumer that rings.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::follows::Follows;
use super::index::Ringing;
use super::protocol::{Mapped, Mark, await_finished, is_awaited, observe, publish};
use super::under_way::Suspect;
use crate::name::LaneName;

/// A lane's random id, which no other lane has: positions are recorded by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u64);

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How many words a slot has: 512 bytes.
pub(super) const WORDS: usize = 64;

const WRITTEN: usize = 0;
const WRITTEN_COUNT: usize = 1;
const DROPPED: usize = 2;
const DROPPED_COUNT: usize = 3;
/// These three are 0 in what older programs wrote, and not read by them.
const AWAITED: usize = 4;
const WRITER_BELL: usize = 5;
const WRITER_TOKEN: usize = 6;
const FINISHED: usize = 8;
const FINISHED_COUNT: usize = 9;
const LOST: usize = 10;
const UNDER_WAY: usize = 11;
const SUSPECT: usize = 12;
const ENDED: usize = 13;
const IN_USE: usize = 16;
const ID: usize = 17;
const NAME_LEN: usize = 18;
const ABANDONED: usize = 19;
/// These three, too, are 0 in what older programs wrote, and not read by them.
const FOLLOWS_FROM: usize = 20;
const FOLLOWS_LANE: usize = 21;
const FOLLOWS_TO: usize = 22;
const NAME: usize = 24;
/// The longest name of a lane that a slot holds, in bytes.
const MAX_NAME: usize = (WORDS - NAME) * 8;

/// A slot, wherever it is mapped.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Slot<'a> {
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        assert_eq!(words.len(), WORDS, "a slot has {WORDS} words");
        Self { words }
    }

    pub(super) fn written(self) -> Mark {
        observe::<Mapped>(&self.words[WRITTEN], &self.words[WRITTEN_COUNT])
    }

    pub(super) fn publish_written(self, mark: Mark) {
        publish::<Mapped>(&self.words[WRITTEN], &self.words[WRITTEN_COUNT], mark);
    }

    /// How far the writer has dropped its oldest messages; 0 if never.
    pub(super) fn dropped(self) -> Mark {
        observe::<Mapped>(&self.words[DROPPED], &self.words[DROPPED_COUNT])
    }

    pub(super) fn publish_dropped(self, mark: Mark) {
        publish::<Mapped>(&self.words[DROPPED], &self.words[DROPPED_COUNT], mark);
    }

    pub(super) fn finished(self) -> Mark {
        observe::<Mapped>(&self.words[FINISHED], &self.words[FINISHED_COUNT])
    }

    pub(super) fn publish_finished(self, mark: Mark) {
        publish::<Mapped>(&self.words[FINISHED], &self.words[FINISHED_COUNT], mark);
    }

    /// What the lane follows. To be asked after the write position was read: what an order holds for is published
    /// after the order.
    pub(super) fn follows(self) -> Option<Follows> {
        // Bit 0 says that there is one: a position is a multiple of 8, and 0 is one, too.
        let from = self.words[FOLLOWS_FROM].load(Ordering::Acquire);
        let [lane, to] = [FOLLOWS_LANE, FOLLOWS_TO].map(|word| self.words[word].load(Ordering::Relaxed));
        (from & 1 == 1).then_some(Follows { from: from & !1, lane: LaneId(lane), to })
    }

    /// A kill in between leaves none: nothing that it would hold for is written yet.
    pub(super) fn set_follows(self, follows: Follows) {
        self.words[FOLLOWS_FROM].store(0, Ordering::Release);
        self.words[FOLLOWS_LANE].store(follows.lane.0, Ordering::Release);
        self.words[FOLLOWS_TO].store(follows.to, Ordering::Release);
        self.words[FOLLOWS_FROM].store(follows.from | 1, Ordering::Release);
    }

    /// The order holds up to a later position.
    pub(super) fn follow_further(self, to: u64) {
        self.words[FOLLOWS_TO].store(to, Ordering::Release);
    }

    /// Asks to be rung for when `count` messages are finished, more than none; false when they are already.
    pub(super) fn await_finished(self, count: u64, ringing: Ringing) -> bool {
        self.words[WRITER_BELL].store(ringing.bell, Ordering::Relaxed);
        self.words[WRITER_TOKEN].store(ringing.token, Ordering::Relaxed);
        await_finished::<Mapped>(&self.words[AWAITED], count, &self.words[FINISHED_COUNT])
    }

    /// Whether somebody asked to be rung for and was not yet.
    pub(super) fn is_awaited(self) -> bool {
        self.words[AWAITED].load(Ordering::Relaxed) != 0
    }

    /// Whom to ring for, now that `finished` messages are. Each time a writer waits, it is said once.
    #[inline]
    pub(super) fn awaited(self, finished: u64) -> Option<Ringing> {
        is_awaited::<Mapped>(&self.words[AWAITED], finished).then(|| Ringing {
            bell: self.words[WRITER_BELL].load(Ordering::Relaxed),
            token: self.words[WRITER_TOKEN].load(Ordering::Relaxed),
        })
    }

    /// Bytes and messages held: from finished, or dropped, to written.
    pub(super) fn held(self) -> Mark {
        let (finished, dropped, written) = (self.finished(), self.dropped(), self.written());
        Mark {
            position: written.position.saturating_sub(finished.position.max(dropped.position)),
            count: written.count.saturating_sub(finished.count.max(dropped.count)),
        }
    }

    /// Messages that never reached a consumer: dropped, or in a bad segment.
    pub(super) fn lost(self) -> u64 {
        self.words[LOST].load(Ordering::Relaxed)
    }

    pub(super) fn add_lost(self, messages: u64) {
        self.words[LOST].store(self.lost().saturating_add(messages), Ordering::Relaxed);
    }

    /// The end of the input that is being handled, or was when its process ended; 0 for none.
    pub(super) fn under_way(self) -> u64 {
        self.words[UNDER_WAY].load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set_under_way(self, end: u64) {
        self.words[UNDER_WAY].store(end, Ordering::Relaxed);
    }

    pub(super) fn suspect(self) -> Suspect {
        Suspect { end: self.words[SUSPECT].load(Ordering::Relaxed), ended: self.words[ENDED].load(Ordering::Relaxed) }
    }

    /// A kill in between leaves another suspect with too few processes, never with too many.
    pub(super) fn set_suspect(self, suspect: Suspect) {
        if self.suspect().end != suspect.end {
            self.words[ENDED].store(0, Ordering::Relaxed);
            self.words[SUSPECT].store(suspect.end, Ordering::Relaxed);
        }
        self.words[ENDED].store(suspect.ended, Ordering::Relaxed);
    }

    pub(super) fn id(self) -> LaneId {
        LaneId(self.words[ID].load(Ordering::Relaxed))
    }

    /// The base of the segment that the consumer moved aside: the writer leaves it too.
    pub(super) fn abandoned(self) -> Option<u64> {
        let word = self.words[ABANDONED].load(Ordering::Acquire);
        (word & 1 == 1).then_some(word & !1)
    }

    pub(super) fn abandon(self, base: u64) {
        self.words[ABANDONED].store(base | 1, Ordering::Release);
    }

    /// The lane's name, where the slot is in use and holds one.
    pub(super) fn name(self) -> Option<LaneName> {
        if self.words[IN_USE].load(Ordering::Acquire) != 1 {
            return None;
        }
        let len = usize::try_from(self.words[NAME_LEN].load(Ordering::Relaxed)).ok()?;
        load_text(&self.words[NAME..], len)?.parse().ok()
    }

    /// Makes the slot a lane's, from position 0 on.
    pub(super) fn assign(self, name: &LaneName, id: LaneId) {
        let name = name.to_string();
        assert!(name.len() <= MAX_NAME, "a lane's name fits its slot");
        self.words[ID].store(id.0, Ordering::Relaxed);
        self.words[NAME_LEN].store(name.len() as u64, Ordering::Relaxed);
        store_text(&self.words[NAME..], &name);
        self.words[IN_USE].store(1, Ordering::Release);
    }
}

/// Stores text in words, cut to what they hold.
pub(super) fn store_text(words: &[AtomicU64], text: &str) {
    for (word, chunk) in words.iter().zip(text.as_bytes().chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
    }
}

/// Reads `len` bytes of text from words, if it is text and they hold as much.
pub(super) fn load_text(words: &[AtomicU64], len: usize) -> Option<String> {
    if len > words.len() * 8 {
        return None;
    }
    let words = &words[..len.div_ceil(8)];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
    bytes.truncate(len);
    String::from_utf8(bytes).ok()
}
