//! What processes use: sampled through `/proc`, tree by tree; what the machine has; and what its cgroups can bound.
//!
//! It only reads and adds up. Which reading is too high is decided elsewhere (`limits`), and acted upon elsewhere
//! (`monitor`).

mod cgroup;
mod handles;
mod ledger;
mod machine;
mod member;
mod meter;
mod own;
mod parse;

pub use cgroup::{Bounds, Cgroup, CgroupTree, Cgroups, Lacking};
pub use handles::Handles;
pub use machine::Machine;
pub use member::lists_children;
pub use meter::{MAX_PROCESSES, Meter, MeterError, Root, Unreadable, Usage};
pub use own::{Own, counts_writes};
