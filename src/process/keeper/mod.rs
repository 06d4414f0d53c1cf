//! The keeper: the small parent of one host. It is forked by the spawner, starts the host, waits for it, writes down
//! how it ended, starts it again by its policy, and gives up by its budget.
//!
//! ```text
//!   begin ──► start ──► attend ──end──► write it down ──► decide ──StartAt──► rest ──► start
//!                         │                                  ├─ Stay ─────────────────► done
//!                         └─TERM──► end all below ──► write  └─ GiveUp ──► failsafe ──► done
//! ```
//!
//! Invariant: a host's program begins only when `NAME.process` names it. A keeper that is killed leaves its host
//! running and the record true. SIGTERM to a keeper is the one way in which an end is asked for.
//!
//! It has one thread and no runtime, knows nothing of messages, and says what it has to say in the host's log.

mod begin;
mod launch;
mod life;
mod past;
mod unseen;
mod waiting;

pub(super) use begin::keep;
pub use unseen::{settle_end, settle_unseen_end};
