//! Why the transit refused.

use std::io;
use std::path::{Path, PathBuf};

use crate::name::{LaneName, QueueName};

/// Why a queue or the transit could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// On which file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// No directory is named, and no home is known.
    #[error("no transit directory: set MULTIMODULE_TRANSIT, or HOME, or give -T (-P)")]
    NoRoot,
    /// The transit directory is something else.
    #[error("{}: not a directory; the transit needs one of its own", path.display())]
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// The transit directory is somebody else's.
    #[error("{}: belongs to user {owner}, we are user {ours}; choose another transit directory (-T, -P, MULTIMODULE_TRANSIT)", path.display())]
    NotOurs {
        /// Where.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// Our effective user id.
        ours: u32,
    },
    /// The transit directory cannot be written.
    #[error("{}: not writable: {source}; choose another transit directory (-T, -P, MULTIMODULE_TRANSIT)", path.display())]
    NotWritable {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The transit directory lies where mapped files or locks are not what they are on a local disk.
    #[error("{}: lies on {file_system}, where shared mappings and locks do not hold; choose a local directory (-T, -P, MULTIMODULE_TRANSIT)", path.display())]
    ForeignFileSystem {
        /// Where.
        path: PathBuf,
        /// The kind of file system.
        file_system: &'static str,
    },
    /// An index is not one of ours, or too short.
    #[error("{}: {reason}; move the queue's directory away to start anew", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process writes the lane.
    #[error("lane {lane} of queue {queue} is written by another process")]
    LaneBusy {
        /// Which queue.
        queue: QueueName,
        /// Which lane.
        lane: LaneName,
    },
    /// `anon:0` is shared: it is taken for one append only.
    #[error("lane anon:0 belongs to nobody; append_once takes it for one message")]
    LaneIsShared,
    /// Every slot of the index is in use.
    #[error("queue {queue} has {lanes} lanes, which is the most an index holds")]
    TooManyLanes {
        /// Which queue.
        queue: QueueName,
        /// How many lanes there are.
        lanes: usize,
    },
    /// Another process, or another part of this one, consumes the queue.
    #[error("queue {queue} is consumed by {description}")]
    ConsumedBy {
        /// Which queue.
        queue: QueueName,
        /// Who: pid and state directory, in its own words.
        description: String,
    },
    /// The lock under which an index is changed was held too long.
    #[error("queue {queue}: another process has been changing its index for {seconds} s")]
    IndexBusy {
        /// Which queue.
        queue: QueueName,
        /// How long we waited, in seconds.
        seconds: f64,
    },
}

impl Error {
    pub(super) fn io(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { path: path.to_owned(), source: source.into() }
    }
}

/// Why a message was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bound is reached, and the queue's overflow is `block`: wait and try again.
    #[error(
        "queue {queue} is full: it holds {messages} of at most {max_messages} messages, {bytes} of {max_bytes} bytes"
    )]
    Full {
        /// Which queue.
        queue: QueueName,
        /// Messages held.
        messages: u64,
        /// Most messages.
        max_messages: u64,
        /// Bytes held.
        bytes: u64,
        /// Most bytes.
        max_bytes: u64,
    },
    /// The message alone passes the bound, and never fits.
    #[error("a message of {bytes} bytes is too large for queue {queue}, which takes at most {max_bytes}")]
    TooLarge {
        /// Which queue.
        queue: QueueName,
        /// The body's bytes.
        bytes: u64,
        /// Most bytes.
        max_bytes: u64,
    },
    /// The bound is reached, and the overflow is `drop_newest`: the message is gone.
    #[error("queue {queue} is full, and drops what is new")]
    DroppedNewest {
        /// Which queue.
        queue: QueueName,
    },
    /// The bound is reached, and the overflow is `dead_letter`, or the queue is parked: the caller sends the message to
    /// `dead`.
    #[error("queue {queue} is full{}, and what is new goes to dead", if *parked { ", nobody will read it for now" } else { "" })]
    DeadLetter {
        /// Which queue.
        queue: QueueName,
        /// Whether it is parked: see [`Transit::set_parked`](super::Transit::set_parked).
        parked: bool,
    },
    /// The lane could not be opened, or its files could not be made.
    #[error(transparent)]
    Queue(#[from] Error),
}
