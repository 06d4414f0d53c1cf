//! A value that owns what it holds.

use super::{ListView, Map, MapView, Text, View};

/// How deep lists and maps may lie in each other, the outermost map counted.
///
/// As deep as serde's readers of JSON and RON go, so that what one form takes every form takes; a reader that
/// recurses this deep stays far from the end of a thread's stack.
pub const MAX_DEPTH: usize = 128;

/// One value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Nothing: JSON's `null`, Perl's `undef`.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer that an `i64` holds.
    Int(i64),
    /// An integer above `i64::MAX`; smaller ones are always [`Value::Int`].
    Uint(u64),
    /// A number with a fraction, or too large for the integers.
    Float(f64),
    /// Text.
    Text(Text),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name.
    Map(Map),
}

impl Value {
    /// Looks at this value.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        match self {
            Self::Null => View::Null,
            Self::Bool(value) => View::Bool(*value),
            Self::Int(value) => View::Int(*value),
            Self::Uint(value) => View::Uint(*value),
            Self::Float(value) => View::Float(*value),
            Self::Text(text) => View::Text(text),
            Self::List(list) => View::List(ListView::of(list)),
            Self::Map(map) => View::Map(MapView::of(map)),
        }
    }

    /// The map, if this is one.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The list, if this is one.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// How deep lists and maps lie in each other: 0 for a scalar, 1 for a flat map.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(map) => 1 + map.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// What kind of value this is, for error messages: `a map`, `text`, ...
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.view().kind()
    }
}

impl From<bool> for Value {
    #[inline]
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    #[inline]
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Uint(value), Self::Int)
    }
}

impl From<usize> for Value {
    #[inline]
    fn from(value: usize) -> Self {
        Self::from(value as u64)
    }
}

macro_rules! from_small_integers {
    ($($integer:ty),*) => { $(
        impl From<$integer> for Value {
            #[inline]
            fn from(value: $integer) -> Self {
                Self::Int(i64::from(value))
            }
        }
    )* };
}
from_small_integers!(i8, i16, i32, i64, u8, u16, u32);

impl From<f64> for Value {
    #[inline]
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

macro_rules! from_texts {
    ($($text:ty),*) => { $(
        impl From<$text> for Value {
            #[inline]
            fn from(text: $text) -> Self {
                Self::Text(Text::from(text))
            }
        }
    )* };
}
from_texts!(&str, String, &String);

impl From<Text> for Value {
    #[inline]
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<&Text> for Value {
    #[inline]
    fn from(text: &Text) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Map> for Value {
    #[inline]
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<View<'_>> for Value {
    #[inline]
    fn from(view: View<'_>) -> Self {
        view.to_value()
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    #[inline]
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    #[inline]
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
