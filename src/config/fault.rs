//! Faults as people see them: the place, the line itself, what is wrong and what would be right.
//!
//! Invariant: a fault is bounded, whatever the text: its line is cut around the column, and of many faults the first
//! hundred are shown and the others counted. Control characters of the text never reach a terminal.

use std::fmt;
use std::sync::Arc;

use super::Form;
use super::path::{PathFault, ValuePath};
use super::place::{self, Place};

/// How much of a line is shown, in characters: what a wide terminal holds in one row.
const MAX_LINE_CHARS: usize = 160;

/// How much of a reason, an advice or a path is kept, in characters: whole sentences, but not a key of a megabyte.
const MAX_PHRASE_CHARS: usize = 400;

/// How many faults are kept: more than a person reads, and a bound for a file that is nothing but faults.
pub(super) const MAX_FAULTS: usize = 100;

/// What is wrong at a place of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextFault {
    /// Where, in bytes from the start of the text.
    pub(super) at: usize,
    /// What is wrong, as a lowercase fragment.
    pub(super) reason: String,
    /// What would be right.
    pub(super) advice: Option<String>,
}

impl TextFault {
    pub(super) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into(), advice: None }
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// One thing that is wrong with a config or a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, or what the text is called (`a message`).
    pub name: Arc<str>,
    /// The form that the text was read as; none if there is no text.
    pub form: Option<Form>,
    /// Where in the text.
    pub place: Option<Place>,
    /// The line there, at most 160 characters of it.
    pub line_text: String,
    /// Where in the value; empty if the text could not be read.
    pub path: String,
    /// What is wrong, as a lowercase fragment.
    pub reason: String,
    /// What would be right, if that can be told.
    pub advice: Option<String>,
    /// How many characters of `line_text` stand before the place.
    indent: usize,
}

impl Fault {
    pub(super) fn in_text(name: &Arc<str>, form: Option<Form>, text: &str, fault: TextFault) -> Self {
        let place = Place::of(text, fault.at);
        let (line_text, indent) = excerpt(place::line_at(text, fault.at), place.column - 1);
        Self {
            name: name.clone(),
            form,
            place: Some(place),
            line_text,
            path: String::new(),
            reason: phrase(&fault.reason),
            advice: fault.advice.as_deref().map(phrase),
            indent,
        }
    }

    pub(super) fn with_path(mut self, path: &ValuePath) -> Self {
        self.path = phrase(&path.to_string());
        self
    }

    /// A fault of something that is not written in a text: a config that came as a message.
    #[must_use]
    pub fn without_text(name: &str, fault: PathFault) -> Self {
        Self {
            name: Arc::from(name),
            form: None,
            place: None,
            line_text: String::new(),
            path: phrase(&fault.path.to_string()),
            reason: phrase(&fault.reason),
            advice: fault.advice.as_deref().map(phrase),
            indent: 0,
        }
    }

    fn write_form(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.form.map_or(Ok(()), |form| write!(f, "\n  = read as {form}"))
    }

    fn write_line(&self, f: &mut fmt::Formatter<'_>, place: Place) -> fmt::Result {
        let number = place.line.to_string();
        let width = number.len().max(3);
        write!(f, "\n  | {number:>width$} | {}", self.line_text)?;
        write!(f, "\n  | {:width$} | {:indent$}^", "", "", indent = self.indent)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, " {advice}"))
    }

    fn write_body(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name)?;
        if let Some(place) = self.place {
            write!(f, "{}:{}:", place.line, place.column)?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.reason)?;
        match (self.place, &self.advice) {
            (Some(place), _) => self.write_line(f, place),
            (None, Some(advice)) => write!(f, "\n  = {advice}"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_body(f)?;
        self.write_form(f)
    }
}

impl std::error::Error for Fault {}

/// `text`, cut, with nothing in it that a terminal would obey.
fn phrase(text: &str) -> String {
    let mut phrase: String = text.chars().take(MAX_PHRASE_CHARS).map(visible).collect();
    if text.chars().nth(MAX_PHRASE_CHARS).is_some() {
        phrase.push('…');
    }
    phrase
}

fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        _ if c.is_control() => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

/// What is shown of `line`, and how far into that its character `column` (from 0) stands.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let chars = line.chars().count();
    let start = if chars <= MAX_LINE_CHARS { 0 } else { column.saturating_sub(MAX_LINE_CHARS / 2) };
    let mut shown = String::new();
    if start > 0 {
        shown.push('…');
    }
    shown.extend(line.chars().skip(start).take(MAX_LINE_CHARS).map(visible));
    if start + MAX_LINE_CHARS < chars {
        shown.push('…');
    }
    (shown, column - start + usize::from(start > 0))
}

/// All that is wrong with a config or a message: at least one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    faults: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// These faults, if there is any, and `more` that are only counted.
    pub(super) fn of(faults: impl ExactSizeIterator<Item = Fault>, more: usize) -> Option<Self> {
        let more = more + faults.len().saturating_sub(MAX_FAULTS);
        let faults: Vec<_> = faults.take(MAX_FAULTS).collect();
        (!faults.is_empty()).then_some(Self { faults, more })
    }

    /// The faults of something that is not written in a text, if there is any.
    #[must_use]
    pub fn without_text(name: &str, faults: Vec<PathFault>) -> Option<Self> {
        Self::of(faults.into_iter().map(|fault| Fault::without_text(name, fault)), 0)
    }

    /// These faults and then `others`.
    pub(super) fn and(mut self, others: Vec<Fault>) -> Self {
        self.faults.extend(others);
        self.more += self.faults.len().saturating_sub(MAX_FAULTS);
        self.faults.truncate(MAX_FAULTS);
        self
    }

    /// Each fault that was kept, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.faults.iter()
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self { faults: vec![fault], more: 0 }
    }
}

/// Fault after fault; the form is named once after those of one text.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            fault.write_body(f)?;
            let next = self.faults.get(at + 1);
            if next.is_none_or(|next| next.name != fault.name || next.form != fault.form) {
                fault.write_form(f)?;
            }
        }
        if self.more > 0 { write!(f, "\n  = and {} more", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str, at: usize) -> Fault {
        let fault = TextFault::new(at, "unknown key \"b\"").advise("did you mean \"c\"?");
        Fault::in_text(&Arc::from("a.conf"), Some(Form::Perl), text, fault)
    }

    #[test]
    fn a_fault_shows_its_line_and_points_at_the_place() {
        let expected = "a.conf:2:4: unknown key \"b\"\n  |   2 | ä  b => 1\n  |     |    ^ did you mean \"c\"?\n  = read as \
                        the Perl form";
        assert_eq!(fault("{\nä\t\u{1b}b => 1\n}", 6).to_string().replace('\u{fffd}', " "), expected);
    }

    #[test]
    fn a_long_line_is_cut_around_the_column() {
        let text = format!("{}b{}", "x".repeat(1000), "y".repeat(1000));
        let shown = fault(&text, 1000).to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[1].chars().count() < 180, "{}", lines[1]);
        let column = lines[2].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[1].chars().nth(column), Some('b'));
    }

    #[test]
    fn many_faults_are_counted() {
        let faults = Faults::of((0..250_usize).map(|_| fault("b", 0)), 0).unwrap();
        assert_eq!(faults.iter().len(), 100);
        let text = faults.to_string();
        assert!(text.ends_with("= read as the Perl form\n  = and 150 more"));
        assert_eq!(text.matches("read as").count(), 1);
    }
}
