//! Texts in a transform that are made from the message: `" specials/..."`.
//!
//! | in the text | stands for |
//! |---|---|
//! | `$message->{a}` | field `a` of the message as it was before the transform |
//! | `$message->{a}{b}`, `$message->{a}->{b}` | what lies below it; `[0]` is the first element of a list |
//! | `$name`, `${name}` | the text of the named group `(?<name>...)` of the same route's match |
//! | `\$` | a dollar sign; one that no name follows needs no backslash |
//!
//! A reference that stands alone gives the value it finds, of whatever type, and `null` where there is none.
//! With text around it, or beside others, it gives text: numbers and texts as they are, `true` and `false`,
//! nothing for `null` and what is missing, lists and maps as JSON.

use super::special::Groups;
use crate::config::advice;
use crate::value::{MapView, Text, Value, View};

/// How a transform tells a template from plain text.
pub(super) const PREFIX: &str = " specials/";

/// A compiled template.
#[derive(Debug)]
pub(super) enum Template {
    Value(Reference),
    Text(Vec<Piece>),
}

#[derive(Debug)]
pub(super) enum Piece {
    Literal(String),
    Reference(Reference),
}

/// What a piece of a template refers to.
#[derive(Debug)]
pub(super) enum Reference {
    Field(Vec<FieldStep>),
    Group(Text),
}

#[derive(Debug)]
pub(super) enum FieldStep {
    Key(Text),
    Index(usize),
}

/// What is wrong with a template, and what would be right.
#[derive(Debug)]
pub(super) struct TemplateFault {
    pub(super) reason: String,
    pub(super) advice: Option<String>,
}

impl Template {
    /// Compiles what follows [`PREFIX`]; `groups` are the named groups that it may refer to.
    pub(super) fn compile(text: &str, groups: &[Text]) -> Result<Self, TemplateFault> {
        let mut pieces = Parser { rest: text, groups }.pieces()?;
        Ok(match pieces.pop() {
            Some(Piece::Reference(reference)) if pieces.is_empty() => Self::Value(reference),
            last => {
                pieces.extend(last);
                Self::Text(pieces)
            }
        })
    }

    /// Whether it refers to a group.
    pub(super) fn uses_groups(&self) -> bool {
        let is_group = |reference: &Reference| matches!(reference, Reference::Group(_));
        match self {
            Self::Value(reference) => is_group(reference),
            Self::Text(pieces) => {
                pieces.iter().any(|p| matches!(p, Piece::Reference(reference) if is_group(reference)))
            }
        }
    }

    /// The value that it makes of `message`.
    pub(super) fn fill(&self, message: MapView<'_>, groups: &Groups) -> Value {
        match self {
            Self::Value(reference) => reference.find(message, groups).map_or(Value::Null, View::to_value),
            Self::Text(pieces) => {
                let mut text = Text::default();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => text.push_str(literal),
                        Piece::Reference(reference) => append(&mut text, reference.find(message, groups)),
                    }
                }
                Value::Text(text)
            }
        }
    }
}

impl Reference {
    fn find<'a>(&self, message: MapView<'a>, groups: &'a Groups) -> Option<View<'a>> {
        match self {
            Self::Group(name) => groups.get(name).map(|text| View::Text(text)),
            Self::Field(steps) => steps.iter().try_fold(View::Map(message), |value, step| match step {
                FieldStep::Key(key) => value.as_map()?.get(key),
                FieldStep::Index(index) => value.as_list()?.iter().nth(*index),
            }),
        }
    }
}

fn append(text: &mut Text, value: Option<View<'_>>) {
    match value {
        None | Some(View::Null) => {}
        Some(View::Bool(value)) => text.push_str(if value { "true" } else { "false" }),
        Some(value @ (View::List(_) | View::Map(_))) => {
            // Keys are text and values plain data, so JSON has a form for all of it.
            text.push_str(&serde_json::to_string(&value).expect("a value has a JSON form"));
        }
        Some(value) => {
            super::pattern::with_text(value, |scalar| text.push_str(scalar));
        }
    }
}

struct Parser<'t> {
    rest: &'t str,
    groups: &'t [Text],
}

impl<'t> Parser<'t> {
    fn pieces(mut self) -> Result<Vec<Piece>, TemplateFault> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        while let Some(character) = self.rest.chars().next() {
            if let Some(rest) = self.rest.strip_prefix("\\$") {
                literal.push('$');
                self.rest = rest;
            } else if let Some(reference) = self.reference()? {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Reference(reference));
            } else {
                literal.push(character);
                self.rest = &self.rest[character.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(pieces)
    }

    /// The reference that begins here, if one does.
    fn reference(&mut self) -> Result<Option<Reference>, TemplateFault> {
        let Some(after) = self.rest.strip_prefix('$') else { return Ok(None) };
        let braced = after.strip_prefix('{');
        let body = braced.unwrap_or(after);
        let end = body.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(body.len());
        let (name, rest) = body.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) {
            return Ok(None);
        }
        self.rest = match braced {
            Some(_) => rest.strip_prefix('}').ok_or_else(|| fault(format!("\"${{{name}\" is not closed"), "}"))?,
            None => rest,
        };
        if name == "message" && braced.is_none() {
            return self.field().map(Some);
        }
        match self.groups.iter().find(|group| *group == name) {
            Some(group) => Ok(Some(Reference::Group(group.clone()))),
            None => Err(self.no_such_group(name)),
        }
    }

    /// What follows `$message`.
    fn field(&mut self) -> Result<Reference, TemplateFault> {
        let mut steps = Vec::new();
        loop {
            let arrow = self.rest.strip_prefix("->");
            // The first step needs its arrow, as in Perl.
            let next = if steps.is_empty() { arrow.unwrap_or_default() } else { arrow.unwrap_or(self.rest) };
            if let Some(key) = next.strip_prefix('{') {
                steps.push(FieldStep::Key(Text::from(self.until('}', key)?)));
            } else if let Some(index) = next.strip_prefix('[').filter(|_| !steps.is_empty()) {
                let index = self.until(']', index)?;
                let index = index.parse().map_err(|_| fault(format!("{index:?} is no index of a list"), "[0]"))?;
                steps.push(FieldStep::Index(index));
            } else if steps.is_empty() {
                return Err(fault("\"$message\" names no field".to_owned(), "$message->{field}"));
            } else {
                return Ok(Reference::Field(steps));
            }
        }
    }

    /// What stands before `close`, without the quotes that Perl permits there; goes on behind it.
    fn until(&mut self, close: char, from: &'t str) -> Result<&'t str, TemplateFault> {
        let (inner, rest) =
            from.split_once(close).ok_or_else(|| fault(format!("{from:?} is not closed"), &close.to_string()))?;
        self.rest = rest;
        let unquoted = |quote| inner.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote));
        Ok(unquoted('\'').or_else(|| unquoted('"')).unwrap_or(inner))
    }

    fn no_such_group(&self, name: &str) -> TemplateFault {
        let mut known: Vec<&str> = self.groups.iter().map(Text::as_str).collect();
        known.push("message");
        let reason = format!("the match of this route has no group named {name:?}");
        let advice = advice(name, known.iter().copied())
            .unwrap_or_else(|| format!(r"a group is written (?<{name}>...), a plain dollar sign \$"));
        TemplateFault { reason, advice: Some(advice) }
    }
}

fn fault(reason: String, right: &str) -> TemplateFault {
    TemplateFault { reason, advice: Some(format!("write {right}")) }
}
