//! Configs: from text in one of three forms to checked entries, with every fault shown at its place.

mod path;

pub use path::{PathFault, Step, ValuePath};
