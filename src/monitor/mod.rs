//! Watches what tasks use and do, and says when that changes its level or breaks a limit.
//!
//! ```text
//!   daemon ──Facts, each second──► a thread of its own: samples trees of processes, judges ──Report──► daemon
//! ```
//!
//! Invariant: it decides nothing about a task. What follows from a [`Report`] is the daemon's affair: an alert is told,
//! a task that broke a limit is stopped.
//! Invariant: nobody waits for it. Facts that come while it is at work are left out; the next ones come in a second.
//!
//! It knows nothing of configs and processes' records: the daemon tells what it needs. It looks at queues itself, for
//! that may take its time.

mod facts;
mod handle;
mod queues;
mod sampler;
mod subjects;

pub use facts::{Facts, Report, TaskFacts, Tree};
pub use handle::Monitor;
