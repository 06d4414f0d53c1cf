//! Out-of-band channels: `log`, `error`, `alert`, `debug` and whatever a task invents, as a layer of `tracing`.
//!
//! ```text
//! tracing event ──► Layer ──► Line ──► its channel's sink ──► stdout, stderr, a file
//!  channel, task,                      (Handling, `-o`)  └──► bounded buffer ──► whoever took the QueueLines
//!  message                                                    puts them on queues
//! ```
//!
//! An event may carry a field `channel` and a field `task`. Without `channel` its level says which one is meant: ERROR
//! and WARN are `error`, INFO is `log`, DEBUG and TRACE are `debug`. A channel without handling uses that of `error`.
//!
//! A line reads `<local time>: (<pid>): [<CHANNEL>] <text>` and goes out with one write.
//!
//! Invariant: whoever says something never waits for a queue: what does not fit the buffer is dropped and counted.
//! Invariant: a line for a file is never lost silently: what its file does not take goes to standard error.
//! Invariant: nothing in here says something through `tracing`, so no line begets another.
//!
//! It knows nothing of the transit: the daemon forwards what is for queues.

mod handling;
mod install;
mod layer;
mod level;
mod line;
mod outlet;
mod queue_line;
mod recent;

pub use handling::{DEFAULT_HANDLING, Handling, HandlingError, ROUTER_QUEUE, Sink};
pub use install::{ChannelError, ChannelHandle, install};
pub use queue_line::{QUEUE_LINES, QueueLine};
pub use recent::Recent;
