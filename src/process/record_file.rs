//! A record in a file of its own: one header line, then RON.
//!
//! ```text
//!   multimodule process 1 length=212 crc=5570a6a2
//!   (boot:"..",keeper:(pid:12,start_ticks:4711),..)
//! ```
//!
//! `length` counts the bytes after the header's newline, `crc` is their CRC-32C. A record is written beside
//! (`.NAME.process.tmp`) and renamed, so a reader sees a whole one. One process at a time writes a kind of record of
//! one name. Nothing is synced: these records tell of processes, which no power cut survives either.
//!
//! Invariant: whatever the bytes of a file are, reading gives a record, none, or a fact.

use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FileError, replace_file};

/// The longest record: an intent holds arguments, of which the kernel takes 2 MiB at its usual limit.
const MAX_RECORD_BYTES: usize = 4 << 20;

/// The longest header with room to spare: three words and three numbers.
const MAX_HEADER_BYTES: usize = 128;

/// What can stand in a file of its own.
pub trait Record: Serialize + DeserializeOwned {
    /// The word in the header, also the end of the file's name.
    const KIND: &'static str;
    /// The version of the form that this program writes, and the newest that it reads; from 1 on.
    const FORMAT: u32;
}

/// Why a file gives no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It can be read, and is none.
    #[error("{}: {fault}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: RecordFault,
    },
}

