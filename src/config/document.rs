//! A config's text, read.

use std::sync::Arc;

use super::fault::{Fault, Faults, MAX_FAULTS, TextFault};
use super::outline::Outline;
use super::path::{PathFault, ValuePath};
use super::place::Place;
use super::scan::{self, Imbalance};
use super::{Config, Form, json, perl, ron_form};
use crate::value::{MAX_DEPTH, Map, Value};

/// The longest text of a config, in bytes: a thousand times what people write, and still
/// read at once: readers and places take time linear in the text.
pub const MAX_CONFIG_BYTES: usize = 16 * 1024 * 1024;

/// A config as it stands in a file, with all that is needed to show a fault at its place.
///
/// Invariant: no key stands twice in a map of the text, and the root is a map.
#[derive(Debug, Clone)]
pub struct Document {
    name: Arc<str>,
    form: Form,
    text: Arc<str>,
    root: Map,
    /// Where in the text the root stands: below `.multimodule.config`, if the text has the form of a message.
    base: ValuePath,
}

impl Document {
    /// Reads the config `text` that stands in the file `name`.
    ///
    /// `{".multimodule": {config: {...}}}`, the form that a config has as a message, is valid too.
    pub fn parse(name: &str, text: &str) -> Result<Self, Faults> {
        // Some editors put a byte order mark at the start of a file.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let source = Source { name: Arc::from(name), text };
        if text.len() > MAX_CONFIG_BYTES {
            return Err(source.too_long());
        }
        let (form, root) = source.read("a config must be a map of tasks")?;
        let mut document = Self { name: source.name, form, text: Arc::from(text), root, base: ValuePath::default() };
        document.unwrap_message()?;
        Ok(document)
    }

    /// Reads a config that may not be text at all; see [`Document::parse`].
    pub fn parse_bytes(name: &str, bytes: &[u8]) -> Result<Self, Faults> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(name, text),
            Err(error) => Err(no_text(name, bytes, error.valid_up_to())),
        }
    }

    /// The file's name, as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The form that the text was read as.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The config: entries by the names of tasks.
    #[must_use]
    pub fn root(&self) -> &Map {
        &self.root
    }

    /// The checked config, or all that is wrong with it.
    pub fn config(&self) -> Result<Config, Faults> {
        Config::read(&self.root).map_err(|faults| self.faults(faults))
    }

    /// `fault`, found in the root, at its place in the text.
    #[must_use]
    pub fn fault(&self, fault: PathFault) -> Fault {
        self.place(Outline::of(self.form, &self.text).as_ref(), fault)
    }

    /// All of `faults`, which were found in the root, at their places in the text, in the order of the text. Of more
    /// than a hundred the first hundred are shown.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn faults(&self, mut faults: Vec<PathFault>) -> Faults {
        let outline = Outline::of(self.form, &self.text);
        let more = faults.len().saturating_sub(MAX_FAULTS);
        // Finding a place takes time by the size of the text.
        faults.truncate(MAX_FAULTS);
        let mut faults: Vec<_> = faults.into_iter().map(|fault| self.place(outline.as_ref(), fault)).collect();
        faults.sort_by_key(|fault| fault.place);
        Faults::of(faults.into_iter(), more).expect("whoever reports faults has found one")
    }

    fn offset(&self, outline: Option<&Outline>, fault: &PathFault) -> usize {
        outline.map_or(0, |outline| outline.find(&fault.path.below(&self.base)))
    }

    fn place(&self, outline: Option<&Outline>, fault: PathFault) -> Fault {
        let at = self.offset(outline, &fault);
        let text_fault = TextFault { at, reason: fault.reason, advice: fault.advice };
        Fault::in_text(&self.name, Some(self.form), &self.text, text_fault).with_path(&fault.path)
    }

    fn unwrap_message(&mut self) -> Result<(), Faults> {
        const ENVELOPE: &str = ".multimodule";
        let Some(inner) = self.root.get(ENVELOPE) else { return Ok(()) };
        let base = ValuePath::default().key(ENVELOPE);
        if self.root.len() > 1 {
            let reason = "a config in the form of a message holds nothing else beside this";
            return Err(self.fault(PathFault { path: base, reason: reason.into(), advice: None }).into());
        }
        match inner.as_map().filter(|inner| inner.len() == 1).and_then(|inner| inner.get("config")?.as_map()) {
            Some(config) => {
                (self.root, self.base) = (config.clone(), base.key("config"));
                Ok(())
            }
            None => {
                let reason = "a config in the form of a message is {\".multimodule\": {\"config\": {...}}}".into();
                Err(self.fault(PathFault { path: base, reason, advice: None }).into())
            }
        }
    }
}

