//! What the daemon runs: the built-in tasks by name.

mod router;
mod tail;

pub mod mytasks;

pub use router::Router;
pub use tail::Tail;
