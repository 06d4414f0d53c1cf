//! What `--version` says.

use std::sync::LazyLock;

use crate::{store, transit};

/// The optional features this program was built with.
const FEATURES: &[&str] = &[];

/// Version, features and the formats on disk, below the program's name.
pub(super) fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(compose);
    &TEXT
}

fn compose() -> String {
    let features = if FEATURES.is_empty() { "none".to_owned() } else { FEATURES.join(" ") };
    let (version, transit, state) = (env!("CARGO_PKG_VERSION"), transit::FORMAT, store::FORMAT);
    format!("{version}\noptional features: {features}\ntransit format: {transit}\nstate format: {state}")
}
