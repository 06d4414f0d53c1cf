//! Which routes may match a message at all.
//!
//! A route is filed under one of its tests for equality, `(field, text)`: the one that the fewest routes ask for.
//! A message is looked up by its own value of each field that routes are filed under; the routes without such a
//! test are candidates for every message.
//!
//! Invariant: every route that matches a message is among its candidates, and candidates come in route order,
//! each once.
//! Invariant: a hit is the test itself: the filed test of every candidate holds.

use std::cmp::Reverse;
use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::pattern::{Match, with_text};
use crate::value::{MapView, Text, View};

/// This many lists of candidates are merged without allocating: one or two fields, and the unfiled routes.
const INLINE_LISTS: usize = 4;

/// A route's place in the order of routes.
pub(super) type RouteNumber = u32;

/// The hasher need not withstand chosen keys: a config alone fills these maps, messages only ask them. It takes a
/// sixth of the time of routing a message less than the standard one.
type Lookup<T> = HashMap<Text, T, FixedState>;

/// The routes by the test they are filed under.
#[derive(Debug, Default)]
pub(super) struct Index {
    fields: Vec<Field>,
    /// Where each field stands in `fields`.
    places: Lookup<usize>,
    unfiled: Vec<RouteNumber>,
}

#[derive(Debug)]
struct Field {
    name: Text,
    routes: Lookup<Vec<RouteNumber>>,
}

impl Index {
    /// Files the routes, whose matches are given in their order, and takes the test that each is filed under out of
    /// its match: a hit is that test.
    pub(super) fn build(matches: &mut [&mut Match]) -> Self {
        let mut index = Self::default();
        let rarest = rarest_tests(matches);
        for (number, (one, rarest)) in (0..).zip(matches.iter_mut().zip(rarest)) {
            match rarest {
                Some((field, text)) => {
                    one.remove(&field);
                    index.file(field, text, number);
                }
                None => index.unfiled.push(number),
            }
        }
        index
    }

    fn file(&mut self, field: Text, text: Text, number: RouteNumber) {
        let place = *self.places.entry(field.clone()).or_insert_with(|| {
            self.fields.push(Field { name: field, routes: HashMap::default() });
            self.fields.len() - 1
        });
        self.fields[place].routes.entry(text).or_default().push(number);
    }

    /// Whether routes are filed under `field`.
    pub(super) fn looks_at(&self, field: &str) -> bool {
        self.places.contains_key(field)
    }

    /// Sets `candidates` to the routes that may match `message`, from number `from` on.
    #[inline]
    pub(super) fn find<'t>(&'t self, message: MapView<'_>, from: RouteNumber, candidates: &mut Candidates<'t>) {
        candidates.clear();
        candidates.add(&self.unfiled);
        if self.fields.len() <= message.len() {
            for field in &self.fields {
                if let Some(value) = message.get(&field.name) {
                    field.look_up(value, candidates);
                }
            }
        } else {
            // More fields than the message has: its own are the shorter list to go through.
            for (name, value) in message.iter() {
                if let Some(place) = self.places.get(name) {
                    self.fields[*place].look_up(value, candidates);
                }
            }
        }
        candidates.begin(from);
    }
}

/// Of each match the equality that the fewest of all of them ask for; among equals of the field that most test, so
/// that few fields are looked up.
fn rarest_tests(matches: &[&mut Match]) -> Vec<Option<(Text, Text)>> {
    let mut tests: HashMap<(&str, &str), usize> = HashMap::new();
    let mut fields: HashMap<&str, usize> = HashMap::new();
    for (field, text) in matches.iter().flat_map(|one| one.equalities()) {
        *tests.entry((field, text)).or_default() += 1;
        *fields.entry(field).or_default() += 1;
    }
    let rarest = |one: &Match| {
        let best = one.equalities().min_by_key(|test| (tests[test], Reverse(fields[test.0]), test.0));
        best.map(|(field, text)| (Text::from(field), Text::from(text)))
    };
    matches.iter().map(|one| rarest(one)).collect()
}

impl Field {
    #[inline]
    fn look_up<'t>(&'t self, value: View<'_>, candidates: &mut Candidates<'t>) {
        let mut add = |value| {
            if let Some(routes) = with_text(value, |text| self.routes.get(text)).flatten() {
                candidates.add(routes);
            }
        };
        match value {
            View::List(list) => list.iter().for_each(add),
            _ => add(value),
        }
    }
}

