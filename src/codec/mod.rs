//! The bytes of a message's body: MessagePack (<https://msgpack.org>, its specification of 2013 with `str 8`).
//!
//! Of that format a body uses `nil`, `bool`, the integers, `float 64` (and reads `float 32`), `str`, `array` and
//! `map`; `bin` and `ext` are refused. A body is one map; keys are text and ascend strictly by their bytes, in
//! every map. So a body has one encoded form, and no key stands twice.
//!
//! [`check`] walks a body once when it comes from outside; after that the [`View`](crate::value::View)s read it in
//! place, and a place that does not hold what it should reads as missing.

mod error;
mod read;
mod write;

pub use error::CodecError;
pub use read::{Items, check, read_map};
pub use write::write_map;
