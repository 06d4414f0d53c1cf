//! The tokens of a config's text, in all three forms at once.
//!
//! Strings, comments and brackets look alike in JSON, RON and the Perl form, so one scanner serves to find out the
//! form, to read the Perl form and to find places in all of them.
//!
//! Invariant: a scan takes time linear in its text and never fails; what is no token is [`TokenKind::Other`].
//!
//! It does not check a grammar: readers do.

use crate::value::MAX_DEPTH;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `{ [ ( <`
    Open(char),
    /// `} ] ) >`
    Close(char),
    /// `=>`
    Arrow,
    /// `:`
    Colon,
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// `=`
    Equals,
    /// Text in single quotes; a character in RON.
    Single,
    /// Text in double quotes.
    Double,
    /// RON's `r#"..."#` and its texts of bytes.
    Raw,
    /// A name or a number without quotes.
    Word,
    /// A text, a comment or an attribute (which, says the word) that never ends.
    Unfinished(&'static str),
    /// Anything else.
    Other(char),
}

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// What it is.
    pub(super) kind: TokenKind,
    /// As it is written, with its quotes.
    pub(super) text: &'a str,
    /// Where it begins, in bytes from the start of the text.
    pub(super) at: usize,
}

impl<'a> Token<'a> {
    /// What stands between the quotes; nothing for a token without them.
    pub(super) fn quoted(&self) -> &'a str {
        self.text.get(1..self.text.len() - 1).unwrap_or("")
    }

    /// How a fault names it.
    pub(super) fn describe(&self) -> String {
        let mut short: String = self.text.chars().take(40).collect();
        if short.len() < self.text.len() {
            short.push('…');
        }
        format!("`{short}`")
    }
}

/// Goes through a text token by token.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips blanks and whole comments; a comment that never ends stays, to become a token.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches(char::is_whitespace).len();
            let skip = if blank > 0 { Some(blank) } else { comment_len(rest) };
            match skip {
                Some(skip) => self.at += skip,
                None => return,
            }
        }
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let rest = self.rest();
        let first = rest.chars().next()?;
        let (kind, len) = token(rest, first);
        let token = Token { kind, text: &rest[..len], at: self.at };
        self.at += len;
        Some(token)
    }
}

fn token(rest: &str, first: char) -> (TokenKind, usize) {
    match first {
        '{' | '[' | '(' | '<' => (TokenKind::Open(first), 1),
        '}' | ']' | ')' | '>' => (TokenKind::Close(first), 1),
        '=' if rest.starts_with("=>") => (TokenKind::Arrow, 2),
        '=' => (TokenKind::Equals, 1),
        ':' => (TokenKind::Colon, 1),
        ',' => (TokenKind::Comma, 1),
        ';' => (TokenKind::Semicolon, 1),
        '\'' => string(rest, 0, '\'', TokenKind::Single),
        '"' => string(rest, 0, '"', TokenKind::Double),
        '/' if rest.starts_with("/*") => (TokenKind::Unfinished("comment"), rest.len()),
        '#' => (TokenKind::Unfinished("attribute"), rest.len()),
        _ => raw_string(rest).unwrap_or_else(|| match word_len(rest) {
            0 => (TokenKind::Other(first), first.len_utf8()),
            len => (TokenKind::Word, len),
        }),
    }
}

/// A string whose opening quote stands at `open`; a backslash takes the next character with it.
fn string(rest: &str, open: usize, quote: char, kind: TokenKind) -> (TokenKind, usize) {
    let mut escaped = false;
    for (at, c) in rest[open + 1..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return (kind, open + 1 + at + 1),
            _ => {}
        }
    }
    (TokenKind::Unfinished("text"), rest.len())
}

/// RON's `r"..."`, `r#"..."#`, `b"..."`, `br#"..."#` and `b'.'`.
fn raw_string(rest: &str) -> Option<(TokenKind, usize)> {
    let bytes = usize::from(rest.starts_with('b'));
    let after = &rest[bytes..];
    if bytes == 1 && after.starts_with(['"', '\'']) {
        return Some(string(rest, 1, after.chars().next()?, TokenKind::Raw));
    }
    let hashes = after.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    let inner = hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", &hashes[..count]);
    let before = rest.len() - inner.len();
    Some(match inner.find(&end) {
        Some(at) => (TokenKind::Raw, before + at + end.len()),
        None => (TokenKind::Unfinished("text"), rest.len()),
    })
}

