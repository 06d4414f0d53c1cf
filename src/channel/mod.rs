//! Out-of-band channels: `log`, `error`, `alert`, `debug` and whatever a task invents, as a layer of `tracing`.
//!
//! ```text
//! tracing event ──► Layer ──► Line ──► its channel's sink ──► stdout, stderr, a file
//!  channel, task,         filters      (Handling, `-o`;  ├──► bounded buffer ──► whoever took the QueueLines
//!  message                of the       ChannelSettings   │                       puts them on queues
//!                         config       of the config)    └──► (endpoints) the same
//!
//!   what another process has written ──► Terminal ──► stdout, stderr
//! ```
//!
//! An event may carry a field `channel` and a field `task`. Without `channel` its level says which one is meant: ERROR
//! and WARN are `error`, INFO is `log`, DEBUG and TRACE are `debug`. A channel without handling uses that of `error`.
//!
//! A line reads `<local time>: (<pid>): [<CHANNEL>] <text>`, or is a JSON object, and goes out with one write.
//!
//! Each process handles its own lines, so a file or a queue gets them also while the daemon is away. Only what goes to
//! a host's streams comes to the daemon, by the host's log, and is shown there as it is.
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
mod log_file;
mod outlet;
mod queue_line;
mod recent;
mod settings;
mod terminal;

pub use handling::{DEFAULT_HANDLING, Handling, HandlingError, ROUTER_QUEUE, Sink};
pub use install::{ChannelError, ChannelHandle, install};
pub use line::LogFormat;
pub use queue_line::{QUEUE_LINES, QueueLine};
pub use recent::Recent;
pub use settings::{ChannelSettings, FILE_BYTES};
pub use terminal::{Terminal, terminal};
