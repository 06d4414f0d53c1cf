//! Records of a stateful task on disk: its state, how far it has read, what it has under way.
//!
//! A task has three files in the state directory (`state/README.md` has the formats):
//!
//! ```text
//! write(record n) ──► NAME.state.0  (n even)     in turn, in place: fast, and a kill tears at most the one
//!                 └─► NAME.state.1  (n odd)      that is being written
//! checkpoint()    ──► NAME.state                 beside, synced, renamed: what a power cut leaves at worst
//! recover()       ◄── all three: the newest whole one that the task's own check takes
//! ```
//!
//! Invariant: while record `n` is written, record `n - 1` is whole in the other slot (the first one in `NAME.state`).
//! Invariant: no file that holds something is overwritten before [`TaskStore::recover`] has taken a record; what
//! is damaged or refused is moved aside then, and where nothing can be taken, nothing is touched.
//! Invariant: what was recovered is the newest of what remains in place.
//!
//! It does not lock: whoever calls it holds the task's owner lock. It does not know what the state means, it has no
//! thread, looks at no clock but to count what it writes, and never starts at zero where a record was.

mod aside;
mod decoding;
mod encoding;
mod error;
mod record;
mod recovery;
mod task_store;
#[cfg(test)]
mod tests;
mod written;

pub use aside::ASIDE_LIMIT;
pub use encoding::{FORMAT, MAX_RECORD_BYTES};
pub use error::{RecordFault, StoreError};
pub use record::{OutboxEntry, OutputMark, PendingEntry, Position, Record, UnderWay, new_epoch};
pub use recovery::{Aside, AsideReason, Recovered, Taken};
pub use task_store::{TaskStore, peek};
pub use written::written_bytes;
