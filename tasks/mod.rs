//! What the daemon runs: the built-in tasks by name.

pub mod mytasks;
