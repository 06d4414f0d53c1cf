//! The supervisor: starts, watches, adopts and ends the external processes of one daemon.
//!
//! ```text
//!   Daemon ── want, configure, end_all ──► Supervisor ──► Watcher NAME ─┬─ Sight    record, pidfds, parked?
//!                                                                       ├─ Contact  the control link
//!                                                                       ├─ life     what next: pure
//!                                                                       └─ LogReader  its log on the terminal
//!                                          Shared: the spawner, from which keepers are forked
//! ```
//!
//! A keeper starts its host again by itself. The supervisor does what keepers cannot: it starts and ends them, adopts
//! what an earlier daemon left, answers for hosts whose keeper was killed, and renews those of another program.
//!
//! Invariant: nothing depends on it. It may be killed at any moment, and what it had in hand is finished by the next
//! one, which sees the same files and processes.
//!
//! It knows nothing of messages, and nothing of what a config says.

mod adoption;
mod bounds;
mod contact;
mod counted;
mod effects;
mod history;
mod launch;
mod life;
mod log;
mod log_reader;
mod processes;
mod renewal;
mod rolling;
mod shared;
mod sight;
mod telling;
mod view;
mod watcher;

pub use history::{EVENTS, Event, History, What};
pub use launch::{HostArguments, Launch, Program};
pub use processes::Supervisor;
pub use view::{ProcessView, Standing, Standings, Views};
pub use watcher::Spec;
