//! Configs by file and by message, laid over each other.
//!
//! A message sets the entries that it names. Each holds until the file's own entry of that name changes.
//!
//! Invariant: the effective config is the file's with the messages' entries in place of its own.
//!
//! It checks nothing: make the next overlay, check what it gives, and keep it only if that is good.

use std::collections::BTreeMap;

use super::document::Document;
use super::fault::{Fault, Faults};
use super::path::{PathFault, Step};
use crate::value::{Map, Value};

/// What a fault of an entry by message calls its source.
const BY_MESSAGE: &str = "config by message";

/// The file's config and what messages have changed since.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overlay {
    file: Map,
    messages: BTreeMap<String, Value>,
}

impl Overlay {
    /// Neither file nor message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This overlay once the file holds `root`: an entry by message ends where the file's entry has changed.
    #[must_use]
    pub fn by_file(&self, root: Map) -> Self {
        let changed = |name: &str| self.file.get(name) != root.get(name);
        let kept = self.messages.iter().filter(|(name, _)| !changed(name));
        let messages = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { file: root, messages }
    }

    /// This overlay once a message has set `entries`.
    #[must_use]
    pub fn by_message(&self, entries: Map) -> Self {
        let mut next = self.clone();
        next.messages.extend(entries.into_iter().map(|(name, value)| (name.into(), value)));
        next
    }

    /// What holds now.
    #[must_use]
    pub fn effective(&self) -> Map {
        let mut root = self.file.clone();
        for (name, value) in &self.messages {
            root.insert(name.as_str(), value.clone());
        }
        root
    }

    /// Whether the entry `name` is a message's.
    #[must_use]
    pub fn is_by_message(&self, name: &str) -> bool {
        self.messages.contains_key(name)
    }

    /// The names of the entries that are messages', ascending.
    pub fn names_by_message(&self) -> impl ExactSizeIterator<Item = &str> {
        self.messages.keys().map(String::as_str)
    }

    /// The faults of the effective config: those of the file's entries at their places in `document`, its text.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn faults(&self, document: Option<&Document>, faults: Vec<PathFault>) -> Faults {
        let of_message =
            |fault: &PathFault| matches!(fault.path.0.first(), Some(Step::Key(name)) if self.is_by_message(name));
        let (messages, file): (Vec<_>, Vec<_>) = faults.into_iter().partition(of_message);
        let without_text = |fault| Fault::without_text(BY_MESSAGE, fault);
        let messages: Vec<_> = messages.into_iter().map(without_text).collect();
        match document {
            Some(document) if !file.is_empty() => document.faults(file).and(messages),
            _ => {
                let all: Vec<_> = file.into_iter().map(without_text).chain(messages).collect();
                Faults::of(all.into_iter(), 0).expect("whoever reports faults has found one")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fields;

    #[test]
    fn a_message_holds_until_the_files_entry_changes() {
        let file = fields! { A: fields! { a: 1 }, B: fields! { b: 1 } };
        let overlay = Overlay::new().by_file(file.clone()).by_message(fields! { A: fields! { a: 2 }, C: Map::new() });
        let effective = fields! { A: fields! { a: 2 }, B: fields! { b: 1 }, C: Map::new() };
        assert_eq!(overlay.effective(), effective);
        assert_eq!(overlay.names_by_message().collect::<Vec<_>>(), ["A", "C"]);

        let other_changed = overlay.by_file(fields! { A: fields! { a: 1 }, B: fields! { b: 2 } });
        assert_eq!(other_changed.effective().get("A"), effective.get("A"));

        let changed = overlay.by_file(fields! { A: fields! { a: 3 } });
        assert_eq!(changed.effective(), fields! { A: fields! { a: 3 }, C: Map::new() });
        assert!(!changed.is_by_message("A") && changed.is_by_message("C"));

        let removed = overlay.by_file(Map::new());
        assert_eq!(removed.effective(), fields! { C: Map::new() });
    }

    #[test]
    fn a_fault_is_shown_in_the_text_or_named_as_by_message() {
        let document = Document::parse("a.conf", "{ A => 1, B => 2 }").unwrap();
        let overlay = Overlay::new().by_file(document.root().clone()).by_message(fields! { B: 3 });
        let faults = overlay.faults(Some(&document), Config::read(&overlay.effective()).unwrap_err()).to_string();
        assert!(faults.starts_with("a.conf:1:3: A: a task's config must be a map"), "{faults}");
        assert!(faults.contains("\nconfig by message: B: a task's config must be a map"), "{faults}");
    }
}
