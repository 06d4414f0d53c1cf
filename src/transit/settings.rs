//! What a queue is told about its bound, its overflow and its durability.
//!
//! The settings stand in the queue's index, because senders such as `strans` have no config.

use std::time::Duration;

/// What happens to a message that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The sender waits.
    #[default]
    Block,
    /// The oldest segment of the sender's own lane goes.
    DropOldest,
    /// The new message goes.
    DropNewest,
    /// The new message goes to `dead`.
    DeadLetter,
}

/// When what was accepted is written through to the disk. Against killed processes no setting is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// When the kernel does.
    #[default]
    Never,
    /// Once a second, by [`Transit::tidy`](super::Transit::tidy).
    Interval,
    /// Before `append` returns.
    Always,
}

/// The settings of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most bytes held, records with their heads; 64 MiB unless set.
    pub max_bytes: u64,
    /// Most messages held; 100,000 unless set.
    pub max_messages: u64,
    /// What happens there.
    pub overflow: Overflow,
    /// How long a sender without a task behind it (`strans`) waits for room; whole milliseconds, 5 s unless set.
    pub block_timeout: Duration,
    /// When what was accepted reaches the disk.
    pub fsync: Fsync,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_messages: 100_000,
            overflow: Overflow::default(),
            block_timeout: Duration::from_secs(5),
            fsync: Fsync::default(),
        }
    }
}

impl Settings {
    /// How many words they take in an index.
    pub(super) const WORDS: usize = 5;

    pub(super) fn to_words(self) -> [u64; Self::WORDS] {
        let overflow = match self.overflow {
            Overflow::Block => 0,
            Overflow::DropOldest => 1,
            Overflow::DropNewest => 2,
            Overflow::DeadLetter => 3,
        };
        let fsync = match self.fsync {
            Fsync::Never => 0,
            Fsync::Interval => 1,
            Fsync::Always => 2,
        };
        let block_timeout = u64::try_from(self.block_timeout.as_millis()).unwrap_or(u64::MAX);
        [self.max_bytes, self.max_messages, overflow, block_timeout, fsync]
    }

    /// Reads words of any value: an unknown choice is the default one.
    pub(super) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [max_bytes, max_messages, overflow, block_timeout, fsync] = words;
        let overflow = match overflow {
            1 => Overflow::DropOldest,
            2 => Overflow::DropNewest,
            3 => Overflow::DeadLetter,
            _ => Overflow::Block,
        };
        let (block_timeout, fsync) = (Duration::from_millis(block_timeout), Self::fsync_from(fsync));
        Self { max_bytes, max_messages, overflow, block_timeout, fsync }
    }

    pub(super) fn fsync_from(word: u64) -> Fsync {
        match word {
            1 => Fsync::Interval,
            2 => Fsync::Always,
            _ => Fsync::Never,
        }
    }
}
