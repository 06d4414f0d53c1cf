//! What daemon and host say to each other.
//!
//! On the wire a value is what `ipc-channel` makes of it: the variant's number, then its fields in order (postcard).
//! So variants are only ever appended, and fields only at the end of a struct or variant that is the last thing in
//! its message; a test pins the bytes of each. What a peer of another version does then:
//!
//! - A variant that it does not know cannot be decoded: that message is skipped, counted and reported once, and the
//!   link goes on. Whoever needs an answer to a new request looks at the version first.
//! - Appended fields are not read by an older reader. A newer one must not read them from an older writer: it looks
//!   at the version, or the message is one that it skips.
//! - No message but the daemon's Hello may carry a channel: an unread one would stay open in the reader.

use ipc_channel::ipc::IpcSender;
use serde::{Deserialize, Serialize};

use crate::name::TaskName;
use crate::task::Counts;

/// The newest version of the protocol that this program speaks.
pub const VERSION: u32 = 3;
/// The oldest that it speaks as well.
pub const OLDEST: u32 = 1;
/// The version from which on a host tells what it counts. An older one tells nothing, and is not asked; an older daemon
/// is not told.
pub const COUNTED: u32 = 3;

/// What the daemon says to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// `STATE/running.conf` has changed: read it. The answer is [`ToDaemon::Configured`].
    Configure {
        /// Which config stands there now; a later one has a larger number.
        generation: u64,
    },
    /// Say more, or less.
    SetLevel {
        /// As in the daemon's own channels.
        level: u32,
    },
    /// The log file was renamed: open its name anew. The answer is [`ToDaemon::ReopenedLog`]. From version 2 on.
    ReopenLog,
}

/// What a host says to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDaemon {
    /// It runs by that config now, or goes on with what it had because of the faults.
    Configured {
        /// Of [`ToHost::Configure`].
        generation: u64,
        /// Each as a text for people; empty: all is well.
        faults: Vec<String>,
    },
    /// What it prints goes to the file that has the log's name now. From version 2 on.
    ReopenedLog,
    /// What it counts, once a second at most and only if it has changed. The first word on a link, and the first
    /// after a `Configured`, says all of it, later ones only what is another; that a task had its thread for longer is not told by itself. From version 3 on.
    Counted {
        /// Bytes that the kernel counts as written by it, and that are its queues' and states', since it began.
        written_bytes: u64,
        /// What its tasks have done since they were made there, each by its own name; that of a pool's worker is
        /// `TASK.k`.
        tasks: Vec<(TaskName, Counts)>,
    },
}

/// Who a host is; the first thing that it says on a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHello {
    /// The newest version of the protocol that it speaks: [`VERSION`] of its program.
    pub version: u32,
    /// What its identity record holds: the proof that this is the process which that record means.
    pub nonce: String,
    /// The name of the process.
    pub process: String,
    /// Which program it runs, as that program says of itself.
    pub program: String,
    /// Of the config by which it runs.
    pub generation: u64,
}

/// What crosses the socket from daemon to host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum FromDaemon {
    /// First of all, and only then.
    Hello {
        /// The newest version that the daemon speaks.
        version: u32,
        /// Where the host answers.
        reply: IpcSender<FromHost>,
    },
    Message(ToHost),
}

/// What crosses the socket from host to daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum FromHost {
    /// First of all, and only then.
    Hello(HostHello),
    Message(ToDaemon),
}

/// The version that both speak, given the newest that the peer speaks: the lower one, unless we have forgotten it.
/// Of two versions it is the newer program that knows whether they go together.
pub(super) fn spoken(theirs: u32) -> Option<u32> {
    (theirs >= OLDEST).then_some(theirs.min(VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_version_is_spoken_unless_it_is_forgotten() {
        assert_eq!(spoken(VERSION), Some(VERSION));
        assert_eq!(spoken(VERSION + 7), Some(VERSION));
        assert_eq!(spoken(OLDEST - 1), None);
    }
}
