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

    /// Whether it has no test.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::RoutingTable;
    use super::*;
    use crate::message::Message;

    const EXPRESSION: &str = " special/^h(?<rest>.*)y$/i";

    /// Each case: the fields, the match, whether it holds; on both faces of a message, and through a table.
    fn check(cases: impl IntoIterator<Item = (serde_json::Value, serde_json::Value, bool)>) {
        for (fields, test, holds) in cases {
            let told = format!("{fields} against {test}");
            let test: Value = serde_json::from_value(test).unwrap();
            let sent = Message::new(serde_json::from_value(fields).unwrap());
            let came = Message::from_encoded(sent.stamp(), sent.encoded().unwrap().clone()).unwrap();
            let compiled = Match::compile(&test).unwrap();
            assert_eq!(compiled.holds(MapView::of(sent.fields())), holds, "{told}");
            assert_eq!(compiled.holds(came.view()), holds, "{told}, encoded");
            let forwards = vec![crate::fields! { qname: "q" }];
            let route = crate::fields! { "match": test, forwards: forwards };
            let table = RoutingTable::compile(&Value::Map(crate::fields! { routes: vec![route] })).unwrap();
            assert_eq!(table.route(came, |_, _| {}).unwrap() == 1, holds, "{told}, through a table");
        }
    }

    #[test]
    fn scalars_hold_as_the_table_says() {
        check([
            // scalar, scalar
            (json!({"a": "x"}), json!({"a": "x"}), true),
            (json!({"a": "x"}), json!({"a": "y"}), false),
            (json!({"a": 1}), json!({"a": "1"}), true),
            (json!({"a": "1"}), json!({"a": 1}), true),
            (json!({"a": 1.0}), json!({"a": 1}), true),
            (json!({"a": 1.5}), json!({"a": "1.5"}), true),
            (json!({"a": "01"}), json!({"a": 1}), false),
            (json!({"a": -7}), json!({"a": "-7"}), true),
            (json!({"a": u64::MAX}), json!({"a": "18446744073709551615"}), true),
            (json!({"a": "x"}), json!({"b": "x"}), false),
            (json!({"a": "x", "b": 2}), json!({"a": "x", "b": 3}), false),
            // null never holds
            (json!({"a": null}), json!({"a": null}), false),
            (json!({"a": null}), json!({"a": ""}), false),
            (json!({}), json!({"a": null}), false),
            // regular expressions
            (json!({"a": "Howdy"}), json!({"a": EXPRESSION}), true),
            (json!({"a": "howl"}), json!({"a": EXPRESSION}), false),
            (json!({"a": 123}), json!({"a": " special/^1\\d+$/"}), true),
            (json!({"a": "a/b"}), json!({"a": " special/a/b/"}), true),
            (json!({"a": true}), json!({"a": " special/./"}), false),
            (json!({"a": {"b": "howdy"}}), json!({"a": EXPRESSION}), false),
            (json!({"a": ["x", "howdy"]}), json!({"a": EXPRESSION}), true),
            (json!({"a": "x\ny"}), json!({"a": " special/^y$/"}), false),
            (json!({"a": "x\ny"}), json!({"a": " special/^y$/m"}), true),
            (json!({"a": "x\ny"}), json!({"a": " special/x.y/"}), false),
            (json!({"a": "x\ny"}), json!({"a": " special/x . y/sx"}), true),
            // boolean, boolean
            (json!({"a": true}), json!({"a": true}), true),
            (json!({"a": true}), json!({"a": false}), false),
            (json!({"a": true}), json!({"a": "true"}), false),
            (json!({"a": 1}), json!({"a": true}), false),
            (json!({"a": "true"}), json!({"a": true}), false),
        ]);
    }

    #[test]
    fn maps_hold_as_the_table_says() {
        check([
            // map, map
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1}}), true),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 2}}), false),
            (json!({"a": {"b": {"c": "howdy"}}}), json!({"a": {"b": {"c": EXPRESSION}}}), true),
            (json!({"a": {"c": 1}}), json!({"a": {"b": 1}}), false),
            (json!({"a": {"b": 1}}), json!({"a": {}}), true),
            (json!({"a": {}}), json!({"a": {}}), true),
            (json!({"a": 1}), json!({"a": {}}), false),
            (json!({}), json!({"a": {}}), false),
            (json!({"any": "thing"}), json!({}), true),
            (json!({}), json!({}), true),
        ]);
    }

    #[test]
    fn lists_hold_as_the_table_says() {
        check([
            // array, scalar
            (json!({"a": ["x", "y"]}), json!({"a": "y"}), true),
            (json!({"a": ["x", 2]}), json!({"a": "2"}), true),
            (json!({"a": ["x", "y"]}), json!({"a": "z"}), false),
            (json!({"a": []}), json!({"a": "z"}), false),
            (json!({"a": [["x"]]}), json!({"a": "x"}), false),
            (json!({"a": [false, true]}), json!({"a": true}), true),
            (json!({"a": [null]}), json!({"a": null}), false),
            // array, array
            (json!({"a": ["x", "y", "z"]}), json!({"a": ["x", "y"]}), true),
            (json!({"a": ["x", "y"]}), json!({"a": ["y", "x"]}), false),
            (json!({"a": ["x"]}), json!({"a": ["x", "y"]}), false),
            (json!({"a": ["x"]}), json!({"a": []}), true),
            (json!({"a": [{"b": 1}, ["howdy"]]}), json!({"a": [{"b": "1"}, [EXPRESSION]]}), true),
            (json!({"a": "x"}), json!({"a": ["x"]}), false),
            (json!({"a": {"0": "x"}}), json!({"a": ["x"]}), false),
            // array, map
            (json!({"a": ["x", 1]}), json!({"a": {"x": 0, "1": 0, "more": 0}}), true),
            (json!({"a": ["x", "other"]}), json!({"a": {"x": 0}}), false),
            (json!({"a": [{"x": 1}]}), json!({"a": {"x": 0}}), false),
            (json!({"a": []}), json!({"a": {"x": 0}}), true),
            // anything else
            (json!({"a": {"b": 1}}), json!({"a": "b"}), false),
            (json!({"a": "b"}), json!({"a": {"b": 1}}), false),
        ]);
    }
}
