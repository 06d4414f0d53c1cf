//! What a config says about a task's queue.
//!
//! It is plain data: what is not said is `None`, and what then holds is the queue's own affair, for a queue that was
//! told to block behaves otherwise than one that blocks because nothing was said.

use std::time::Duration;

use super::notes::Notes;
use crate::value::Value;

/// The smallest bound in bytes: a queue takes room by segments, and the smallest has this size.
const MIN_QUEUE_BYTES: u64 = 16 * 1024;

/// What happens to a message that a full queue has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The sender waits.
    Block,
    /// The sender's oldest messages make room.
    DropOldest,
    /// The message is dropped.
    DropNewest,
    /// The message goes to the queue `dead`.
    DeadLetter,
}

/// When a queue's files are synced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// When the kernel sees fit.
    Never,
    /// Now and then.
    Interval,
    /// Before a message counts as accepted.
    Always,
}

/// A task's `queue: (...)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueSettings {
    /// How many bytes the queue holds, at least 16 KiB.
    pub max_bytes: Option<u64>,
    /// How many messages the queue holds, at least 1.
    pub max_messages: Option<u64>,
    /// What happens when it is full.
    pub overflow: Option<Overflow>,
    /// How long a sender waits at a full queue that blocks.
    pub block_timeout: Option<Duration>,
    /// When it is synced.
    pub fsync: Option<Fsync>,
}

const KEYS: [&str; 5] = ["max_bytes", "max_messages", "overflow", "block_timeout", "fsync"];

const OVERFLOWS: [(&str, Overflow); 4] = [
    ("block", Overflow::Block),
    ("drop_oldest", Overflow::DropOldest),
    ("drop_newest", Overflow::DropNewest),
    ("dead_letter", Overflow::DeadLetter),
];

const FSYNCS: [(&str, Fsync); 3] = [("never", Fsync::Never), ("interval", Fsync::Interval), ("always", Fsync::Always)];

impl QueueSettings {
    pub(super) fn read(value: &Value, notes: &mut Notes<'_>) -> Self {
        let mut settings = Self::default();
        for (key, value) in notes.map(value).iter().flat_map(|map| map.iter()) {
            match key {
                "max_bytes" => settings.max_bytes = max_bytes(value, &mut notes.below(key)),
                "max_messages" => settings.max_messages = notes.below(key).count(value),
                "overflow" => settings.overflow = notes.below(key).choice(value, &OVERFLOWS),
                "block_timeout" => settings.block_timeout = notes.below(key).time(value),
                "fsync" => settings.fsync = notes.below(key).choice(value, &FSYNCS),
                _ => notes.unknown_key(key, KEYS),
            }
        }
        settings
    }
}

fn max_bytes(value: &Value, notes: &mut Notes<'_>) -> Option<u64> {
    let bytes = notes.bytes(value)?;
    if bytes < MIN_QUEUE_BYTES {
        notes.note(&format!("a queue holds at least {MIN_QUEUE_BYTES} bytes"), None);
    }
    (bytes >= MIN_QUEUE_BYTES).then_some(bytes)
}
