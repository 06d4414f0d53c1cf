//! The reader that serde drives over a [`View`], to make a Rust type of it.

use std::cell::RefCell;
use std::fmt::Display;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::typed::{Part, ReadFault, TypeFault};
use super::{MapView, Text, View};

/// The way from the outermost value to the one being read.
pub(super) enum Trail<'t> {
    /// The outermost value.
    Root,
    /// Below that, the value of a key.
    Key(&'t Trail<'t>, &'t str),
    /// Below that, an element.
    Index(&'t Trail<'t>, usize),
}

impl Trail<'_> {
    pub(super) fn parts(&self) -> Vec<Part> {
        let (mut parts, last) = match self {
            Self::Root => return Vec::new(),
            Self::Key(before, key) => (before.parts(), Part::Key(Text::from(*key))),
            Self::Index(before, index) => (before.parts(), Part::Index(*index)),
        };
        parts.push(last);
        parts
    }
}

type Unknown = RefCell<Vec<TypeFault>>;

/// Reads one value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'de, 't> {
    view: View<'de>,
    trail: &'t Trail<'t>,
    unknown: &'t Unknown,
}

impl<'de, 't> Reader<'de, 't> {
    pub(super) fn new(view: View<'de>, trail: &'t Trail<'t>, unknown: &'t Unknown) -> Self {
        Self { view, trail, unknown }
    }

    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        let read = match self.view {
            View::Null => visitor.visit_unit(),
            View::Bool(value) => visitor.visit_bool(value),
            View::Int(value) => visitor.visit_i64(value),
            View::Uint(value) => visitor.visit_u64(value),
            View::Float(value) => visitor.visit_f64(value),
            View::Text(text) => visitor.visit_borrowed_str(text),
            View::List(list) => visitor.visit_seq(Elements { views: list.iter(), at: 0, reader: self }),
            View::Map(map) => visitor.visit_map(Entries { entries: map.iter(), value: None, reader: self }),
        };
        read.map_err(|fault| fault.at(self.trail))
    }

    /// As a number: text that reads as one counts, and so does a whole float where an integer is asked for.
    fn visit_number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        let view = match self.view {
            View::Text(text) => number(text).unwrap_or(self.view),
            other => other,
        };
        Self { view, ..self }.visit(visitor)
    }

    fn visit_integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        let view = match self.view {
            View::Float(_) => self.view.as_i64().map_or(self.view, View::Int),
            other => other,
        };
        Self { view, ..self }.visit_number(visitor)
    }

    fn visit_text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        let text = match self.view {
            View::Int(value) => value.to_string(),
            View::Uint(value) => value.to_string(),
            _ => return self.visit(visitor),
        };
        visitor.visit_string(text).map_err(|fault: ReadFault| fault.at(self.trail))
    }

    /// Notes the keys of `map` that are not in `known`.
    fn note_unknown(self, map: MapView<'de>, known: &'static [&'static str]) {
        for (key, _) in map.iter().filter(|(key, _)| !known.contains(key)) {
            let fault = ReadFault::unknown_key(key, known).at(&Trail::Key(self.trail, key));
            self.unknown.borrow_mut().push(fault.0);
        }
    }
}

fn number<'v>(text: &str) -> Option<View<'v>> {
    let text = text.trim();
    if let Ok(value) = text.parse() {
        return Some(View::Int(value));
    }
    if let Ok(value) = text.parse() {
        return Some(View::Uint(value));
    }
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(View::Float)
}