/// Names with `::` in them count as one word, and so do RON's `r#names`.
fn word_len(rest: &str) -> usize {
    let raw = if rest.starts_with("r#") { 2 } else { 0 };
    let mut len = raw;
    loop {
        let tail = &rest[len..];
        let word = tail.find(|c: char| !is_word(c)).unwrap_or(tail.len());
        len += word;
        if word > 0 && rest[len..].starts_with("::") {
            len += 2;
        } else {
            return if len == raw { 0 } else { len };
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-' | '$' | '@')
}

/// How long the comment is that `rest` begins with, if it does and the comment ends.
fn comment_len(rest: &str) -> Option<usize> {
    if rest.starts_with("#![") {
        // RON's attributes say how to read on; no value is in them.
        return rest.find(']').map(|at| at + 1);
    }
    if rest.starts_with('#') || rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") { block_comment_len(rest) } else { None }
}

/// Block comments lie in each other, as RON has it.
fn block_comment_len(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while at + 2 <= rest.len() {
        match &rest.as_bytes()[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Where brackets first lie deeper in each other than a value may.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for token in Scanner::new(text) {
        match token.kind {
            TokenKind::Open(_) => depth += 1,
            TokenKind::Close(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(token.at);
        }
    }
    None
}

/// A bracket without its other half, and where: what most often stands behind a fault that shows later.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Imbalance {
    /// This one is never closed.
    Open(char, usize),
    /// This one closes nothing.
    Close(char, usize),
}

/// The first bracket of `text` that has no other half.
pub(super) fn imbalance(text: &str) -> Option<Imbalance> {
    let mut open: Vec<(char, usize)> = Vec::new();
    for token in Scanner::new(text) {
        match token.kind {
            TokenKind::Open(bracket) => open.push((bracket, token.at)),
            TokenKind::Close(bracket) => match open.pop() {
                Some((opened, _)) if closing(opened) == bracket => {}
                Some((opened, at)) => return Some(Imbalance::Open(opened, at)),
                None => return Some(Imbalance::Close(bracket, token.at)),
            },
            _ => {}
        }
    }
    open.pop().map(|(bracket, at)| Imbalance::Open(bracket, at))
}

/// The bracket that closes `open`.
pub(super) fn closing(open: char) -> char {
    match open {
        '{' => '}',
        '[' => ']',
        '(' => ')',
        _ => '>',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let tokens: Vec<_> = Scanner::new(text).map(|token| token.text).collect();
        assert_eq!(tokens, expected, "{text}");
    }

    #[test]
    fn strings_words_and_separators_are_told_apart() {
        check("{a=>-1,}", &["{", "a", "=>", "-1", ",", "}"]);
        check("<new_ct=>999>", &["<", "new_ct", "=>", "999", ">"]);
        check(r#"{"a":'b\'c'}"#, &["{", r#""a""#, ":", r"'b\'c'", "}"]);
        check(r##"(a: r#"x"y"#, b"z")"##, &["(", "a", ":", r##"r#"x"y"#"##, ",", r#"b"z""#, ")"]);
        check("a::b r#c-d e:f", &["a::b", "r#c-d", "e", ":", "f"]);
        check("$VAR1 = {};", &["$VAR1", "=", "{", "}", ";"]);
        check("ä \u{1F600}", &["ä", "\u{1F600}"]);
    }

    #[test]
    fn comments_of_all_forms_are_skipped() {
        check("a # => b\nc // => d\n/* => /* e */ f */ g", &["a", "c", "g"]);
        check("#![enable(implicit_some)] (a: 1)", &["(", "a", ":", "1", ")"]);
        check("/**/a/***/b", &["a", "b"]);
    }

    #[test]
    fn what_never_ends_is_a_token_of_its_own() {
        for (text, what) in
            [("'abc", "text"), ("\"a\\\"", "text"), ("r#\"a\"", "text"), ("/* a", "comment"), ("#![a", "attribute")]
        {
            let token = Scanner::new(text).next().unwrap();
            assert_eq!((token.kind, token.text), (TokenKind::Unfinished(what), text));
        }
    }

    #[test]
    fn a_bracket_without_its_other_half_is_found() {
        assert_eq!(imbalance("{ a => [ 1, 2 }"), Some(Imbalance::Open('[', 7)));
        assert_eq!(imbalance("{ a => 1 } }"), Some(Imbalance::Close('}', 11)));
        assert_eq!(imbalance("{ a => { '}' => 1 }"), Some(Imbalance::Open('{', 0)));
        assert_eq!(imbalance("{ a => [ '}' ] }"), None);
    }
}
