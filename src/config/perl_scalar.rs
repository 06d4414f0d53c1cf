//! Perl's numbers and its texts in quotes.

use super::fault::TextFault;
use super::scan::{Token, TokenKind};
use crate::value::Value;

/// A word where a value stands.
pub(super) fn word(token: &Token<'_>) -> Result<Value, TextFault> {
    match token.text {
        "undef" => return Ok(Value::Null),
        "true" | "JSON::true" => return Ok(Value::Bool(true)),
        "false" | "JSON::false" => return Ok(Value::Bool(false)),
        _ => {}
    }
    number(token.text).ok_or_else(|| {
        let fault = TextFault::new(token.at, format!("expected a value, found {}", token.describe()));
        fault.advise("write text in quotes")
    })
}

/// The number that `word` writes: decimal, `0x`, `0b` or octal with a leading 0, `_` between digits; integers exact
/// to 64 bits, larger ones as the nearest float.
pub(super) fn number(word: &str) -> Option<Value> {
    let (negative, digits) = match word.strip_prefix(['-', '+']) {
        Some(rest) => (word.starts_with('-'), rest),
        None => (false, word),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let digits = digits.replace('_', "");
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'0'..=b'9', ..] => (8, &digits[1..]),
        _ => return decimal(negative, &digits),
    };
    // `from_str_radix` would take a sign of its own here.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    signed(negative, u64::from_str_radix(digits, radix).ok()?)
}

fn decimal(negative: bool, digits: &str) -> Option<Value> {
    if digits.bytes().all(|digit| digit.is_ascii_digit())
        && let Some(value) = digits.parse().ok().and_then(|magnitude| signed(negative, magnitude))
    {
        return Some(value);
    }
    let value: f64 = digits.parse().ok().filter(|value: &f64| value.is_finite())?;
    Some(Value::Float(if negative { -value } else { value }))
}

fn signed(negative: bool, magnitude: u64) -> Option<Value> {
    if negative { 0_i64.checked_sub_unsigned(magnitude).map(Value::Int) } else { Some(Value::from(magnitude)) }
}

/// The text that a token in quotes writes.
pub(super) fn text(token: &Token<'_>) -> Result<String, TextFault> {
    if token.kind == TokenKind::Single { Ok(single(token.quoted())) } else { double(token) }
}

/// In single quotes a backslash stands for itself, but before a backslash or the quote.
fn single(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut letters = quoted.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = if letter == '\\' { letters.next_if(|next| matches!(next, '\\' | '\'')) } else { None };
        text.push(escaped.unwrap_or(letter));
    }
    text
}

fn double(token: &Token<'_>) -> Result<String, TextFault> {
    let quoted = token.quoted();
    let mut text = String::with_capacity(quoted.len());
    let mut at = 0;
    while let Some(backslash) = quoted[at..].find('\\') {
        text.push_str(&quoted[at..at + backslash]);
        at += backslash;
        let (letter, len) = escape(&quoted[at + 1..]).map_err(|reason| {
            let fault = TextFault::new(token.at + 1 + at, reason);
            fault.advise("write `\\\\` for a backslash, or use single quotes, where it stands for itself")
        })?;
        text.push(letter);
        at += 1 + len;
    }
    text.push_str(&quoted[at..]);
    Ok(text)
}

/// What the escape means that stands after a backslash, and how long it is.
///
/// A letter that is no escape is a fault, though Perl drops the backslash: `"\d+"` is a mistake that would hide.
fn escape(rest: &str) -> Result<(char, usize), String> {
    let letter = rest.chars().next().unwrap_or('\\');
    let simple = match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'f' => '\u{c}',
        'b' => '\u{8}',
        'a' => '\u{7}',
        'e' => '\u{1b}',
        'x' => return code(&rest[1..], 2, 16).map(|(letter, len)| (letter, len + 1)),
        'N' if rest.starts_with("N{U+") => {
            return code(&format!("{{{}", &rest[4..]), 0, 16).map(|(c, len)| (c, len + 3));
        }
        '0'..='7' => return code(rest, 3, 8),
        _ if letter.is_ascii_alphanumeric() => return Err(format!("unknown escape `\\{letter}`")),
        _ => letter,
    };
    Ok((simple, letter.len_utf8()))
}

/// A character by its number, in braces or as up to `max` digits; `\x` without digits is NUL, as in Perl.
fn code(rest: &str, max: usize, radix: u32) -> Result<(char, usize), String> {
    let (digits, len) = match rest.strip_prefix('{') {
        Some(inner) => {
            let end = inner.find('}').ok_or("the `{` of an escape is not closed")?;
            (&inner[..end], end + 2)
        }
        None => {
            let digits = rest.char_indices().take(max).take_while(|(_, c)| c.is_digit(radix)).count();
            (&rest[..digits], digits)
        }
    };
    let number = if digits.is_empty() { Some(0) } else { u32::from_str_radix(digits, radix).ok() };
    let letter = number.and_then(char::from_u32).ok_or_else(|| format!("{digits:?} is no character's number"))?;
    Ok((letter, len))
}

#[cfg(test)]
mod tests {
    use super::super::scan::Scanner;
    use super::*;

    fn check_text(text: &str, expected: &str) {
        assert_eq!(super::text(&Scanner::new(text).next().unwrap()).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn integers_are_exact_and_have_four_notations() {
        let cases = [
            ("0", Value::Int(0)),
            ("-1", Value::Int(-1)),
            ("+1_000", Value::Int(1000)),
            ("0x1F", Value::Int(31)),
            ("0b101", Value::Int(5)),
            ("017", Value::Int(15)),
            ("00", Value::Int(0)),
            ("18446744073709551615", Value::Uint(u64::MAX)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("5.", Value::Float(5.0)),
            ("-1.5e-3", Value::Float(-0.0015)),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), Some(expected), "{text}");
        }
        for text in ["", "-", "a", "1a", "09", "0x", "0xg", "1..2", "--1", "1e400", "0x-1", "inf", "NaN", "."] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn quotes_have_perls_escapes() {
        check_text(r"'a\d\\\'\n'", r"a\d\'\n");
        check_text(r#""\n\t\"\\\$\@\x41\x{263a}\N{U+263A}\033[\0""#, "\n\t\"\\$@A☺☺\u{1b}[\0");
        check_text(r#""$message->{a} a@b.c""#, "$message->{a} a@b.c");
        check_text(r"' specials/$message->{a}'", " specials/$message->{a}");
        check_text("''", "");
    }

    #[test]
    fn an_unknown_escape_is_a_fault_at_its_place() {
        for (text, at) in [(r#""ab\d""#, 3), (r#""\x{110000}""#, 1), (r#""\x{41""#, 1), (r#""\L""#, 1)] {
            let fault = super::text(&Scanner::new(text).next().unwrap()).unwrap_err();
            assert_eq!(fault.at, at, "{text}");
        }
    }
}
