//! Where each value of a text stands.
//!
//! An outline is read from the tokens of a text that its form's own reader has taken, so it checks nothing; where it
//! cannot follow, it knows no place. It also finds keys that stand twice, which a map no longer shows.

use std::collections::HashMap;

use super::fault::TextFault;
use super::path::{Step, ValuePath};
use super::place::Place;
use super::scan::{Scanner, Token, TokenKind};
use super::{Form, perl};
use crate::value::{MAX_DEPTH, Value};

/// A value of a text, with what it holds.
#[derive(Debug)]
pub(super) struct Outline {
    at: usize,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Scalar,
    List(Vec<Outline>),
    Map(Vec<Field>),
}

#[derive(Debug)]
struct Field {
    key: String,
    key_at: usize,
    value: Outline,
}

impl Outline {
    /// The outline of `text`, which is written in `form`.
    pub(super) fn of(form: Form, text: &str) -> Option<Self> {
        let mut tokens = Scanner::new(text).peekable();
        if form == Form::Perl {
            perl::skip_assignment(&mut tokens);
        }
        Reader { form, tokens }.value(0).map(|item| item.outline)
    }

    /// Where the last key or element of `path` stands, in bytes; of a path that leads nowhere, its part that leads
    /// somewhere.
    pub(super) fn find(&self, path: &ValuePath) -> usize {
        let mut here = self;
        let mut at = self.at;
        for step in &path.0 {
            match (step, &here.inner) {
                (Step::Key(key), Inner::Map(fields)) => {
                    let Some(field) = fields.iter().find(|field| field.key == *key) else { return at };
                    (here, at) = (&field.value, field.key_at);
                }
                (Step::Index(index), Inner::List(items)) => {
                    let Some(item) = items.get(*index) else { return at };
                    (here, at) = (item, item.at);
                }
                _ => return at,
            }
        }
        at
    }

    /// A fault for each key that stands a second time in its map, up to `limit` of them.
    pub(super) fn duplicates(&self, text: &str, limit: usize) -> Vec<(ValuePath, TextFault)> {
        let mut search = Search { text, limit, trail: Vec::new(), found: Vec::new() };
        search.visit(self);
        search.found
    }
}

/// The search for keys that stand twice.
struct Search<'o> {
    text: &'o str,
    limit: usize,
    trail: Vec<Piece<'o>>,
    found: Vec<(ValuePath, TextFault)>,
}

#[derive(Clone, Copy)]
enum Piece<'o> {
    Key(&'o str),
    Index(usize),
}

impl<'o> Search<'o> {
    fn visit(&mut self, outline: &'o Outline) {
        match &outline.inner {
            Inner::Scalar => {}
            Inner::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.below(Piece::Index(index), item);
                }
            }
            Inner::Map(fields) => {
                let mut seen = HashMap::with_capacity(fields.len());
                for field in fields {
                    if let Some(first) = seen.insert(&field.key, field.key_at) {
                        self.note(field, first);
                    }
                    self.below(Piece::Key(&field.key), &field.value);
                }
            }
        }
    }

    fn below(&mut self, piece: Piece<'o>, outline: &'o Outline) {
        self.trail.push(piece);
        self.visit(outline);
        self.trail.pop();
    }

    fn note(&mut self, field: &Field, first: usize) {
        if self.found.len() < self.limit {
            let steps = self.trail.iter().map(|piece| match *piece {
                Piece::Key(key) => Step::Key(key.to_owned()),
                Piece::Index(index) => Step::Index(index),
            });
            let path = ValuePath(steps.chain([Step::Key(field.key.clone())]).collect());
            self.found.push((path, twice(self.text, field, first)));
        }
    }
}

fn twice(text: &str, field: &Field, first: usize) -> TextFault {
    let Place { line, column } = Place::of(text, first);
    let reason = format!("key {:?} stands twice in one map", field.key);
    TextFault::new(field.key_at, reason).advise(format!("it stands at {line}:{column} already"))
}

/// A value and, if it may be a key, its token.
struct Item<'a> {
    outline: Outline,
    token: Option<Token<'a>>,
}

