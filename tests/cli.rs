//! The commands on the transit, and the command line of the daemon, through the real binaries.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the verdict")]

#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/qtrans.rs"]
mod qtrans;
#[path = "cli/rtrans.rs"]
mod rtrans;
#[path = "cli/strans.rs"]
mod strans;
