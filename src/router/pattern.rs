//! What a route's `match` asks of a message.
//!
//! Every key of the match must hold:
//!
//! | message side | match side | holds when |
//! |---|---|---|
//! | number or text | number or text | both are the same text |
//! | number or text | `" special/re/flags"` | the regular expression matches |
//! | boolean | boolean | equal |
//! | map | map | every key of the match is there and holds |
//! | list | number, text, boolean or special | it holds for some element |
//! | list | list | element by element, over the match's length |
//! | list | map | every element is a key of the map |
//! | anything else, or a missing key | | never |
//!
//! Invariant: whether a pattern holds depends on the message alone; testing allocates nothing, but for a text of
//! a number with a fraction.

use compact_str::ToCompactString;

use super::faults::Faults;
use super::special::{Groups, PREFIX, Special};
use crate::config::{PathFault, ValuePath};
use crate::value::{ListView, Map, MapView, Text, Value, View};

/// A compiled match: tests by field, all of which must hold. One without tests always holds.
#[derive(Debug, Default)]
pub struct Match(Vec<(Text, Pattern)>);

/// What one value must be.
#[derive(Debug)]
enum Pattern {
    /// `null` in a match equals nothing, as in the original.
    Never,
    Bool(bool),
    /// A number or text.
    Scalar(Text),
    Special(Box<Special>),
    List(Vec<Pattern>),
    Map(Vec<(Text, Pattern)>),
}

impl Match {
    /// Compiles a map of tests by field. Fails with every fault, at paths below `tests`.
    pub fn compile(tests: &Value) -> Result<Self, Vec<PathFault>> {
        let mut faults = Faults::default();
        let (compiled, _) = Self::compile_at(tests, &ValuePath::default(), &mut faults);
        faults.verdict(compiled)
    }

    /// Compiles `tests`, which stand at `at`; also tells the named groups of their expressions.
    pub(super) fn compile_at(tests: &Value, at: &ValuePath, faults: &mut Faults) -> (Self, Vec<Text>) {
        let mut reader = Reader { faults, groups: Vec::new() };
        let tests = match tests {
            Value::Map(tests) => reader.map(tests, at),
            other => {
                reader.faults.wrong_kind(at, "a map of tests", other);
                Vec::new()
            }
        };
        (Self(tests), reader.groups)
    }

    /// Whether every test holds.
    #[must_use]
    pub fn holds(&self, message: MapView<'_>) -> bool {
        map_holds(&self.0, message)
    }

    /// What the named groups of this match hold, once it holds. Of a list the first element that matches counts.
    pub(super) fn groups(&self, message: MapView<'_>) -> Groups {
        let mut groups = Groups::default();
        capture_map(&self.0, message, &mut groups);
        groups
    }

    /// Takes the test of `field` out, for a caller that has made it already.
    pub(super) fn remove(&mut self, field: &str) {
        self.0.retain(|(have, _)| have != field);
    }

    /// The tests that ask for one text of one field.
    pub(super) fn equalities(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(field, pattern)| match pattern {
            Pattern::Scalar(text) => Some((field.as_str(), text.as_str())),
            _ => None,
        })
    }
}

/// Hands the text of a number or text to `look`; there is none of other values.
#[inline]
pub(super) fn with_text<R>(value: View<'_>, look: impl FnOnce(&str) -> R) -> Option<R> {
    match value {
        View::Text(text) => Some(look(text)),
        // Twenty digits stand inline.
        View::Int(number) => Some(look(&number.to_compact_string())),
        View::Uint(number) => Some(look(&number.to_compact_string())),
        _ => value.scalar_text().map(|text| look(&text)),
    }
}

fn map_holds(tests: &[(Text, Pattern)], map: MapView<'_>) -> bool {
    tests.iter().all(|(key, pattern)| map.get(key).is_some_and(|value| pattern.holds(value)))
}

