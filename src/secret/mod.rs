//! Secrets: read where a task is made that refers to them, and kept out of whatever is said.
//!
//! ```text
//!   own config with secret://.. ──resolved──► with plain text ──► the task alone
//!                                   ├─ keeps the value in mind ─► redacted: `***` in lines
//!                                   └─ whoever writes what this process prints knows it first: the redactor
//! ```
//!
//! What a reference looks like is `config`'s affair. Nothing here is written to a file or a command line.

mod known;
mod passage;
mod pieces;
mod read;
mod redactor;
mod resolve;

pub use known::{redacted, redacted_bytes};
pub use passage::Passage;
pub use pieces::Pieces;
pub use read::{MAX_SECRET_BYTES, SecretError, tell_first};
pub use redactor::{Redactor, is_redactor, redactor_main};
pub use resolve::{keep_those_of, resolved};
