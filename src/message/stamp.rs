//! What identifies a message: its id and the moment it was made.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A message's id, unique over machines: 64 random bits of the process that made it, then a count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// Random, drawn once per process.
    pub maker: u64,
    /// Counts the messages of that process.
    pub count: u64,
}

/// A message's id and time. Copies of a message on several queues share it; what a task emits gets its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Which message it is.
    pub id: MessageId,
    /// When it was made: nanoseconds since 1970 by the machine's clock.
    pub time_ns: u64,
}

impl Stamp {
    /// How many bytes a stamp takes in a record.
    pub const BYTES: usize = 24;

    /// A stamp for a message made now.
    #[must_use]
    pub fn now() -> Self {
        Self::at(time_ns())
    }

    /// A stamp for a message made at `time_ns`. Whoever makes many messages at once reads the clock once.
    #[must_use]
    pub fn at(time_ns: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let id = MessageId { maker: maker(), count: COUNT.fetch_add(1, Ordering::Relaxed) };
        Self { id, time_ns }
    }

    /// The stamp as it stands in a record: maker, count, time, little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..8].copy_from_slice(&self.id.maker.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.id.count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.time_ns.to_le_bytes());
        bytes
    }

    /// Reads what [`Stamp::to_bytes`] wrote; every 24 bytes are a stamp.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        Self { id: MessageId { maker: word(0), count: word(8) }, time_ns: word(16) }
    }

    /// The time in seconds since 1970, as the original's `send_ts` counts.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.time_ns / 1_000_000_000
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}", self.maker, self.count)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Nanoseconds since 1970 by the machine's clock; 0 where that clock stands before 1970.
#[must_use]
pub(crate) fn time_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// This process's half of every id it makes. Without the kernel's random numbers the clock and the pid stand in.
fn maker() -> u64 {
    static MAKER: OnceLock<u64> = OnceLock::new();
    *MAKER.get_or_init(|| getrandom::u64().unwrap_or_else(|_| time_ns() ^ (u64::from(std::process::id()) << 40)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_what_it_wrote() {
        let stamp = Stamp::now();
        assert_eq!(Stamp::from_bytes(&stamp.to_bytes()), stamp);
    }

    #[test]
    fn no_two_messages_share_an_id() {
        let (one, other) = (Stamp::now(), Stamp::now());
        assert_eq!(one.id.maker, other.id.maker);
        assert_ne!(one.id, other.id);
    }
}
