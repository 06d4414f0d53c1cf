//! The host: the process of external tasks, `multimodule -m NAME`.
//!
//! ```text
//!   STATE/running.conf ──read at start and when told──► Assembly ─► Node::apply      the same as in the daemon
//!   control link: configure, reopen the log, the level ──────────────┘
//!   SIGTERM ──► save, give everything back, end
//! ```
//!
//! It needs no daemon: its keeper starts it, what it should run stands in a file, its messages are in the transit.
//! The link only tells it to look again, and tells the daemon what is counted here.
//!
//! Invariant: one host per name and state directory. Who is not the first ends without having opened anything.

mod counting;
mod events;
mod log;
mod run;
mod tasks;

pub use run::{HostOptions, run};
