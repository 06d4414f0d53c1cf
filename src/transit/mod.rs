//! The transit: the crash-proof queues of one machine. Any process of the user appends, one consumes.
//!
//! # On disk
//!
//! ```text
//! TRANSIT/                       0700, ours alone, on a local file system
//!   .bells/<16 hex digits>       one FIFO per consuming process
//!   <queue>/                     made under a dot name, renamed into place whole
//!     lock                       byte 0: the right to consume; byte k: to write lane k; 1<<40: to change the index
//!     index                      settings, doorbell, bits, and a slot of 512 bytes for each of up to 1,024 lanes
//!     lane.<k>/<base>.seg        segments; the name is the position of the first byte, as 16 hex digits
//!     aside/                     segments in which a record was bad, kept for a person to look at
//! ```
//!
//! A *position* counts the bytes of a lane since its beginning; it never goes back and is a multiple of 8. A
//! segment holds the records from its base on; where the next one does not fit stands an end mark, and the next
//! segment's base is the position reached. See `record` and `segment` for their bytes, `index` for its words.
//!
//! # The way of a message
//!
//! ```text
//! Sender::append   copy the record into the mapped segment
//!                  publish: count, then the write position (Release)          a kill before this leaves nothing
//!                  announce: fence, the lane's bit, fence, and if the consumer sleeps: ring
//! Consumer::take   see the bit; copy out what is published; check the copy
//! Consumer::finish publish the finished position (Release)                    the room may go
//!                  fence; if the lane's writer waits for that: ring           (Sender::await_finished)
//! ```
//!
//! Invariant: no lock is taken on the data path across processes, and nothing outside this module sees mapped memory.
//!
//! Invariant: one process at a time consumes a queue, one at a time writes a lane (kernel locks); inside a process
//! a table of ours says so, and the clones of a [`Sender`] share one lane.
//!
//! Invariant: what a file holds is not believed. Bytes of any value lead to an error or an [`Incident`], never to a
//! panic, an endless loop or a read beyond a mapping.
//!
//! What this does not do: it does not wait for room (`append` says [`AppendError::Full`], the caller decides; it can ask
//! for a ring), it
//! knows nothing of tasks or of what a body means, and it does not catch SIGBUS (a file truncated under a mapping).

mod async_bell;
mod bell;
mod consequences;
mod consumer;
mod directory;
mod error;
mod follows;
mod heartbeat;
mod idle_lane;
mod incident;
mod index;
mod lane_reader;
mod lane_writer;
mod map;
mod open;
mod protocol;
#[cfg(test)]
mod protocol_tests;
mod queue;
mod record;
mod recovery;
mod ring;
mod room;
mod root;
mod segment;
mod sender;
mod settings;
mod slot;
mod source;
mod status;
#[cfg(test)]
mod tests;
mod under_way;

pub use async_bell::AsyncBell;
pub use bell::Bell;
pub use consequences::{Consequence, Consequences};
pub use consumer::{Consumer, LaneState, Reader, StartOutcome, Taken, Wake};
pub use error::{AppendError, Error};
pub use incident::Incident;
pub use index::FORMAT;
pub use open::Transit;
pub use record::{Outgoing, Tag};
pub use room::Room;
pub use root::default_root;
pub use sender::Sender;
pub use settings::{Fsync, Overflow, Settings};
pub use slot::LaneId;
pub use status::{LaneStatus, QueueStatus};
pub use under_way::{POISON, UnderWay};
