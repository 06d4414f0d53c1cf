//! What the daemon runs: the task code that is compiled in, by path, one line each.
//!
//! A path without `::` is a built-in task; the others are found by a prefix (`-p mytasks::`).

pub mod mytasks;

use crate::runtime::{Registry, RegistryError};

/// All tasks.
pub fn registry() -> Result<Registry, RegistryError> {
    Registry::new().with::<mytasks::Example1>("mytasks::Example1")?.with::<mytasks::Example2>("mytasks::Example2")
}
