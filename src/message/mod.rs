//! Messages: a body of fields with the stamp that says which message it is and when it was made.

mod stamp;

pub use stamp::{MessageId, Stamp};
