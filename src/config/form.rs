//! The three forms that a config or a message may be written in, and which one a text is.

use std::fmt;

use super::json;
use super::scan::{Scanner, TokenKind};
use crate::value::Value;

/// A way to write values down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// JSON.
    Json,
    /// Rusty Object Notation.
    Ron,
    /// What the original reads: Perl's hashes, arrays, strings and numbers.
    Perl,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Ron => "RON",
            Self::Perl => "the Perl form",
        })
    }
}

impl Form {
    /// The form that a file's name alone decides: `.json` and `.ron` are what they say.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "json" => Some(Self::Json),
            "ron" => Some(Self::Ron),
            _ => None,
        }
    }

    /// The form of `text`, which stood in the file `name`: what the name says; else the Perl form if a `=>` stands
    /// outside strings and comments; else JSON if it parses; else RON. With JSON comes what was parsed.
    pub(super) fn of(name: &str, text: &str) -> (Self, Option<Value>) {
        if let Some(form) = Self::by_name(name) {
            return (form, None);
        }
        if Scanner::new(text).any(|token| token.kind == TokenKind::Arrow) {
            return (Self::Perl, None);
        }
        json::parse(text).map_or((Self::Ron, None), |value| (Self::Json, Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_what_the_name_or_else_the_text_says() {
        let cases = [
            ("a.json", "{ a => 1 }", Form::Json),
            ("conf.d/a.ron", "{\"a\": 1}", Form::Ron),
            ("a.conf", "{ a => 1 }", Form::Perl),
            ("a.conf", "{\"a\": \"=>\"}", Form::Json),
            ("a.conf", "{\"a\": 1} // =>", Form::Ron),
            ("a.conf", "(a: 1) /* => */", Form::Ron),
            ("a.conf", "{\"a\": 1,}", Form::Ron),
            ("a message", "<new_ct=>999>", Form::Perl),
            ("json", "{\"a\": 1}", Form::Json),
            ("a.conf", "", Form::Ron),
        ];
        for (name, text, expected) in cases {
            assert_eq!(Form::of(name, text).0, expected, "{name}: {text}");
        }
    }
}
