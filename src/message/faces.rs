//! A message and the two faces of its body.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::codec::{self, CodecError};
use crate::value::{Map, MapView, View};

use super::stamp::Stamp;

/// The field that names the task which emitted a message.
pub const SOURCE: &str = "source";
/// The field that keeps the source a message had before the last task emitted it again.
pub const PREVIOUS_SOURCE: &str = "previous_source";
/// The field under which printed messages show their stamp.
pub const TRANSIT_META: &str = ".ipc_transit_meta";

/// The largest body, in bytes of its encoded form.
///
/// A body must fit a queue of the default bound (64 MiB) together with its record's header.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024 - 4096;

/// A message. Clones share the body.
#[derive(Clone)]
pub struct Message {
    stamp: Stamp,
    faces: Arc<Faces>,
}

/// The face it was made with, and the other one when somebody has asked for it.
enum Faces {
    Parsed { fields: Map, encoded: OnceLock<Bytes> },
    Encoded { body: Bytes, parsed: OnceLock<Map> },
}

impl Message {
    /// A new message of `fields`, made now.
    #[must_use]
    pub fn new(fields: Map) -> Self {
        Self::stamped(Stamp::now(), fields)
    }

    /// A message of `fields` with the stamp it has already.
    #[must_use]
    pub fn stamped(stamp: Stamp, fields: Map) -> Self {
        Self { stamp, faces: Arc::new(Faces::Parsed { fields, encoded: OnceLock::new() }) }
    }

    /// The message of a record: `body` is checked once, and parsed only when somebody asks for its fields.
    pub fn from_encoded(stamp: Stamp, body: Bytes) -> Result<Self, CodecError> {
        codec::check(&body)?;
        Ok(Self { stamp, faces: Arc::new(Faces::Encoded { body, parsed: OnceLock::new() }) })
    }

    /// Which message it is, and when it was made.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Looks at a field, without parsing the others.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<View<'_>> {
        self.view().get(key)
    }

    /// Looks at the fields in whichever face there is.
    #[must_use]
    pub fn view(&self) -> MapView<'_> {
        match &*self.faces {
            Faces::Parsed { fields, .. } => MapView::of(fields),
            Faces::Encoded { body, parsed } => match parsed.get() {
                Some(fields) => MapView::of(fields),
                None => codec::read_map(body),
            },
        }
    }

    /// The fields, parsed at the first call.
    #[must_use]
    pub fn fields(&self) -> &Map {
        match &*self.faces {
            Faces::Parsed { fields, .. } => fields,
            Faces::Encoded { body, parsed } => parsed.get_or_init(|| codec::read_map(body).to_map()),
        }
    }

    /// The fields for whoever changes them: moved out if nobody shares them, else made anew.
    #[must_use]
    pub fn into_fields(self) -> Map {
        match Arc::try_unwrap(self.faces) {
            Ok(Faces::Parsed { fields, .. }) => fields,
            Ok(Faces::Encoded { body, mut parsed }) => parsed.take().unwrap_or_else(|| codec::read_map(&body).to_map()),
            Err(faces) => match &*faces {
                Faces::Parsed { fields, .. } => fields.clone(),
                // To parse takes no longer than to copy what is parsed.
                Faces::Encoded { body, .. } => codec::read_map(body).to_map(),
            },
        }
    }

    /// The encoded body, made at the first call. Fails when the fields are nested too deep.
    pub fn encoded(&self) -> Result<&Bytes, CodecError> {
        let (fields, encoded) = match &*self.faces {
            Faces::Encoded { body, .. } => return Ok(body),
            Faces::Parsed { fields, encoded } => (fields, encoded),
        };
        if let Some(body) = encoded.get() {
            return Ok(body);
        }
        let mut body = Vec::with_capacity(256);
        codec::write_map(fields, &mut body)?;
        Ok(encoded.get_or_init(|| Bytes::from(body)))
    }

    /// The encoded body if this message has that face; else it is written to `scratch`, for a caller that needs
    /// the bytes only once. Fails when the fields are nested too deep.
    pub fn encode_to<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        let fields = match &*self.faces {
            Faces::Encoded { body, .. } => return Ok(body),
            Faces::Parsed { fields, encoded } => match encoded.get() {
                Some(body) => return Ok(body),
                None => fields,
            },
        };
        scratch.clear();
        codec::write_map(fields, scratch)?;
        Ok(scratch)
    }

    /// The fields with the stamp among them, as `.ipc_transit_meta: {id, send_ts}`: what people are shown.
    #[must_use]
    pub fn with_meta(&self) -> Map {
        let mut fields = self.fields().clone();
        let meta = crate::fields! { id: self.stamp.id.to_string(), send_ts: self.stamp.seconds() };
        fields.insert(TRANSIT_META, meta);
        fields
    }
}

/// Prints the fields as one line of JSON with ascending keys, the stamp among them.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.with_meta()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    #[test]
    fn both_faces_show_the_same_fields() {
        let made = Message::new(fields! { ct: 7, outstr: "howdy", inner: fields! { a: vec![1, 2] } });
        let came = Message::from_encoded(made.stamp(), made.encoded().unwrap().clone()).unwrap();
        assert_eq!(came.get("ct").and_then(View::as_i64), Some(7));
        assert_eq!(came.fields(), made.fields());
        assert_eq!(came.clone().into_fields(), made.into_fields());
        assert_eq!(came.get("missing"), None);
    }

    #[test]
    fn a_body_that_is_no_map_is_refused() {
        let refused = Message::from_encoded(Stamp::now(), Bytes::from_static(b"\x93\x01\x02\x03"));
        assert_eq!(refused.err(), Some(CodecError::NotAMap));
    }

    #[test]
    fn clones_share_their_faces() {
        let one = Message::new(fields! { a: 1 });
        let other = one.clone();
        assert_eq!(one.encoded().unwrap().as_ptr(), other.encoded().unwrap().as_ptr());
    }
}
