//! An argument, a path, a variable of the environment: bytes without NUL, written as text without loss.
//!
//! Text form: what is UTF-8 stands as it is; any other byte is a NUL (which no argument holds) and two hexadecimal
//! digits.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Bytes that may be handed to a program: any but NUL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Argument(CString);

/// Why bytes or a text are no argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// NUL ends an argument.
    #[error("an argument may not hold a NUL byte")]
    Nul,
    /// In the text form a NUL stands before two hexadecimal digits of a byte that is not NUL.
    #[error("a NUL that no byte in hexadecimal digits follows")]
    Escape,
}

impl Argument {
    /// The argument of these bytes.
    ///
    /// # Errors
    /// They hold a NUL.
    pub fn new(text: impl AsRef<OsStr>) -> Result<Self, ArgumentError> {
        CString::new(text.as_ref().as_bytes()).map(Self).map_err(|_| ArgumentError::Nul)
    }

    /// As the system takes it.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(self.0.as_bytes())
    }

    /// As a path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_os_str())
    }

    /// With its NUL, as `exec` takes it.
    pub(super) fn as_c_string(&self) -> &CString {
        &self.0
    }
}

impl From<Argument> for OsString {
    fn from(argument: Argument) -> Self {
        Self::from_vec(argument.0.into_bytes())
    }
}

impl From<Argument> for String {
    fn from(argument: Argument) -> Self {
        let mut text = Self::new();
        for chunk in argument.0.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\0{byte:02x}")));
        }
        text
    }
}

impl TryFrom<String> for Argument {
    type Error = ArgumentError;

    fn try_from(text: String) -> Result<Self, ArgumentError> {
        let mut parts = text.split('\0');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (digits, rest) = part.split_at_checked(2).ok_or(ArgumentError::Escape)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| ArgumentError::Escape)?);
            bytes.extend_from_slice(rest.as_bytes());
        }
        CString::new(bytes).map(Self).map_err(|_| ArgumentError::Nul)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_argument_that_is_no_text_reads_back() {
        let odd = Argument::new(OsStr::from_bytes(b"a\xff\xfe/\xc3\xa4")).unwrap();
        assert_eq!(String::from(odd.clone()), "a\0ff\0fe/ä");
        assert_eq!(Argument::try_from(String::from(odd.clone())), Ok(odd));
        for text in ["\0", "\0f", "\0fä", "\0zz", "\x0000"] {
            assert!(Argument::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        assert_eq!(Argument::new("a\0b"), Err(ArgumentError::Nul));
    }

    proptest! {
        #[test]
        fn any_argument_reads_back_through_ron(bytes in proptest::collection::vec(1_u8.., 0..40)) {
            let argument = Argument::new(OsStr::from_bytes(&bytes)).unwrap();
            let text = ron::to_string(&argument).unwrap();
            prop_assert_eq!(ron::from_str::<Argument>(&text).unwrap(), argument);
        }

        #[test]
        fn any_text_is_an_argument_or_refused(text: String) {
            if let Ok(argument) = Argument::try_from(text.clone()) {
                prop_assert!(!argument.as_os_str().as_bytes().contains(&0));
            }
        }
    }
}
