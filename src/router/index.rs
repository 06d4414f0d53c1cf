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

use super::pattern::{Match, with_text};
use crate::value::{MapView, Text, View};

/// This many lists of candidates are merged without allocating: one or two fields, and the unfiled routes.
const INLINE_LISTS: usize = 4;

/// A route's place in the order of routes.
pub(super) type RouteNumber = u32;

/// The routes by the test they are filed under.
#[derive(Debug, Default)]
pub(super) struct Index {
    fields: Vec<Field>,
    /// Where each field stands in `fields`.
    places: HashMap<Text, usize>,
    unfiled: Vec<RouteNumber>,
}

#[derive(Debug)]
struct Field {
    name: Text,
    routes: HashMap<Text, Vec<RouteNumber>>,
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

    /// The routes that may match `message`, from number `from` on.
    #[inline]
    pub(super) fn candidates(&self, message: MapView<'_>, from: RouteNumber) -> Candidates<'_> {
        let mut lists = Lists::default();
        lists.add(&self.unfiled);
        if self.fields.len() <= message.len() {
            for field in &self.fields {
                if let Some(value) = message.get(&field.name) {
                    field.look_up(value, &mut lists);
                }
            }
        } else {
            // More fields than the message has: its own are the shorter list to go through.
            for (name, value) in message.iter() {
                if let Some(place) = self.places.get(name) {
                    self.fields[*place].look_up(value, &mut lists);
                }
            }
        }
        lists.candidates(from)
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
    fn look_up<'t>(&'t self, value: View<'_>, lists: &mut Lists<'t>) {
        let mut add = |value| {
            if let Some(routes) = with_text(value, |text| self.routes.get(text)).flatten() {
                lists.add(routes);
            }
        };
        match value {
            View::List(list) => list.iter().for_each(add),
            _ => add(value),
        }
    }
}

/// The lists of routes that a message led to; each ascends, and no two different ones share a route.
#[derive(Default)]
struct Lists<'t> {
    inline: [&'t [RouteNumber]; INLINE_LISTS],
    used: usize,
    /// All of them, once they are too many to stand inline.
    more: Vec<&'t [RouteNumber]>,
}

impl<'t> Lists<'t> {
    fn add(&mut self, list: &'t [RouteNumber]) {
        if list.is_empty() {
            return;
        }
        if let Some(free) = self.inline.get_mut(self.used) {
            *free = list;
            self.used += 1;
            return;
        }
        if self.more.is_empty() {
            self.more.extend(self.inline);
        }
        self.more.push(list);
    }

    fn candidates(self, from: RouteNumber) -> Candidates<'t> {
        if self.more.is_empty() {
            let later = |list: &'t [RouteNumber]| &list[list.partition_point(|number| *number < from)..];
            let lists = if from == 0 { self.inline } else { self.inline.map(later) };
            return Candidates::Few { lists, used: self.used };
        }
        // A list of the message may lead to one list of routes again and again: it is taken once, so that the sum
        // never has more entries than there are routes.
        let mut lists = self.more;
        lists.sort_unstable_by_key(|list| list.as_ptr());
        lists.dedup_by_key(|list| list.as_ptr());
        let mut merged: Vec<RouteNumber> = lists.concat();
        merged.retain(|number| *number >= from);
        merged.sort_unstable();
        Candidates::Many(merged.into_iter())
    }
}

/// The routes that may match, in their order, each once.
pub(super) enum Candidates<'t> {
    Few { lists: [&'t [RouteNumber]; INLINE_LISTS], used: usize },
    Many(std::vec::IntoIter<RouteNumber>),
}

impl Iterator for Candidates<'_> {
    type Item = RouteNumber;

    #[inline]
    fn next(&mut self) -> Option<RouteNumber> {
        match self {
            Self::Few { lists, used } => {
                let lists = &mut lists[..*used];
                let next = lists.iter().filter_map(|list| list.first().copied()).min()?;
                for list in lists {
                    if let [first, rest @ ..] = list
                        && *first == next
                    {
                        *list = rest;
                    }
                }
                Some(next)
            }
            Self::Many(merged) => merged.next(),
        }
    }
}