/// What is wrong with the bytes of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// It does not begin with the header of this kind.
    #[error("this is no record of kind `{0}`")]
    NotARecord(&'static str),
    /// A newer program wrote it.
    #[error("this record has format {found}, this program knows formats up to {known}")]
    Newer {
        /// The format of the record.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// Bytes are missing at its end.
    #[error("this record is cut off: {found} of {expected} bytes are there")]
    Truncated {
        /// How many bytes the header names.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The file is longer than any record.
    #[error("this file is longer than any record ({MAX_RECORD_BYTES} bytes)")]
    TooLong,
    /// The bytes are not those that were written.
    #[error("this record is damaged: its checksum or its length does not fit")]
    Damaged,
    /// The bytes are those that were written, and mean nothing here.
    #[error("this record cannot be understood: {0}")]
    Content(String),
}

/// Reads the record at `path`; none where there is no file.
///
/// # Errors
/// [`RecordError`]: the file cannot be read, or holds no record of this kind that this program knows.
pub fn read_record<R: Record>(path: &Path) -> Result<Option<R>, RecordError> {
    // Not blocking: somebody may have put a FIFO there.
    let opened = std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(FileError::of(path, "open"))?,
    };
    let mut bytes = Vec::new();
    let limit = (MAX_RECORD_BYTES + MAX_HEADER_BYTES) as u64;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(FileError::of(path, "read"))?;
    let decoded = if bytes.len() as u64 > limit { Err(RecordFault::TooLong) } else { decode(&bytes) };
    decoded.map(Some).map_err(|fault| RecordError::Unusable { path: path.to_owned(), fault })
}

/// Writes `record` to `path` (0600): beside, then renamed.
///
/// # Errors
/// [`RecordError`]: it is longer than any record, or the file cannot be written; what stood there stands there then.
pub fn write_record<R: Record>(path: &Path, record: &R) -> Result<(), RecordError> {
    let bytes = encode(record).map_err(|fault| RecordError::Unusable { path: path.to_owned(), fault })?;
    Ok(replace_file(path, &bytes)?)
}

fn encode<R: Record>(record: &R) -> Result<Vec<u8>, RecordFault> {
    let body = ron::to_string(record).map_err(|error| RecordFault::Content(error.to_string()))? + "\n";
    if body.len() > MAX_RECORD_BYTES {
        return Err(RecordFault::TooLong);
    }
    Ok(with_header::<R>(body.as_bytes()))
}

/// The bytes of a record whose RON is `body`.
pub(super) fn with_header<R: Record>(body: &[u8]) -> Vec<u8> {
    let (kind, format, length, crc) = (R::KIND, R::FORMAT, body.len(), crc32c::crc32c(body));
    let header = format!("multimodule {kind} {format} length={length} crc={crc:08x}\n");
    [header.as_bytes(), body].concat()
}

/// The record that these bytes are.
pub(super) fn decode<R: Record>(bytes: &[u8]) -> Result<R, RecordFault> {
    let not_a_record = || RecordFault::NotARecord(R::KIND);
    let head = &bytes[..bytes.len().min(MAX_HEADER_BYTES)];
    let header_end = head.iter().position(|byte| *byte == b'\n').ok_or_else(not_a_record)?;
    let header = std::str::from_utf8(&head[..header_end]).map_err(|_| not_a_record())?;
    let rest = header.strip_prefix("multimodule ").and_then(|rest| rest.strip_prefix(R::KIND));
    let mut words = rest.and_then(|rest| rest.strip_prefix(' ')).ok_or_else(not_a_record)?.split(' ');
    let found = words.next().and_then(|word| word.parse().ok()).filter(|format| *format > 0);
    let found = found.ok_or_else(not_a_record)?;
    if found > R::FORMAT {
        return Err(RecordFault::Newer { found, known: R::FORMAT });
    }
    let number = |word: Option<&str>, key: &str| word?.strip_prefix(key).map(str::to_owned);
    let expected = number(words.next(), "length=").and_then(|text| text.parse().ok()).ok_or_else(not_a_record)?;
    let crc = number(words.next(), "crc=").and_then(|text| u32::from_str_radix(&text, 16).ok());
    let crc = crc.ok_or_else(not_a_record)?;
    let body = &bytes[header_end + 1..];
    if body.len() < expected {
        return Err(RecordFault::Truncated { expected, found: body.len() });
    }
    if body.len() > expected || crc32c::crc32c(body) != crc {
        return Err(RecordFault::Damaged);
    }
    ron::de::from_bytes(body).map_err(|error| RecordFault::Content(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        text: String,
    }

    impl Record for Sample {
        const KIND: &'static str = "sample";
        const FORMAT: u32 = 2;
    }

    fn sample() -> Sample {
        Sample { text: "a\nb \"c\"".to_owned() }
    }

    #[test]
    fn a_record_that_lies_is_refused_with_what_is_wrong() {
        let whole = String::from_utf8(encode(&sample()).unwrap()).unwrap();
        let (header, body) = whole.split_once('\n').unwrap();
        let not = RecordFault::NotARecord("sample");
        let cut = RecordFault::Truncated { expected: body.len(), found: body.len() - 1 };
        for (text, expected) in [
            (String::new(), not.clone()),
            (header.to_owned(), not.clone()),
            (whole.replace("sample", "process"), not.clone()),
            (whole.replace("sample 2", "sample"), not.clone()),
            (whole.replace("sample 2", "sample 0"), not.clone()),
            (whole.replace("length=", "length=-"), not),
            (whole.replace("sample 2", "sample 3"), RecordFault::Newer { found: 3, known: 2 }),
            (whole[..whole.len() - 1].to_owned(), cut),
            (whole.clone() + "x", RecordFault::Damaged),
            (whole.replace("text", "texd"), RecordFault::Damaged),
        ] {
            assert_eq!(decode::<Sample>(text.as_bytes()), Err(expected), "{text}");
        }
        let crc = crc32c::crc32c(b"(");
        let unfinished = format!("multimodule sample 1 length=1 crc={crc:08x}\n(");
        assert!(matches!(decode::<Sample>(unfinished.as_bytes()), Err(RecordFault::Content(_))));
    }

    #[test]
    fn a_record_replaces_the_one_before_and_is_its_users_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("NAME.sample");
        assert_eq!(read_record::<Sample>(&path).unwrap(), None);
        for text in ["one", "a longer one", "two"] {
            let record = Sample { text: text.to_owned() };
            write_record(&path, &record).unwrap();
            assert_eq!(read_record::<Sample>(&path).unwrap(), Some(record));
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::write(&path, vec![b'x'; MAX_RECORD_BYTES + MAX_HEADER_BYTES + 1]).unwrap();
        let text = read_record::<Sample>(&path).unwrap_err().to_string();
        assert!(text.contains("NAME.sample: this file is longer"), "{text}");
    }

    #[test]
    fn a_fifo_in_the_place_of_a_record_does_not_hang_its_reader() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("NAME.sample");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read_record::<Sample>(&path).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for bytes in [with_header::<Sample>(&bytes), bytes] {
                // Either way is right; what must not be is a panic.
                drop(decode::<Sample>(&bytes));
            }
        }

        #[test]
        fn a_record_with_one_byte_changed_is_refused(at in 0_usize..60, byte: u8) {
            let mut bytes = encode(&sample()).unwrap();
            let at = at % bytes.len();
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            match decode::<Sample>(&bytes) {
                // A digit of the header may be written in more than one way.
                Ok(decoded) => prop_assert_eq!(decoded, sample()),
                Err(fault) => prop_assert!(!fault.to_string().is_empty()),
            }
        }
    }
}
