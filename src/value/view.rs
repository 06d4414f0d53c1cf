//! Looking at values without owning them.
//!
//! A view shows a parsed value or one that still stands encoded in a record, in the same way; reading one field of
//! an encoded message builds nothing.

use std::borrow::Cow;

use super::{Map, Text, Value};
use crate::codec;

/// A value that is owned elsewhere.
#[derive(Debug, Clone, Copy)]
pub enum View<'a> {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer that an `i64` holds.
    Int(i64),
    /// An integer above `i64::MAX`.
    Uint(u64),
    /// A number with a fraction, or too large for the integers.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// Values in order.
    List(ListView<'a>),
    /// Values by name.
    Map(MapView<'a>),
}

/// A list that is owned elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct ListView<'a>(Face<'a, [Value]>);

/// A map that is owned elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct MapView<'a>(Face<'a, Map>);

#[derive(Debug)]
enum Face<'a, T: ?Sized> {
    Parsed(&'a T),
    Encoded(codec::Items<'a>),
}

impl<T: ?Sized> Clone for Face<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for Face<'_, T> {}

impl<'a> View<'a> {
    /// The text, if this is text.
    #[must_use]
    pub fn as_text(self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The integer, if this is one that an `i64` holds. Text that reads as such an integer counts: what a shell or
    /// another language sends as `"999"` is a number to whoever asks for one.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Text(text) => text.trim().parse().ok(),
            // Exact: only whole numbers that both types hold come through.
            #[expect(clippy::cast_possible_truncation, reason = "guarded by the range and the fraction")]
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Some(value as i64),
            _ => None,
        }
    }

    /// The number, if this is one or text that reads as one.
    #[must_use]
    pub fn as_f64(self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "who asks for a float takes the nearest one")]
            Self::Int(value) => Some(value as f64),
            #[expect(clippy::cast_precision_loss, reason = "who asks for a float takes the nearest one")]
            Self::Uint(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(value) } else { None }
    }

    /// The map, if this is one.
    #[must_use]
    pub fn as_map(self) -> Option<MapView<'a>> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The list, if this is one.
    #[must_use]
    pub fn as_list(self) -> Option<ListView<'a>> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// Whether Perl would call this true: all but nothing, `false`, zero, the empty text and the text `0`.
    #[must_use]
    pub fn is_true(self) -> bool {
        match self {
            Self::Null | Self::Int(0) | Self::Bool(false) | Self::Text("" | "0") => false,
            Self::Float(value) => value != 0.0,
            _ => true,
        }
    }

    /// Numbers and text as text, the way the original compares them: `1`, `1.0` and `"1"` are all `1`.
    /// Truth values, lists, maps and nothing have no text.
    #[must_use]
    pub fn scalar_text(self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Uint(value) => Cow::Owned(value.to_string()),
            Self::Float(value) => Cow::Owned(value.to_string()),
            Self::Null | Self::Bool(_) | Self::List(_) | Self::Map(_) => return None,
        })
    }

    /// What kind of value this is, for error messages.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Uint(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Builds the value that this shows.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Uint(value) => Value::Uint(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(text) => Value::Text(Text::from(text)),
            Self::List(list) => Value::List(list.iter().map(View::to_value).collect()),
            Self::Map(map) => Value::Map(map.to_map()),
        }
    }
}

impl PartialEq for View<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().eq(b.iter()),
            (Self::Map(a), Self::Map(b)) => a.len() == b.len() && a.iter().eq(b.iter()),
            _ => false,
        }
    }
}

impl<'a> ListView<'a> {
    pub(crate) fn of(list: &'a [Value]) -> Self {
        Self(Face::Parsed(list))
    }

    pub(crate) fn encoded(items: codec::Items<'a>) -> Self {
        Self(Face::Encoded(items))
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(self) -> usize {
        match self.0 {
            Face::Parsed(list) => list.len(),
            Face::Encoded(items) => items.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The elements in order.
    pub fn iter(self) -> impl Iterator<Item = View<'a>> {
        let (parsed, encoded) = match self.0 {
            Face::Parsed(list) => (Some(list.iter().map(Value::view)), None),
            Face::Encoded(items) => (None, Some(items.values())),
        };
        parsed.into_iter().flatten().chain(encoded.into_iter().flatten())
    }
}

impl<'a> MapView<'a> {
    pub(crate) fn of(map: &'a Map) -> Self {
        Self(Face::Parsed(map))
    }

    pub(crate) fn encoded(items: codec::Items<'a>) -> Self {
        Self(Face::Encoded(items))
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(self, key: &str) -> Option<View<'a>> {
        match self.0 {
            Face::Parsed(map) => map.get(key).map(Value::view),
            Face::Encoded(items) => items.find(key),
        }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(self) -> usize {
        match self.0 {
            Face::Parsed(map) => map.len(),
            Face::Encoded(items) => items.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The entries, by ascending key.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, View<'a>)> {
        let (parsed, encoded) = match self.0 {
            Face::Parsed(map) => ((0..map.len()).map_while(move |at| map.entry_at(at)).into(), None),
            Face::Encoded(items) => (None, Some(items.entries())),
        };
        let parsed = parsed.into_iter().flatten().map(|(key, value): (&'a str, &'a Value)| (key, value.view()));
        parsed.chain(encoded.into_iter().flatten())
    }

    /// Builds the map that this shows.
    #[must_use]
    pub fn to_map(self) -> Map {
        match self.0 {
            Face::Parsed(map) => map.clone(),
            Face::Encoded(_) => {
                let mut entries = Vec::with_capacity(self.len());
                entries.extend(self.iter().map(|(key, value)| (Text::from(key), value.to_value())));
                Map::from_entries(entries)
            }
        }
    }
}