type Tokens<'a> = std::iter::Peekable<Scanner<'a>>;

struct Reader<'a> {
    form: Form,
    tokens: Tokens<'a>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Item<'a>> {
        let token = self.tokens.next()?;
        let (inner, token_kept) = match token.kind {
            TokenKind::Open(_) if depth <= MAX_DEPTH => (self.items(depth + 1), None),
            TokenKind::Word if self.opens() => return self.named(token, depth),
            TokenKind::Close(_) | TokenKind::Open(_) => return None,
            _ => (Inner::Scalar, Some(token)),
        };
        Some(Item { outline: Outline { at: token.at, inner }, token: token_kept })
    }

    fn opens(&mut self) -> bool {
        self.form == Form::Ron && matches!(self.tokens.peek(), Some(next) if next.kind == TokenKind::Open('('))
    }

    /// RON's `Some(value)` is the value; `Name(...)` is a map of that name to what it holds.
    fn named(&mut self, name: Token<'a>, depth: usize) -> Option<Item<'a>> {
        let Item { mut outline, .. } = self.value(depth)?;
        if let Inner::List(items) = &mut outline.inner
            && items.len() == 1
        {
            outline = items.pop()?;
        }
        if name.text != "Some" {
            let field = Field { key: name.text.to_owned(), key_at: name.at, value: outline };
            outline = Outline { at: name.at, inner: Inner::Map(vec![field]) };
        }
        Some(Item { outline, token: None })
    }

    /// What stands between brackets, the first of which is taken already.
    fn items(&mut self, depth: usize) -> Inner {
        let (mut list, mut fields) = (Vec::new(), Vec::new());
        while let Some(next) = self.tokens.peek() {
            match next.kind {
                TokenKind::Close(_) => break,
                TokenKind::Comma => {
                    self.tokens.next();
                }
                _ => {
                    let Some(item) = self.value(depth) else { break };
                    match self.field(item, depth) {
                        Ok(field) => fields.push(field),
                        Err(outline) => list.push(outline),
                    }
                    self.skip_item();
                }
            }
        }
        self.tokens.next();
        if list.is_empty() && !fields.is_empty() { Inner::Map(fields) } else { Inner::List(list) }
    }

    /// `item` as the key of what follows, if a separator does.
    fn field(&mut self, item: Item<'a>, depth: usize) -> Result<Field, Outline> {
        let separator =
            matches!(self.tokens.peek(), Some(next) if matches!(next.kind, TokenKind::Colon | TokenKind::Arrow));
        let (Some(token), true) = (item.token, separator) else { return Err(item.outline) };
        self.tokens.next();
        let Some(value) = self.value(depth) else { return Err(item.outline) };
        Ok(Field { key: key_text(self.form, &token), key_at: token.at, value: value.outline })
    }

    /// Skips what a value is followed by up to the comma or bracket that ends it (RON's `1..=2`).
    fn skip_item(&mut self) {
        while self.tokens.next_if(|next| !matches!(next.kind, TokenKind::Comma | TokenKind::Close(_))).is_some() {}
    }
}

/// The text of a key, as the form's own reader has it.
fn key_text(form: Form, token: &Token<'_>) -> String {
    match form {
        Form::Perl => perl::key_text(token).unwrap_or_else(|_| token.text.to_owned()),
        Form::Json if !token.text.contains('\\') => token.quoted().to_owned(),
        Form::Json => serde_json::from_str(token.text).unwrap_or_else(|_| token.quoted().to_owned()),
        Form::Ron => ron_key(token),
    }
}

fn ron_key(token: &Token<'_>) -> String {
    let text = match token.kind {
        TokenKind::Double if !token.text.contains('\\') => return token.quoted().to_owned(),
        TokenKind::Word if token.text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => token.text,
        TokenKind::Word => return token.text.trim_start_matches("r#").to_owned(),
        _ => token.text,
    };
    let value = ron::from_str::<Value>(text).unwrap_or_else(|_| Value::from(text));
    value.view().scalar_text().map_or_else(|| text.to_owned(), |text| text.into_owned())
}
