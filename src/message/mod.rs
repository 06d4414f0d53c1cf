//! Messages: a map of fields, with the stamp that says which message it is and when it was made.
//!
//! A body has two faces, the parsed map and the encoded bytes, each made at most once and shared by all clones:
//! what crosses a process undisturbed is never parsed, what goes to a task in the same process is never encoded.
//!
//! Who emitted a message stands among its fields, as in the original: `source`, and `previous_source`.

mod faces;
mod stamp;

pub use faces::{MAX_BODY_BYTES, Message, PREVIOUS_SOURCE, SOURCE, TRANSIT_META};
pub(crate) use stamp::time_ns;
pub use stamp::{MessageId, Stamp};
