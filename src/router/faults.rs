//! Collecting everything that is wrong with a config before it is refused.
//!
//! Invariant: a fault's path begins at the value that was given to compile; whoever knows where that stood puts
//! its own path in front.

use crate::config::{PathFault, ValuePath, advice};
use crate::value::Value;

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<PathFault>);

impl Faults {
    /// `result` if nothing was found, else all that was.
    pub(super) fn verdict<T>(self, result: T) -> Result<T, Vec<PathFault>> {
        if self.0.is_empty() { Ok(result) } else { Err(self.0) }
    }

    pub(super) fn add(&mut self, path: &ValuePath, reason: impl Into<String>) {
        self.add_advised(path, reason, None);
    }

    pub(super) fn add_advised(&mut self, path: &ValuePath, reason: impl Into<String>, advice: Option<String>) {
        self.0.push(PathFault { path: path.clone(), reason: reason.into(), advice });
    }

    pub(super) fn wrong_kind(&mut self, path: &ValuePath, expected: &str, found: &Value) {
        self.add(path, format!("must be {expected}, not {}", found.kind()));
    }

    /// Reports the keys of `map`, which stands at `path`, that are none of `known`.
    pub(super) fn unknown_keys(&mut self, path: &ValuePath, map: &crate::value::Map, known: &[&str]) {
        for key in map.keys().filter(|key| !known.contains(key)) {
            let advice =
                advice(key, known.iter().copied()).unwrap_or_else(|| format!("known here: {}", known.join(", ")));
            self.add_advised(&path.key(key), format!("unknown key {key:?}"), Some(advice));
        }
    }
}
