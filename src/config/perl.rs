//! Reading the original's form: the data that Perl writes as hashes, arrays, strings and numbers.
//!
//! Taken are `{...}`, `[...]`, `(...)` and `<...>` around the outermost hash, names and numbers as keys, text in both
//! kinds of quotes with Perl's escapes, integers of up to 64 bits in all of Perl's notations, `undef`, trailing
//! commas, comments (also RON's), a leading `$VAR1 =` and a trailing `;`. `true` and `false` (also `JSON::true`) are
//! truth values, for Perl has no notation for them. `$` and `@` in double quotes stand for themselves.
//!
//! Not taken is whatever computes: variables, operators, calls.
//!
//! Invariant: a fault stands at the first character that cannot go on what stands before it, and says what could.

use super::fault::TextFault;
use super::perl_scalar;
use super::scan::{Scanner, Token, TokenKind, closing};
use crate::value::{MAX_DEPTH, Map, Text, Value};

type Tokens<'a> = std::iter::Peekable<Scanner<'a>>;

/// Reads `text`.
pub(super) fn parse(text: &str) -> Result<Value, TextFault> {
    let mut tokens = Scanner::new(text).peekable();
    skip_assignment(&mut tokens);
    let mut reader = Reader { end: text.len(), tokens };
    let value = reader.outermost()?;
    reader.tokens.next_if(|token| token.kind == TokenKind::Semicolon);
    match reader.tokens.next() {
        None => Ok(value),
        Some(token) => Err(unexpected(&token, "the end of the text")),
    }
}

/// Skips the `$VAR1 =` that Perl's `Data::Dumper` begins with.
pub(super) fn skip_assignment(tokens: &mut Tokens<'_>) {
    if tokens.next_if(|token| token.kind == TokenKind::Word && token.text.starts_with('$')).is_some() {
        tokens.next_if(|token| token.kind == TokenKind::Equals);
    }
}

/// The text of a key.
pub(super) fn key_text(token: &Token<'_>) -> Result<String, TextFault> {
    match token.kind {
        TokenKind::Single | TokenKind::Double => perl_scalar::text(token),
        // Perl evaluates a number that is a key, so `1_0` and `10` are one key.
        TokenKind::Word => Ok(perl_scalar::number(token.text)
            .and_then(|number| number.view().scalar_text().map(|text| text.into_owned()))
            .unwrap_or_else(|| token.text.to_owned())),
        _ => Err(unexpected(token, "a key")),
    }
}

