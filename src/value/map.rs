//! A map of values by name.

use std::cmp::Ordering;

use super::{Text, Value};

/// Up to this many entries a scan beats halving: the keys of a small map fill a few cache lines.
const SCAN_ENTRIES: usize = 12;

/// Values by name, in one allocation.
///
/// Invariant: the keys ascend strictly by their bytes. So equal maps are equal entry by entry, their encoded and
/// printed forms are canonical, and no key stands twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map(Vec<(Text, Value)>);

impl Map {
    /// An empty map; it allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An empty map with room for `entries`.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        Self(Vec::with_capacity(entries))
    }

    /// A map of `entries`; of several with one key the last holds.
    #[must_use]
    pub fn from_entries(mut entries: Vec<(Text, Value)>) -> Self {
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            // Stable, so that of equal keys the last given stands last; then the later ones win.
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.reverse();
            entries.dedup_by(|a, b| a.0 == b.0);
            entries.reverse();
        }
        Self(entries)
    }

    /// Room for so many fields, and for the `source` and the `previous_source` that an emitted message gets.
    #[doc(hidden)]
    #[must_use]
    #[inline]
    pub fn room_for(fields: usize) -> Vec<(Text, Value)> {
        Vec::with_capacity(fields + 2)
    }

    /// A map of what `fields!` names, which is told whether the keys ascend.
    #[doc(hidden)]
    #[must_use]
    #[inline]
    pub fn of_fields(ascending: bool, entries: Vec<(Text, Value)>) -> Self {
        debug_assert!(!ascending || entries.is_sorted_by(|a, b| a.0 < b.0), "see `ascending`");
        if ascending { Self(entries) } else { Self::from_entries(entries) }
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        if self.0.len() <= SCAN_ENTRIES {
            return self.scan_for_place(key);
        }
        self.0.binary_search_by(|(have, _)| have.as_str().cmp(key))
    }

    /// One pass, also for a key that is missing. Most keys differ in their first byte.
    #[inline]
    fn scan_for_place(&self, key: &str) -> Result<usize, usize> {
        let key = key.as_bytes();
        for (at, (have, _)) in self.0.iter().enumerate() {
            let have = have.as_bytes();
            match have.first().cmp(&key.first()).then_with(|| have.cmp(key)) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(at),
                Ordering::Greater => return Err(at),
            }
        }
        Err(self.0.len())
    }

    #[inline]
    fn scan(&self, key: &str) -> Option<usize> {
        self.0.iter().position(|(have, _)| have.as_bytes() == key.as_bytes())
    }

    /// The value of `key`.
    #[must_use]
    #[inline]
    pub fn get(&self, key: &str) -> Option<&Value> {
        // Where a key that is missing would belong, as `find` tells, costs as much again as the scan.
        let place = if self.0.len() <= SCAN_ENTRIES { self.scan(key) } else { self.find(key).ok() };
        place.map(|at| &self.0[at].1)
    }

    /// The value of `key`, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.find(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Sets `key`; returns the value it had.
    pub fn insert(&mut self, key: impl AsRef<str> + Into<Text>, value: impl Into<Value>) -> Option<Value> {
        let value = value.into();
        match self.find(key.as_ref()) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key.into(), value));
                None
            }
        }
    }

    /// Takes `key` out; returns the value it had.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    /// Whether `key` is there.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, by ascending key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The keys, ascending.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    pub(super) fn entry_at(&self, at: usize) -> Option<(&str, &Value)> {
        self.0.get(at).map(|(key, value)| (key.as_str(), value))
    }
}

impl IntoIterator for Map {
    type Item = (Text, Value);
    type IntoIter = std::vec::IntoIter<(Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::from_entries(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    #[test]
    fn of_several_entries_with_one_key_the_last_holds() {
        let map: Map = [("b", 1), ("a", 2), ("b", 3), ("a", 4)].into_iter().collect();
        assert_eq!(map, fields! { a: 4, b: 3 });
    }

    #[test]
    fn a_map_finds_sets_and_removes_however_large_it_is() {
        for size in [1_usize, 12, 13, 200] {
            let mut map = Map::new();
            for number in (0..size).rev() {
                assert_eq!(map.insert(format!("key {number:03}"), number), None);
            }
            assert_eq!(map.len(), size);
            assert!(map.keys().is_sorted());
            for number in 0..size {
                let key = format!("key {number:03}");
                assert_eq!(map.insert(key.clone(), 7), Some(Value::from(number)));
                assert_eq!(map.remove(&key), Some(Value::Int(7)));
                assert_eq!(map.get(&key), None);
            }
        }
    }
}
