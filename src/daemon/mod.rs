//! The daemon: the place that knows everything, and decides little.
//!
//! ```text
//!   config file ─► ConfigFile ─┐
//!   control queue, calls ──────┼─► Daemon::handle ─► Assembly (pure) ─► Node::apply
//!   signals, the second ───────┘
//! ```
//!
//! A config becomes an `Assembly` (which tasks, with which code; the routing table) or a list of faults, all at
//! once; only an assembly is applied. So what runs goes on running whatever a config says.
//!
//! Invariant: one daemon per state directory.

mod answering;
mod assembly;
mod building;
mod caps;
mod config_file;
mod control;
mod counting;
mod disk;
mod draining;
mod error;
mod events;
mod owed;
mod parking;
mod places;
mod program;
mod reading;
mod reload;
mod renewal;
mod reports;
mod requests;
mod running;
mod running_conf;
mod saying;
mod service;
mod share;
mod start;
mod stated;
mod status;
mod steering;
mod watching;
mod whereabouts;

pub(crate) use assembly::{Assembly, Surroundings};
pub use error::DaemonError;
pub use program::program_text;
pub(crate) use program::{process_name, run_in_runtime};
pub use reports::{
    DaemonStatus, Done, EventReport, EventsReport, FailsafeReport, LogSource, Outcome, PlaceReport, PlanReport,
    QueueReport, ReloadReport, StateReport, Status, TaskState, TaskStatus, WaitReport, WorkerStatus,
};
pub use requests::{Answer, CALLS, Call, Caller, Calls, Refusal, RefusalKind, Request};
pub use running_conf::{RunningConfError, read_running_conf, write_running_conf};
pub(crate) use saying::Saying;
pub(crate) use share::Process;
pub use start::{DaemonOptions, Lines, Serve, run};
pub use whereabouts::{Published, Whereabouts, known_daemons, runs};
