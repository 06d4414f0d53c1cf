//! Reading bodies in place.

use std::cmp::Ordering;

use rmp::Marker;

use super::CodecError;
use crate::value::{ListView, MAX_DEPTH, MapView, View};

/// Walks a body: one map, whole, in the canonical form that the module describes.
pub fn check(bytes: &[u8]) -> Result<(), CodecError> {
    let mut cursor = Cursor { bytes, at: 0 };
    match cursor.head()? {
        Head::Map(entries) => cursor.check_map(entries, MAX_DEPTH)?,
        _ => return Err(CodecError::NotAMap),
    }
    match bytes.len() - cursor.at {
        0 => Ok(()),
        more => Err(CodecError::Trailing(more)),
    }
}

/// The map that `bytes` begin with; an empty one where they do not begin with a map (see [`check`]).
#[must_use]
pub fn read_map(bytes: &[u8]) -> MapView<'_> {
    let mut cursor = Cursor { bytes, at: 0 };
    // Its end is not looked for: that would walk over the whole body for each field that is read.
    let entries = if let Ok(Head::Map(entries)) = cursor.head() { entries } else { 0 };
    let bytes = &bytes[cursor.at..];
    // An entry takes two bytes or more: of a body that was not checked no more is believed.
    MapView::encoded(Items { bytes, entries: entries.min(bytes.len() / 2) })
}

/// The encoded elements of a list, or entries of a map.
#[derive(Debug, Clone, Copy)]
pub struct Items<'a> {
    bytes: &'a [u8],
    entries: usize,
}

impl<'a> Items<'a> {
    pub(crate) fn len(self) -> usize {
        self.entries
    }

    pub(crate) fn values(self) -> impl Iterator<Item = View<'a>> {
        let mut cursor = Cursor { bytes: self.bytes, at: 0 };
        (0..self.entries).map_while(move |_| cursor.value())
    }

    pub(crate) fn entries(self) -> impl Iterator<Item = (&'a str, View<'a>)> {
        let mut cursor = Cursor { bytes: self.bytes, at: 0 };
        (0..self.entries).map_while(move |_| Some((std::str::from_utf8(cursor.key()?).ok()?, cursor.value()?)))
    }

    pub(crate) fn find(self, key: &str) -> Option<View<'a>> {
        let (mut cursor, key) = (Cursor { bytes: self.bytes, at: 0 }, key.as_bytes());
        for _ in 0..self.entries {
            // Most keys differ in their first byte.
            let here = cursor.key()?;
            match here.first().cmp(&key.first()).then_with(|| here.cmp(key)) {
                Ordering::Less => cursor.skip()?,
                Ordering::Equal => return cursor.value(),
                Ordering::Greater => return None,
            }
        }
        None
    }
}