/// The fields of a message that is written as `text`; `name` says what a fault calls it.
///
/// JSON, RON and the original's `{a => 1}` and `<a=>1>` are taken.
pub fn parse_message(name: &str, text: &str) -> Result<Map, Faults> {
    let source = Source { name: Arc::from(name), text };
    source.read("a message must be a map of fields").map(|(_, fields)| fields)
}

struct Source<'a> {
    name: Arc<str>,
    text: &'a str,
}

impl Source<'_> {
    fn read(&self, must_be: &str) -> Result<(Form, Map), Faults> {
        if let Some(at) = scan::too_deep(self.text) {
            // Before anything is parsed, and so before the form is known.
            let fault = TextFault::new(at, format!("nested deeper than {MAX_DEPTH} levels"));
            return Err(Fault::in_text(&self.name, Form::by_name(&self.name), self.text, fault).into());
        }
        let (form, value) = self.value()?;
        let outline = Outline::of(form, self.text);
        let duplicates = outline.map(|outline| outline.duplicates(self.text, MAX_FAULTS)).unwrap_or_default();
        let faults = duplicates.into_iter().map(|(path, fault)| self.fault(form, fault).with_path(&path));
        match (Faults::of(faults, 0), value) {
            (Some(faults), _) => Err(faults),
            (None, Value::Map(map)) => Ok((form, map)),
            (None, other) => {
                let blank = self.text.len() - self.text.trim_start().len();
                Err(self.fault(form, TextFault::new(blank, format!("{must_be}, this is {}", other.kind()))).into())
            }
        }
    }

    fn value(&self) -> Result<(Form, Value), Faults> {
        let text = self.text;
        let (form, parsed) = Form::of(&self.name, text);
        let read = match (form, parsed) {
            (_, Some(value)) => Ok(value),
            _ if text.trim().is_empty() => Err(TextFault::new(0, "the text is empty")),
            (Form::Json, None) => json::parse(text),
            (Form::Ron, None) => ron_form::parse(text),
            (Form::Perl, None) => perl::parse(text),
        };
        read.map(|value| (form, value)).map_err(|fault| self.fault(form, self.advised(fault)).into())
    }

    /// A fault that shows late is often a bracket that was forgotten early.
    fn advised(&self, fault: TextFault) -> TextFault {
        if fault.advice.is_some() {
            return fault;
        }
        let (bracket, at, what) = match scan::imbalance(self.text) {
            Some(Imbalance::Open(bracket, at)) => (bracket, at, "is not closed"),
            Some(Imbalance::Close(bracket, at)) => (bracket, at, "closes nothing"),
            None => return fault,
        };
        let Place { line, column } = Place::of(self.text, at);
        fault.advise(format!("the `{bracket}` at {line}:{column} {what}"))
    }

    fn fault(&self, form: Form, fault: TextFault) -> Fault {
        Fault::in_text(&self.name, Some(form), self.text, fault)
    }

    fn too_long(&self) -> Faults {
        let reason = format!("a config has at most {MAX_CONFIG_BYTES} bytes, this one has {}", self.text.len());
        without_place(&self.name, reason)
    }
}

fn without_place(name: &str, reason: String) -> Faults {
    Fault::without_text(name, PathFault { path: ValuePath::default(), reason, advice: None }).into()
}

fn no_text(name: &str, bytes: &[u8], valid: usize) -> Faults {
    let text = std::str::from_utf8(&bytes[..valid]).unwrap_or_default();
    let Place { line, column } = Place::of(text, valid);
    without_place(name, format!("byte 0x{:02x} at {line}:{column} is not UTF-8", bytes[valid]))
}
