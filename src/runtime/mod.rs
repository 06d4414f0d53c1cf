//! Runs tasks: each an actor that handles one thing at a time.
//!
//! # Theory of operation
//!
//! ```text
//!   transit queue ──────────────► Durable ┐                     stateful: the queue is always the transit
//!   mailbox ────────────────────► batch   ┴► Shell::next ─► Cell::<T> ─► Shell::settle ─► Post ─► mailbox | transit
//!   transit queue ─► Inlet ─► mailbox                           stateless: a mailbox, filled by others and the inlet
//! ```
//!
//! The [`Node`] is owned by the daemon and starts, configures and ends actors. An actor is a `shell`, the same
//! for every task (where input comes from, timers, commits, where output goes), around a `cell` that holds the
//! task's own types. The loop that joins them (`actor`) is the only generic code.
//!
//! Invariants: a task handles one thing at a time. What an activation emits takes effect when it returns, or not at
//! all. A message that came through a transit queue is finished there only when all that was made of it is safe:
//! in a record, in another queue, or handled.
//!
//! A node may be one of several processes of a daemon. A stateless task has one [`Role::Home`], and copies where the
//! config wants them; of what one lane's writer sent to it, all is in memory or all in its queue (`process_lane` for
//! the process, `ledger::way` for a stateful task), so order holds while it changes its place.
//!
//! It knows nothing of config files, signals and terminals.

mod actor;
mod appending;
mod cell;
mod commit;
mod control;
mod dead;
mod delivery;
mod durable;
mod guard;
mod handle;
mod inlet;
mod lanes;
mod leaver;
mod ledger;
#[cfg(test)]
mod ledger_tests;
mod neighbour;
mod node;
mod office;
mod outbox;
#[cfg(test)]
mod outbox_tests;
mod own_thread;
mod patience;
mod pool;
mod post;
mod process_lane;
mod registry;
mod saving;
mod seat;
mod secrets;
mod sent;
mod service;
mod settle;
mod shell;
mod succession;
mod switchboard;
mod timed;
mod timers;
mod usher;
mod waits;
mod watch;
mod watermark;
mod work;

pub use control::{ControlInbox, ControlMessage};
pub use dead::{DEAD, WHY};
pub use guard::install_panic_hook;
pub use handle::{Role, settings as queue_settings};
pub use node::{Node, NodeOptions, Wanted};
pub use registry::{Registry, RegistryError, TaskKind};
pub use waits::Wait;
