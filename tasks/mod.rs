//! What the daemon runs: the task code that is compiled in, by path, one line each.
//!
//! A path without `::` is a built-in task; the others are found by a prefix (`-p mytasks::`).
//!
//! | built-in | does | state |
//! |---|---|---|
//! | [`Router`] | routes what is sent to its queue | none |
//! | [`Tail`] | emits the lines that are written to files | how far each was read |
//! | [`Tally`] | counts messages by their fields, emits the counts when they change | the counts |
//! | [`WriteFile`] | keeps in a file what the last message said | none |
//!
//! Each file says what its task's config takes, what it emits, and its limits.

mod router;
mod tail;
mod tally;
mod write_file;

pub mod mytasks;

pub use router::Router;
pub use tail::Tail;
pub use tally::Tally;
pub use write_file::WriteFile;

use crate::runtime::Registry;
use crate::runtime::RegistryError;

/// All tasks.
pub fn registry() -> Result<Registry, RegistryError> {
    Registry::new()
        .with::<Router>("Router")?
        .with::<Tail>("Tail")?
        .with::<Tally>("Tally")?
        .with::<WriteFile>("WriteFile")?
        .with::<mytasks::Example1>("mytasks::Example1")?
        .with::<mytasks::Example2>("mytasks::Example2")
}
