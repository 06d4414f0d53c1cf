//! What the daemon runs: the built-in tasks by name.
//!
//! | task | does | state |
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
