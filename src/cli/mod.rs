//! The command lines: `multimodule`, and `strans`, `rtrans` and `qtrans`, which work on the transit with or without a
//! daemon.
//!
//! Invariant: a program ends with one of the codes of [`Exit`], and what is wrong stands on standard error, once.
//!
//! Nothing is decided here: a command reads its words, asks the transit, prints, and ends.

mod commands;
mod exit;
mod message_text;
mod open_transit;
mod options;
mod program;
mod qtrans;
mod remote;
mod rtrans;
mod shown;
mod strans;
mod table;
mod version;
mod waiting;

pub use commands::Command;
pub use exit::{Exit, Failure};
pub use options::Options;
pub use program::multimodule_main;
pub use qtrans::qtrans_main;
pub use rtrans::rtrans_main;
pub use strans::strans_main;
