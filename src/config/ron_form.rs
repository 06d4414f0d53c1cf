//! Reading RON.
//!
//! Structs and maps both become maps, tuples and lists both lists; a name alone (`overflow: block`) is its text, and
//! `null` is nothing, for those who come from JSON. Bytes and ranges of them are not part of a value.

use std::borrow::Cow;

use serde::Deserialize;

use super::fault::TextFault;
use super::place;
use super::scan::{Scanner, TokenKind};
use crate::value::{MAX_DEPTH, Value};

/// Reads a value by way of serde's buffer for untagged enums: only to that buffer does `ron` give a name that stands
/// alone; to any other reader it looks like nothing, so `overflow: block` would silently be `null`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text of bytes is no value, and only text, numbers and names are keys")]
enum Named {
    Value(Value),
}

/// Reads `text`.
pub(super) fn parse(text: &str) -> Result<Value, TextFault> {
    let text = without_null(text);
    // `ron` counts a level twice where a named value or `Some` is opened.
    let options = ron::Options::default().with_recursion_limit(2 * MAX_DEPTH);
    match options.from_str::<Named>(&text) {
        Ok(Named::Value(value)) => Ok(value),
        Err(error) => Err(fault(&text, &error)),
    }
}

/// `null` as `None`, which is as long, so no place moves.
fn without_null(text: &str) -> Cow<'_, str> {
    let mut replaced = Cow::Borrowed(text);
    let mut tokens = Scanner::new(text).peekable();
    while let Some(token) = tokens.next() {
        let is_key = matches!(tokens.peek(), Some(next) if next.kind == TokenKind::Colon);
        if token.kind == TokenKind::Word && token.text == "null" && !is_key {
            replaced.to_mut().replace_range(token.at..token.at + 4, "None");
        }
    }
    replaced
}

fn fault(text: &str, error: &ron::error::SpannedError) -> TextFault {
    let at = place::offset_of(text, error.span.start.line, error.span.start.col);
    let reason = error.code.to_string();
    let mut letters = reason.chars();
    let lower = letters.next().map(|first| first.to_lowercase().chain(letters).collect());
    TextFault::new(at, lower.unwrap_or(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    fn check(text: &str, expected: impl Into<Value>) {
        assert_eq!(parse(text), Ok(expected.into()), "{text}");
    }

    #[test]
    fn a_name_alone_is_its_text() {
        check("(overflow: block)", fields! { overflow: "block" });
        check("{overflow: block}", fields! { overflow: "block" });
        check("(a: [x, y])", fields! { a: vec!["x", "y"] });
    }

    #[test]
    fn nothing_may_be_written_in_three_ways() {
        check("(a: None, b: (), c: null)", fields! { a: Value::Null, b: Value::Null, c: Value::Null });
        check("(null: \"null\")", fields! { null: "null" });
    }

    #[test]
    fn numbers_keep_their_digits() {
        check("(a: 18446744073709551615, b: 1_000)", fields! { a: u64::MAX, b: 1000 });
        check("(a: 0.1, b: Some(16777217.5))", fields! { a: 0.1, b: 16_777_217.5 });
    }

    #[test]
    fn numbers_may_be_keys() {
        check("{10: 1, 0x10: 2, 1.5: 3, a: 4}", fields! { "10": 1, "16": 2, "1.5": 3, a: 4 });
    }

    #[test]
    fn bytes_are_refused() {
        assert!(parse("(a: b\"x\")").unwrap_err().reason.contains("bytes"));
    }
}
