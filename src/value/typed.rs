//! Values as Rust types, and Rust types as values.
//!
//! Reading goes over a [`View`], so it needs no parsed tree. Keys that a struct does not know are all gathered, also
//! where the type itself would let them pass: a misspelt key must never be silently without effect. (A struct with a `#[serde(flatten)]` field takes any key: serde
//! does not say which ones such a struct knows.)
//!
//! Invariant: a fault's path leads to what is wrong, from the outermost value on.
//!
//! Numbers written as text are taken where a number is asked for, integers where text is, and 0 and 1 where a truth
//! value is: the original's language does not tell them apart, and its configs do not either.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, Expected, Unexpected};
use serde::{Deserialize, Serialize};

use super::reader::{Reader, Trail};
use super::{Map, MapView, Text, Value, View};

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// To the value of this key.
    Key(Text),
    /// To this element, counted from 0.
    Index(usize),
}

/// Why a value is not of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TypeFault {
    /// Where, from the outermost value on.
    pub path: Vec<Part>,
    /// What is wrong, as a lowercase fragment.
    pub reason: String,
    /// The name that is not known, if that is what is wrong.
    pub unknown: Option<String>,
    /// The names that would be right in its place; empty if they are not known.
    pub expected: &'static [&'static str],
}

/// Why a Rust value has no [`Value`]: a map's key that is no text, or the type's own refusal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoValueError(#[from] serde_json::Error);

/// Reads a `T` from `value`; on failure tells every unknown key and the first other fault.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Vec<TypeFault>> {
    from_view(value.view())
}

/// Reads a `T` from `map`; see [`from_value`].
pub fn from_map<T: DeserializeOwned>(map: &Map) -> Result<T, Vec<TypeFault>> {
    from_view(View::Map(MapView::of(map)))
}

/// Reads a `T` from what `view` shows; see [`from_value`].
pub fn from_view<T: DeserializeOwned>(view: View<'_>) -> Result<T, Vec<TypeFault>> {
    let unknown = RefCell::new(Vec::new());
    let read = T::deserialize(Reader::new(view, &Trail::Root, &unknown));
    let mut faults = unknown.into_inner();
    match read {
        Ok(read) if faults.is_empty() => Ok(read),
        Ok(_) => Err(faults),
        Err(fault) => {
            faults.push(fault.0);
            Err(faults)
        }
    }
}

/// Makes a value of `value`. Numbers that are not finite become [`Value::Null`].
pub fn to_value<T: Serialize>(value: &T) -> Result<Value, NoValueError> {
    Ok(Value::deserialize(serde_json::to_value(value)?)?)
}

/// The error that serde's traits ask for while a value is read; its path is filled in on the way out.
#[derive(Debug)]
pub(super) struct ReadFault(pub(super) TypeFault, bool);

impl ReadFault {
    fn new(reason: String) -> Self {
        Self(TypeFault { path: Vec::new(), reason, unknown: None, expected: &[] }, false)
    }

    fn unknown(what: &str, name: &str, expected: &'static [&'static str]) -> Self {
        let mut fault = Self::new(format!("unknown {what} {name:?}"));
        fault.0.unknown = Some(name.to_owned());
        fault.0.expected = expected;
        fault
    }

    pub(super) fn unknown_key(name: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("key", name, expected)
    }

    /// Says where it happened, if nobody nearer to it has.
    pub(super) fn at(mut self, trail: &Trail<'_>) -> Self {
        if !self.1 {
            self.0.path = trail.parts();
            self.1 = true;
        }
        self
    }
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reason)
    }
}

impl std::error::Error for ReadFault {}

impl de::Error for ReadFault {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::new(reason.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {}", wanted(expected), found_text(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("value", variant, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown_key(field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("key {field:?} is missing"))
    }
}