/// The routes that may match a message, in their order, each once.
///
/// First the lists that the message leads to are added: each ascends, and no two different ones share a route.
/// Few of them are merged as they are read; more are merged into one first.
#[derive(Default)]
pub(super) struct Candidates<'t> {
    lists: [&'t [RouteNumber]; INLINE_LISTS],
    used: usize,
    /// All the lists, once they are too many to stand inline.
    more: Vec<&'t [RouteNumber]>,
    /// The merged lists, last route first.
    merged: Vec<RouteNumber>,
}

impl<'t> Candidates<'t> {
    fn clear(&mut self) {
        self.used = 0;
        self.more.clear();
        self.merged.clear();
    }

    #[inline]
    fn add(&mut self, list: &'t [RouteNumber]) {
        if list.is_empty() {
            return;
        }
        if let Some(free) = self.lists.get_mut(self.used) {
            *free = list;
            self.used += 1;
            return;
        }
        if self.more.is_empty() {
            self.more.extend(self.lists);
        }
        self.more.push(list);
    }

    /// Makes the lists ready to be read from number `from` on.
    #[inline]
    fn begin(&mut self, from: RouteNumber) {
        if !self.more.is_empty() {
            self.merge(from);
        } else if from > 0 {
            for list in &mut self.lists[..self.used] {
                *list = &list[list.partition_point(|number| *number < from)..];
            }
        }
    }

    fn merge(&mut self, from: RouteNumber) {
        // A list of the message may lead to one list of routes again and again: it is taken once, so that the sum
        // never has more entries than there are routes.
        self.more.sort_unstable_by_key(|list| list.as_ptr());
        self.more.dedup_by_key(|list| list.as_ptr());
        self.merged.extend(self.more.iter().flat_map(|list| list.iter()).filter(|number| **number >= from));
        self.merged.sort_unstable_by_key(|number| Reverse(*number));
        self.used = 0;
    }
}

impl Iterator for Candidates<'_> {
    type Item = RouteNumber;

    #[inline]
    fn next(&mut self) -> Option<RouteNumber> {
        let lists = &mut self.lists[..self.used];
        let Some(next) = lists.iter().filter_map(|list| list.first().copied()).min() else {
            return self.merged.pop();
        };
        for list in lists {
            if let [first, rest @ ..] = list
                && *first == next
            {
                *list = rest;
            }
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::value::{Map, Value};

    fn candidates(tests: &[serde_json::Value], message: serde_json::Value, from: RouteNumber) -> Vec<RouteNumber> {
        let compile =
            |test: &serde_json::Value| Match::compile(&serde_json::from_value(test.clone()).unwrap()).unwrap();
        let mut matches: Vec<Match> = tests.iter().map(compile).collect();
        let index = Index::build(&mut matches.iter_mut().collect::<Vec<_>>());
        let fields: Map = serde_json::from_value::<Value>(message).unwrap().as_map().unwrap().clone();
        let mut found = Candidates::default();
        // What an earlier search left must not matter.
        index.find(MapView::of(&fields), 0, &mut found);
        index.find(MapView::of(&fields), from, &mut found);
        found.collect()
    }

    #[test]
    fn a_route_is_filed_under_its_rarest_test() {
        let tests = [json!({"kind": "a", "source": "x"}), json!({"kind": "a", "source": "y"}), json!({"kind": "a"})];
        assert_eq!(candidates(&tests, json!({"kind": "a", "source": "y"}), 0), [1, 2]);
        assert_eq!(candidates(&tests, json!({"kind": "b", "source": "y"}), 0), [1]);
        assert_eq!(candidates(&tests, json!({"source": "z"}), 0), [] as [RouteNumber; 0]);
    }

    #[test]
    fn a_long_list_in_a_message_finds_each_route_once_and_in_order() {
        let mut tests: Vec<_> = (0..20).rev().map(|n| json!({"a": n})).collect();
        tests.push(json!({}));
        let message = json!({"a": [19, "3", 3, 4, 4, 5, 6, 7.0, 8, 8, "none", null, [9], true]});
        assert_eq!(candidates(&tests, message.clone(), 0), [0, 11, 12, 13, 14, 15, 16, 20]);
        assert_eq!(candidates(&tests, message, 12), [12, 13, 14, 15, 16, 20]);
    }

    #[test]
    fn more_fields_than_the_message_has_are_found_as_well() {
        let tests: Vec<_> = (0..20).map(|n| json!({format!("field{n}"): "x"})).collect();
        assert_eq!(candidates(&tests, json!({"field7": "x", "field3": "x", "field5": "y"}), 0), [3, 7]);
        assert_eq!(candidates(&tests, json!({"field7": "x", "field3": "x", "field5": "y"}), 4), [7]);
    }
}
