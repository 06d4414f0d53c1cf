//! Noting what is at fault while the framework's part of an entry is read.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::path::{PathFault, ValuePath};
use super::{quantity, suggest, typed};
use crate::value::{self, Map, Value};

/// Notes what is at fault with the value at one path.
pub(super) struct Notes<'f> {
    path: ValuePath,
    faults: &'f mut Vec<PathFault>,
}

impl<'f> Notes<'f> {
    pub(super) fn new(path: ValuePath, faults: &'f mut Vec<PathFault>) -> Self {
        Self { path, faults }
    }

    /// The same for the value of `key`.
    pub(super) fn below(&mut self, key: &str) -> Notes<'_> {
        Notes { path: self.path.key(key), faults: self.faults }
    }

    /// The same for element `index`.
    pub(super) fn at(&mut self, index: usize) -> Notes<'_> {
        Notes { path: self.path.index(index), faults: self.faults }
    }

    pub(super) fn note(&mut self, reason: &str, advice: Option<&str>) {
        let advice = advice.map(str::to_owned);
        self.faults.push(PathFault { path: self.path.clone(), reason: reason.to_owned(), advice });
    }

    pub(super) fn map<'v>(&mut self, value: &'v Value) -> Option<&'v Map> {
        if value.as_map().is_none() {
            self.note(&format!("expected a map, found {}", value.kind()), None);
        }
        value.as_map()
    }

    pub(super) fn typed<T: serde::de::DeserializeOwned>(&mut self, value: &Value) -> Option<T> {
        let faults = match value::from_value(value) {
            Ok(read) => return Some(read),
            Err(faults) => faults,
        };
        for fault in faults {
            let fault = typed::path_fault(fault);
            self.faults.push(PathFault { path: fault.path.below(&self.path), ..fault });
        }
        None
    }

    /// A number that is at least 1.
    pub(super) fn count(&mut self, value: &Value) -> Option<u64> {
        let count = self.typed(value)?;
        if count == 0 {
            self.note("expected an integer from 1 on, found 0", None);
        }
        (count > 0).then_some(count)
    }

    /// A number in `range`.
    pub(super) fn count_in(&mut self, value: &Value, range: RangeInclusive<u32>) -> Option<u32> {
        let found: i64 = self.typed(value)?;
        let count = u32::try_from(found).ok().filter(|count| range.contains(count));
        if count.is_none() {
            let (least, most) = (range.start(), range.end());
            self.note(&format!("expected an integer from {least} to {most}, found {found}"), None);
        }
        count
    }

    pub(super) fn time(&mut self, value: &Value) -> Option<Duration> {
        quantity::time(value.view()).map_err(|reason| self.note(&reason, Some(quantity::TIME_ADVICE))).ok()
    }

    pub(super) fn bytes(&mut self, value: &Value) -> Option<u64> {
        quantity::bytes(value.view()).map_err(|reason| self.note(&reason, Some(quantity::SIZE_ADVICE))).ok()
    }

    /// One of the `known` words.
    pub(super) fn choice<T: Copy>(&mut self, value: &Value, known: &[(&str, T)]) -> Option<T> {
        let words = || known.iter().map(|(word, _)| *word);
        let listed = || format!("one of: {}", words().collect::<Vec<_>>().join(", "));
        let Some(text) = value.as_text() else {
            self.note(&format!("expected text, found {}", value.kind()), Some(&listed()));
            return None;
        };
        let found = known.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let advice = suggest::advice(text, words()).unwrap_or_else(listed);
            self.note(&format!("unknown value {text:?}"), Some(&advice));
        }
        found
    }

    pub(super) fn unknown_key<'k>(&mut self, key: &str, known: impl IntoIterator<Item = &'k str>) {
        let advice = suggest::advice(key, known);
        self.below(key).note(&format!("unknown key {key:?}"), advice.as_deref());
    }
}