/// How a value begins: the whole of a scalar, or how many elements follow.
enum Head<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'a [u8]),
    List(usize),
    Map(usize),
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn slice(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(CodecError::Truncated(self.at))?;
        let slice = &self.bytes[self.at..end];
        self.at = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let mut array = [0; N];
        array.copy_from_slice(self.slice(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<usize, CodecError> {
        Ok(u32::from_be_bytes(self.array()?) as usize)
    }

    fn u16(&mut self) -> Result<usize, CodecError> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    #[inline]
    fn head(&mut self) -> Result<Head<'a>, CodecError> {
        let at = self.at;
        let [first] = self.array()?;
        Ok(match Marker::from_u8(first) {
            Marker::FixPos(value) => Head::Int(i64::from(value)),
            Marker::FixNeg(value) => Head::Int(i64::from(value)),
            Marker::FixStr(length) => Head::Text(self.slice(usize::from(length))?),
            Marker::FixArray(length) => Head::List(usize::from(length)),
            Marker::FixMap(length) => Head::Map(usize::from(length)),
            Marker::Null => Head::Null,
            Marker::False => Head::Bool(false),
            Marker::True => Head::Bool(true),
            _ => self.wide_head(first, at)?,
        })
    }

    fn wide_head(&mut self, first: u8, at: usize) -> Result<Head<'a>, CodecError> {
        Ok(match Marker::from_u8(first) {
            Marker::U8 => Head::Int(i64::from(u8::from_be_bytes(self.array()?))),
            Marker::U16 => Head::Int(i64::from(u16::from_be_bytes(self.array()?))),
            Marker::U32 => Head::Int(i64::from(u32::from_be_bytes(self.array()?))),
            Marker::U64 => {
                let value = u64::from_be_bytes(self.array()?);
                i64::try_from(value).map_or(Head::Uint(value), Head::Int)
            }
            Marker::I8 => Head::Int(i64::from(i8::from_be_bytes(self.array()?))),
            Marker::I16 => Head::Int(i64::from(i16::from_be_bytes(self.array()?))),
            Marker::I32 => Head::Int(i64::from(i32::from_be_bytes(self.array()?))),
            Marker::I64 => Head::Int(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Head::Float(f64::from(f32::from_be_bytes(self.array()?))),
            Marker::F64 => Head::Float(f64::from_be_bytes(self.array()?)),
            Marker::Str8 => {
                let [length] = self.array()?;
                Head::Text(self.slice(usize::from(length))?)
            }
            Marker::Str16 => {
                let length = self.u16()?;
                Head::Text(self.slice(length)?)
            }
            Marker::Str32 => {
                let length = self.u32()?;
                Head::Text(self.slice(length)?)
            }
            Marker::Array16 => Head::List(self.u16()?),
            Marker::Array32 => Head::List(self.u32()?),
            Marker::Map16 => Head::Map(self.u16()?),
            Marker::Map32 => Head::Map(self.u32()?),
            _ => return Err(CodecError::Unsupported { at, marker: first }),
        })
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        if let Ok(Head::Text(key)) = self.head() { Some(key) } else { None }
    }

    /// The value here; the cursor stands behind it afterwards.
    fn value(&mut self) -> Option<View<'a>> {
        let head = self.head().ok()?;
        let from = self.at;
        let items = |cursor: &mut Self, entries: usize, values: usize| {
            cursor.skip_values(values)?;
            Some(Items { bytes: &cursor.bytes[from..cursor.at], entries })
        };
        Some(match head {
            Head::Null => View::Null,
            Head::Bool(value) => View::Bool(value),
            Head::Int(value) => View::Int(value),
            Head::Uint(value) => View::Uint(value),
            Head::Float(value) => View::Float(value),
            Head::Text(text) => View::Text(std::str::from_utf8(text).ok()?),
            Head::List(entries) => View::List(ListView::encoded(items(self, entries, entries)?)),
            Head::Map(entries) => View::Map(MapView::encoded(items(self, entries, entries.checked_mul(2)?)?)),
        })
    }

    fn skip(&mut self) -> Option<()> {
        self.skip_values(1)
    }

    /// Passes over `open` values and all that lies in them, counting instead of descending.
    fn skip_values(&mut self, mut open: usize) -> Option<()> {
        while open > 0 {
            open -= 1;
            open = match self.head().ok()? {
                Head::List(entries) => open.checked_add(entries)?,
                Head::Map(entries) => open.checked_add(entries.checked_mul(2)?)?,
                _ => open,
            };
        }
        Some(())
    }

    fn check_value(&mut self, depth: usize) -> Result<(), CodecError> {
        let at = self.at;
        match self.head()? {
            Head::Text(text) => std::str::from_utf8(text).map(drop).map_err(|_| CodecError::NotUtf8(at)),
            Head::List(entries) => {
                let depth = depth.checked_sub(1).ok_or(CodecError::TooDeep)?;
                (0..entries).try_for_each(|_| self.check_value(depth))
            }
            Head::Map(entries) => self.check_map(entries, depth),
            _ => Ok(()),
        }
    }

    fn check_map(&mut self, entries: usize, depth: usize) -> Result<(), CodecError> {
        let depth = depth.checked_sub(1).ok_or(CodecError::TooDeep)?;
        let mut last: Option<&[u8]> = None;
        for _ in 0..entries {
            let at = self.at;
            let Head::Text(key) = self.head()? else { return Err(CodecError::KeyIsNoText(at)) };
            std::str::from_utf8(key).map_err(|_| CodecError::NotUtf8(at))?;
            if last.is_some_and(|last| last >= key) {
                return Err(CodecError::KeyOrder(at));
            }
            last = Some(key);
            self.check_value(depth)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::write_map;
    use super::*;
    use crate::fields;
    use crate::value::{Map, Text, Value};

    fn encode(map: &Map) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_map(map, &mut bytes).unwrap();
        bytes
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("NaN equals nothing", |f| !f.is_nan()).prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::vec((".{0,12}", inner), 0..6).prop_map(|e| Value::Map(e.into_iter().collect())),
            ]
        })
    }

    fn any_map() -> impl Strategy<Value = Map> {
        prop::collection::vec((".{0,30}", any_value()), 0..20).prop_map(|entries| entries.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(map in any_map()) {
            let bytes = encode(&map);
            prop_assert_eq!(check(&bytes), Ok(()));
            prop_assert_eq!(&read_map(&bytes).to_map(), &map);
            for (key, value) in map.iter() {
                prop_assert_eq!(&read_map(&bytes).get(key).unwrap().to_value(), value);
            }
        }

        #[test]
        fn any_other_reader_of_messagepack_reads_what_is_written(map in any_map()) {
            let theirs = rmpv::decode::read_value(&mut encode(&map).as_slice()).unwrap();
            let mut again = Vec::new();
            rmpv::encode::write_value(&mut again, &theirs).unwrap();
            prop_assert_eq!(again, encode(&map));
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let view = read_map(&bytes);
            let read = view.to_map();
            prop_assert!(view.get("a").is_none() || !read.is_empty());
            if check(&bytes).is_ok() {
                prop_assert_eq!(encode(&read).len() <= bytes.len(), true);
            }
        }

        #[test]
        fn a_cut_body_is_refused(map in any_map(), cut in 0.0..1.0) {
            let bytes = encode(&map);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
            let end = (bytes.len() as f64 * cut) as usize;
            prop_assert!(check(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn a_field_is_read_without_a_look_at_what_stands_behind_it() {
        let bytes = b"\x83\xa1a\x01\xa1b\xc1";
        assert!(matches!(read_map(bytes).get("a"), Some(View::Int(1))));
        assert!(read_map(bytes).get("b").is_none());
        assert_eq!(read_map(b"\xdf\xff\xff\xff\xff\xa1a\x01").to_map(), fields! { a: 1 });
    }

    #[test]
    fn a_body_nested_too_deep_is_refused_on_both_ways() {
        let mut deep = Value::Null;
        for _ in 0..10_000 {
            deep = Value::List(vec![deep]);
        }
        assert_eq!(write_map(&fields! { deep: deep }, &mut Vec::new()), Err(CodecError::TooDeep));
        let bytes = [&[0x81, 0xa1, b'a'][..], &[0x91; 10_000], &[0xc0]].concat();
        assert_eq!(check(&bytes), Err(CodecError::TooDeep));
    }

    #[test]
    fn what_is_not_canonical_is_refused_with_its_reason() {
        let cases: [(&[u8], CodecError); 7] = [
            (b"", CodecError::Truncated(0)),
            (b"\x93\x01\x02\x03", CodecError::NotAMap),
            (b"\x82\xa1b\x01\xa1a\x02", CodecError::KeyOrder(4)),
            (b"\x82\xa1a\x01\xa1a\x02", CodecError::KeyOrder(4)),
            (b"\x81\x01\x02", CodecError::KeyIsNoText(1)),
            (b"\x81\xa1a\xa2\xff\xfe", CodecError::NotUtf8(3)),
            (b"\x81\xa1a\xc4\x01x", CodecError::Unsupported { at: 3, marker: 0xc4 }),
        ];
        for (bytes, expected) in cases {
            assert_eq!(check(bytes), Err(expected), "{bytes:?}");
        }
        assert_eq!(Text::from("x"), "x");
    }
}