fn unexpected(token: &Token<'_>, expected: &str) -> TextFault {
    match token.kind {
        TokenKind::Unfinished(what) => TextFault::new(token.at, format!("the {what} that begins here never ends")),
        _ => TextFault::new(token.at, format!("expected {expected}, found {}", token.describe())),
    }
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    end: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self, expected: &str) -> Result<Token<'a>, TextFault> {
        let end = self.end;
        self.tokens.next().ok_or_else(|| TextFault::new(end, format!("expected {expected}, found the end of the text")))
    }

    /// Round and pointed brackets serve for the outermost hash alone: elsewhere Perl means a list by them.
    fn outermost(&mut self) -> Result<Value, TextFault> {
        let token = self.next("`{`")?;
        match token.kind {
            TokenKind::Open(bracket @ ('(' | '<')) => self.hash(bracket, 1),
            _ => self.value(token, 0),
        }
    }

    fn value(&mut self, token: Token<'a>, depth: usize) -> Result<Value, TextFault> {
        if depth == MAX_DEPTH && matches!(token.kind, TokenKind::Open(_)) {
            return Err(TextFault::new(token.at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        match token.kind {
            TokenKind::Open('{') => self.hash('{', depth + 1),
            TokenKind::Open('[') => self.array(depth + 1),
            TokenKind::Open(bracket) => {
                let fault = unexpected(&token, "a value");
                Err(fault.advise(format!("inside, write `{{` or `[` instead of `{bracket}`")))
            }
            TokenKind::Single | TokenKind::Double => Ok(Value::Text(Text::from(perl_scalar::text(&token)?))),
            TokenKind::Word => perl_scalar::word(&token),
            _ => Err(unexpected(&token, "a value")),
        }
    }

    fn hash(&mut self, open: char, depth: usize) -> Result<Value, TextFault> {
        let close = TokenKind::Close(closing(open));
        let mut entries = Vec::new();
        loop {
            let token = self.next(&format!("a key or `{}`", closing(open)))?;
            if token.kind == close {
                return Ok(Value::Map(Map::from_entries(entries)));
            }
            let key = key_text(&token)?;
            self.arrow(&key)?;
            let token = self.next("a value")?;
            entries.push((Text::from(key), self.value(token, depth)?));
            if self.comma_or(close, closing(open))? {
                return Ok(Value::Map(Map::from_entries(entries)));
            }
        }
    }

    fn arrow(&mut self, key: &str) -> Result<(), TextFault> {
        let token = self.next("`=>`")?;
        if token.kind == TokenKind::Arrow {
            return Ok(());
        }
        let short: String = key.chars().take(40).collect();
        let fault = unexpected(&token, &format!("`=>` after the key {short:?}"));
        Err(if token.kind == TokenKind::Colon { fault.advise("write `=>` instead of `:`") } else { fault })
    }

    fn array(&mut self, depth: usize) -> Result<Value, TextFault> {
        let mut list = Vec::new();
        loop {
            let token = self.next("a value or `]`")?;
            if token.kind == TokenKind::Close(']') {
                return Ok(Value::List(list));
            }
            list.push(self.value(token, depth)?);
            if self.comma_or(TokenKind::Close(']'), ']')? {
                return Ok(Value::List(list));
            }
        }
    }

    /// Takes a comma, or the bracket that closes: then `true`.
    fn comma_or(&mut self, close: TokenKind, bracket: char) -> Result<bool, TextFault> {
        let expected = format!("`,` or `{bracket}`");
        let token = self.next(&expected)?;
        match token.kind {
            TokenKind::Comma => Ok(false),
            kind if kind == close => Ok(true),
            _ => Err(unexpected(&token, &expected)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    fn check(text: &str, expected: impl Into<Value>) {
        assert_eq!(parse(text), Ok(expected.into()), "{text}");
    }

    #[test]
    fn the_outermost_hash_may_stand_in_four_kinds_of_brackets() {
        for text in ["{a=>1}", "<a=>1>", "(a=>1)", " $VAR1 = { 'a' => 1, };\n# end", "{ a => 1, }", "{\"a\" => 01}"] {
            check(text, fields! { a: 1 });
        }
        check("<>", Map::new());
        check("[ 1, [], {} ,]", vec![Value::Int(1), Value::List(Vec::new()), Map::new().into()]);
    }

    #[test]
    fn keys_may_be_names_numbers_and_texts() {
        let text = "{ a::B => 1, '.b c' => 2, \"d\\n\" => 3, 1_0 => 4, -e => 5, 'ä' => 6, undef => 7, .x => 8 }";
        let expected = fields! { "a::B": 1, ".b c": 2, "d\n": 3, "10": 4, "-e": 5, "ä": 6, "undef": 7, ".x": 8 };
        check(text, expected);
    }

    #[test]
    fn a_fault_says_where_and_what_was_expected() {
        let cases = [
            ("{ a => }", 7, "expected a value, found `}`"),
            ("{ a 1 }", 4, "expected `=>` after the key \"a\", found `1`"),
            ("{ a: 1 }", 3, "expected `=>` after the key \"a\", found `:`"),
            ("{ a => 1 b => 2 }", 9, "expected `,` or `}`, found `b`"),
            ("{ a => [ 1 2 ] }", 11, "expected `,` or `]`, found `2`"),
            ("{ a => 1", 8, "expected `,` or `}`, found the end of the text"),
            ("{ a => 'x }", 7, "the text that begins here never ends"),
            ("{ a => howdy }", 7, "expected a value, found `howdy`"),
            ("{ a => (1) }", 7, "expected a value, found `(`"),
            ("{ [1] => 1 }", 2, "expected a key, found `[`"),
            ("{ a => 1 } x", 11, "expected the end of the text, found `x`"),
            ("{ a => 1 . 2 }", 9, "expected `,` or `}`, found `.`"),
            ("{ a => $x }", 7, "expected a value, found `$x`"),
            ("", 0, "expected `{`, found the end of the text"),
        ];
        for (text, at, reason) in cases {
            let fault = parse(text).unwrap_err();
            assert_eq!((fault.at, fault.reason.as_str()), (at, reason), "{text}");
        }
    }
}