/// What a type asks for, in the words of configs instead of Rust's.
fn wanted(expected: &dyn Expected) -> String {
    let wanted = expected.to_string();
    match wanted.as_str() {
        "u8" => "an integer from 0 to 255".to_owned(),
        "u16" => "an integer from 0 to 65535".to_owned(),
        "i8" | "i16" | "i32" | "i64" => format!("an integer of {} bits", &wanted[1..]),
        "u32" | "u64" | "usize" => "an integer from 0 on".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" | "a borrowed string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "unit" => "nothing".to_owned(),
        _ if wanted.starts_with("struct ") => "a map".to_owned(),
        _ => wanted,
    }
}

fn found_text(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(text) => format!("the text {:?}", text.chars().take(80).collect::<String>()),
        Unexpected::Unit => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fields;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Config {
        outstr: String,
        ct: u8,
        ratio: Option<f64>,
        on: bool,
        mode: Mode,
        inner: Vec<Inner>,
        by_number: BTreeMap<u32, String>,
        pair: (i64, char),
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        #[default]
        Plain,
        Level(i32),
        Named {
            name: String,
        },
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Inner {
        must: i64,
    }

    fn faults(map: Map) -> Vec<String> {
        let faults = from_value::<Config>(&Value::Map(map)).unwrap_err();
        faults.iter().map(|fault| format!("{:?} {}", fault.path, fault.reason)).collect()
    }

    #[test]
    fn a_type_comes_back_from_its_value() {
        for mode in [Mode::Plain, Mode::Level(-3), Mode::Named { name: "n".into() }] {
            let config = Config {
                outstr: "howdy".into(),
                ct: 7,
                ratio: Some(0.5),
                on: true,
                mode,
                inner: vec![Inner { must: i64::MIN }],
                by_number: [(10, "ten".to_owned())].into(),
                pair: (-1, 'ä'),
            };
            assert_eq!(from_value::<Config>(&to_value(&config).unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn every_unknown_key_is_told_with_the_known_ones() {
        let map = fields! { outsrt: "x", inner: vec![fields! { must: 1, mist: 2 }], zzz: 1 };
        let faults = from_map::<Config>(&map).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| fault.unknown.as_deref().unwrap()).collect();
        assert_eq!(told, ["outsrt", "zzz", "mist"]);
        assert_eq!(faults[2].path, [Part::Key("inner".into()), Part::Index(0), Part::Key("mist".into())]);
        assert!(faults[0].expected.contains(&"outstr"));
    }

    #[test]
    fn a_wrong_type_is_told_with_its_place() {
        let cases = [
            (fields! { ct: 300 }, "[Key(\"ct\")] expected an integer from 0 to 255, found 300"),
            (fields! { ct: "x" }, "[Key(\"ct\")] expected an integer from 0 to 255, found the text \"x\""),
            (fields! { outstr: Map::new() }, "[Key(\"outstr\")] expected text, found a map"),
            (fields! { mode: "plian" }, "[Key(\"mode\")] unknown value \"plian\""),
            (fields! { inner: vec![Map::new()] }, "[Key(\"inner\"), Index(0)] key \"must\" is missing"),
            (fields! { inner: fields! { a: 1 } }, "[Key(\"inner\")] expected a list, found a map"),
            (fields! { on: 2 }, "[Key(\"on\")] expected a boolean, found 2"),
        ];
        for (map, expected) in cases {
            assert_eq!(faults(map), [expected]);
        }
    }

    #[test]
    fn what_perl_does_not_tell_apart_is_taken() {
        let map = fields! { outstr: 5, ct: "7", ratio: "0.5", on: 1, by_number: fields! { "10": 1 } };
        let config = from_map::<Config>(&map).unwrap();
        assert_eq!((config.outstr.as_str(), config.ct, config.ratio, config.on), ("5", 7, Some(0.5), true));
        assert_eq!(config.by_number[&10], "1");
    }

    #[test]
    fn a_type_without_fields_takes_an_empty_map_and_refuses_keys() {
        assert_eq!(from_map::<()>(&Map::new()), Ok(()));
        assert_eq!(from_map::<()>(&fields! { a: 1 }).unwrap_err()[0].reason, "unknown key \"a\"");
    }
}
