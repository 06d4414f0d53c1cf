//! The names of a struct's fields, asked from its own `Deserialize`.

use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeOwned, Visitor};
use serde::forward_to_deserialize_any;

/// The names of the fields that `T` reads, with their aliases; `None` if `T` is no struct, or a flattened one.
#[must_use]
pub fn fields_of<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    // Nothing can be made of the probe, so reading from it always ends with what was found out.
    T::deserialize(Probe).err().and_then(|Found(fields)| fields)
}

struct Probe;

/// What the probe found, in the place of an error: only so does it come back through serde's traits.
#[derive(Debug)]
struct Found(Option<&'static [&'static str]>);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a probe holds no value")
    }
}

impl std::error::Error for Found {}

impl de::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(None)
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Found;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Found> {
        Err(Found(None))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Found> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Found> {
        Err(Found(Some(fields)))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its names are read")]
    struct Config {
        outstr: String,
        #[serde(alias = "count")]
        ct: u64,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its names are read")]
    struct Wrapped(Config);

    #[test]
    fn a_struct_tells_its_fields_and_their_aliases() {
        let fields = fields_of::<Config>().unwrap();
        assert!(["outstr", "ct", "count"].iter().all(|name| fields.contains(name)), "{fields:?}");
        assert_eq!(fields_of::<Wrapped>(), Some(fields));
    }

    #[test]
    fn what_is_no_struct_has_no_fields() {
        assert_eq!(fields_of::<()>(), None);
        assert_eq!(fields_of::<std::collections::BTreeMap<String, u8>>(), None);
    }
}
