//! Values: the plain data that messages, configs and states are made of.
//!
//! A value is what JSON knows, with integers kept exact up to 64 bits. Short text (up to 24 bytes) stands inline
//! and a small map is one allocation, for most messages are small maps of short texts.
//!
//! [`Value`] owns; [`View`] looks at a value that is owned elsewhere, parsed or still encoded, without building it.

mod fields;
mod map;
mod owned;
mod probe;
mod reader;
mod serial;
mod typed;
mod view;

pub use compact_str::CompactString as Text;
#[doc(hidden)]
pub use fields::ascending;
pub use map::Map;
pub use owned::{MAX_DEPTH, Value};
pub use probe::fields_of;
pub use typed::{NoValueError, Part, TypeFault, from_map, from_value, from_view, to_value};
pub use view::{ListView, MapView, View};
