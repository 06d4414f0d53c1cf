//! The mark of one start of a host: a random number in its environment.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The variable in which a host, and what it starts, finds the nonce of its start.
pub const NONCE_VARIABLE: &str = "MULTIMODULE_NONCE";

/// 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce(u128);

/// A text that is no nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a nonce has 32 hexadecimal digits")]
pub struct NonceError;

impl Nonce {
    /// A fresh one.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn fresh() -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Nonce {
    type Err = NonceError;

    fn from_str(text: &str) -> Result<Self, NonceError> {
        // `from_str_radix` takes a sign, too.
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).map_err(|_| NonceError)?;
        if digits { Ok(Self(number)) } else { Err(NonceError) }
    }
}

impl TryFrom<String> for Nonce {
    type Error = NonceError;

    fn try_from(text: String) -> Result<Self, NonceError> {
        text.parse()
    }
}

impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        nonce.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_reads_back_what_it_writes_and_nothing_else() {
        let nonce = Nonce::fresh().unwrap();
        assert_eq!(nonce.to_string().parse(), Ok(nonce));
        assert_eq!("0".repeat(32).parse(), Ok(Nonce(0)));
        for text in ["", "1", &"0".repeat(33), &"g".repeat(32), &format!("+{}", "0".repeat(31))] {
            assert_eq!(text.parse::<Nonce>(), Err(NonceError), "{text}");
        }
        assert_ne!(Nonce::fresh().unwrap(), nonce);
    }
}