impl Pattern {
    fn holds(&self, value: View<'_>) -> bool {
        match (self, value) {
            (Self::Map(tests), View::Map(map)) => map_holds(tests, map),
            (Self::Map(tests), View::List(list)) => list.iter().all(|element| names_a_key(tests, element)),
            (Self::List(patterns), View::List(list)) => list_holds(patterns, list),
            (_, View::List(list)) => list.iter().any(|element| self.scalar_holds(element)),
            _ => self.scalar_holds(value),
        }
    }

    fn scalar_holds(&self, value: View<'_>) -> bool {
        match self {
            Self::Scalar(text) => with_text(value, |have| have == text).unwrap_or(false),
            Self::Special(special) => with_text(value, |have| special.is_match(have)).unwrap_or(false),
            Self::Bool(expected) => value.as_bool() == Some(*expected),
            Self::Never | Self::List(_) | Self::Map(_) => false,
        }
    }

    fn capture(&self, value: View<'_>, groups: &mut Groups) {
        match (self, value) {
            (Self::Map(tests), View::Map(map)) => capture_map(tests, map, groups),
            (Self::List(patterns), View::List(list)) => {
                patterns.iter().zip(list.iter()).for_each(|(pattern, element)| pattern.capture(element, groups));
            }
            (Self::Special(special), View::List(list)) => {
                if let Some(element) = list.iter().find(|element| self.scalar_holds(*element)) {
                    with_text(element, |text| special.capture(text, groups));
                }
            }
            (Self::Special(special), _) => {
                with_text(value, |text| special.capture(text, groups));
            }
            _ => {}
        }
    }
}

fn list_holds(patterns: &[Pattern], list: ListView<'_>) -> bool {
    patterns.len() <= list.len() && patterns.iter().zip(list.iter()).all(|(pattern, value)| pattern.holds(value))
}

fn names_a_key(tests: &[(Text, Pattern)], element: View<'_>) -> bool {
    // The keys of a compiled map ascend, as those of every map do.
    let is_key = |text: &str| tests.binary_search_by(|(key, _)| key.as_str().cmp(text)).is_ok();
    with_text(element, is_key).unwrap_or(false)
}

fn capture_map(tests: &[(Text, Pattern)], map: MapView<'_>, groups: &mut Groups) {
    for (key, pattern) in tests {
        if let Some(value) = map.get(key) {
            pattern.capture(value, groups);
        }
    }
}

/// Compiles patterns, gathering faults and the names of groups.
struct Reader<'f> {
    faults: &'f mut Faults,
    groups: Vec<Text>,
}

impl Reader<'_> {
    fn map(&mut self, tests: &Map, at: &ValuePath) -> Vec<(Text, Pattern)> {
        tests.iter().map(|(key, value)| (Text::from(key), self.pattern(value, &at.key(key)))).collect()
    }

    fn pattern(&mut self, value: &Value, at: &ValuePath) -> Pattern {
        match value {
            Value::Null => Pattern::Never,
            Value::Bool(expected) => Pattern::Bool(*expected),
            Value::Text(text) if text.starts_with(PREFIX) => self.special(text, at),
            Value::List(list) => {
                Pattern::List(list.iter().enumerate().map(|(n, value)| self.pattern(value, &at.index(n))).collect())
            }
            Value::Map(map) => Pattern::Map(self.map(map, at)),
            Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Text(_) => {
                with_text(value.view(), |text| Pattern::Scalar(Text::from(text))).unwrap_or(Pattern::Never)
            }
        }
    }

    fn special(&mut self, text: &str, at: &ValuePath) -> Pattern {
        let special = match Special::compile(text) {
            Ok(special) => special,
            Err(fault) => {
                self.faults.add_advised(at, fault.reason, fault.advice);
                return Pattern::Never;
            }
        };
        for group in special.groups() {
            if group == "message" {
                self.faults.add(at, "a group may not be named \"message\": in a transform that is the message");
            } else if self.groups.iter().any(|have| have == group) {
                self.faults.add(at, format!("group {group:?} stands twice in one match"));
            }
            self.groups.push(Text::from(group));
        }
        Pattern::Special(Box::new(special))
    }
}