macro_rules! deserialize_as {
    ($($method:ident $visit:ident),* $(,)?) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
            self.$visit(visitor)
        }
    )* };
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = ReadFault;

    deserialize_as! {
        deserialize_any visit,
        deserialize_i8 visit_integer, deserialize_i16 visit_integer, deserialize_i32 visit_integer,
        deserialize_i64 visit_integer, deserialize_i128 visit_integer, deserialize_u8 visit_integer,
        deserialize_u16 visit_integer, deserialize_u32 visit_integer, deserialize_u64 visit_integer,
        deserialize_u128 visit_integer, deserialize_f32 visit_number, deserialize_f64 visit_number,
        deserialize_str visit_text, deserialize_string visit_text, deserialize_char visit_text,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        let view = match self.view {
            View::Int(0) => View::Bool(false),
            View::Int(1) => View::Bool(true),
            other => other,
        };
        Self { view, ..self }.visit(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        if matches!(self.view, View::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadFault> {
        // A newtype may check what it holds (`try_from`); its refusal stands at this place.
        visitor.visit_newtype_struct(self).map_err(|fault| fault.at(self.trail))
    }

    /// A type without fields takes an empty map too, so that a task without config is `type Config = ()`.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        let View::Map(map) = self.view else { return self.visit(visitor) };
        self.note_unknown(map, &[]);
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadFault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadFault> {
        let View::Map(map) = self.view else { return self.visit(visitor) };
        self.note_unknown(map, fields);
        let entries = map.iter().filter(|(key, _)| fields.contains(key));
        visitor.visit_map(Entries { entries, value: None, reader: self }).map_err(|fault| fault.at(self.trail))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadFault> {
        let variant = match self.view {
            View::Text(name) => Variant { name, inner: None, reader: self },
            View::Map(map) if map.len() == 1 => match map.iter().next() {
                Some((name, view)) => Variant { name, inner: Some(view), reader: self },
                None => return self.visit(visitor),
            },
            _ => return self.visit(visitor),
        };
        visitor.visit_enum(variant).map_err(|fault| fault.at(self.trail))
    }

    forward_to_deserialize_any! { bytes byte_buf seq tuple tuple_struct map identifier ignored_any }
}

struct Elements<'de, 't, I> {
    views: I,
    at: usize,
    reader: Reader<'de, 't>,
}

impl<'de, I: Iterator<Item = View<'de>>> SeqAccess<'de> for Elements<'de, '_, I> {
    type Error = ReadFault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadFault> {
        let Some(view) = self.views.next() else { return Ok(None) };
        let trail = Trail::Index(self.reader.trail, self.at);
        self.at += 1;
        let read = seed.deserialize(Reader::new(view, &trail, self.reader.unknown));
        read.map(Some).map_err(|fault| fault.at(&trail))
    }
}

struct Entries<'de, 't, I> {
    entries: I,
    value: Option<(&'de str, View<'de>)>,
    reader: Reader<'de, 't>,
}

impl<'de, I: Iterator<Item = (&'de str, View<'de>)>> MapAccess<'de> for Entries<'de, '_, I> {
    type Error = ReadFault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadFault> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        let trail = Trail::Key(self.reader.trail, key);
        seed.deserialize(KeyReader(key)).map(Some).map_err(|fault| fault.at(&trail))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadFault> {
        let (key, view) = self.value.take().expect("serde asks for a key before its value");
        let trail = Trail::Key(self.reader.trail, key);
        let read = seed.deserialize(Reader::new(view, &trail, self.reader.unknown));
        read.map_err(|fault| fault.at(&trail))
    }
}

/// Reads a map's key: text, or the number or truth value that the text writes.
struct KeyReader<'de>(&'de str);

impl<'de> KeyReader<'de> {
    fn parsed<T: FromStr<Err: Display>>(&self) -> Result<T, ReadFault> {
        self.0.parse().map_err(|reason| de::Error::custom(format_args!("key {:?}: {reason}", self.0)))
    }
}

macro_rules! parse_key {
    ($($method:ident $visit:ident),* $(,)?) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
            visitor.$visit(self.parsed()?)
        }
    )* };
}

impl<'de> Deserializer<'de> for KeyReader<'de> {
    type Error = ReadFault;

    parse_key! {
        deserialize_i8 visit_i8, deserialize_i16 visit_i16, deserialize_i32 visit_i32, deserialize_i64 visit_i64,
        deserialize_u8 visit_u8, deserialize_u16 visit_u16, deserialize_u32 visit_u32, deserialize_u64 visit_u64,
        deserialize_bool visit_bool,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadFault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadFault> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadFault> {
        visitor.visit_enum(de::value::BorrowedStrDeserializer::new(self.0))
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// An enum's value: its variant's name alone, or a map of that name to what the variant holds.
struct Variant<'de, 't> {
    name: &'de str,
    inner: Option<View<'de>>,
    reader: Reader<'de, 't>,
}

impl<'de> Variant<'de, '_> {
    fn read<T>(self, read: impl FnOnce(Reader<'de, '_>) -> Result<T, ReadFault>) -> Result<T, ReadFault> {
        let trail = Trail::Key(self.reader.trail, self.name);
        let Some(view) = self.inner else {
            let fault: ReadFault = de::Error::custom(format_args!("{:?} needs a value: {{{0:?}: ...}}", self.name));
            return Err(fault.at(self.reader.trail));
        };
        read(Reader::new(view, &trail, self.reader.unknown)).map_err(|fault| fault.at(&trail))
    }
}

impl<'de> EnumAccess<'de> for Variant<'de, '_> {
    type Error = ReadFault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ReadFault> {
        let name = StrDeserializer::<ReadFault>::new(self.name);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = ReadFault;

    fn unit_variant(self) -> Result<(), ReadFault> {
        if self.inner.is_none() { Ok(()) } else { self.read(|reader| de::Deserialize::deserialize(reader)) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadFault> {
        self.read(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadFault> {
        self.read(|reader| reader.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadFault> {
        self.read(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
