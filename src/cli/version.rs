//! What `--version` says.

use std::sync::LazyLock;

use crate::store;

/// The version of the transit's files. It stands in every segment and index, and changes with their layout only.
const TRANSIT_FORMAT: u64 = 1;

/// The optional features this program was built with.
const FEATURES: &[&str] = &[];

/// Version, features and the formats on disk, below the program's name.
pub(super) fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(compose);
    &TEXT
}

fn compose() -> String {
    let features = if FEATURES.is_empty() { "none".to_owned() } else { FEATURES.join(" ") };
    let (version, state) = (env!("CARGO_PKG_VERSION"), store::FORMAT);
    format!("{version}\noptional features: {features}\ntransit format: {TRANSIT_FORMAT}\nstate format: {state}")
}
