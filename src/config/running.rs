//! The config that runs, as text: what the daemon has applied, for the processes that run by it.
//!
//! ```text
//! {"format":1,"generation":12,"level":0,"called":["Example2"],"nowhere":[]}
//! {
//! "Example1":{"outstr":"howdy"},
//! "Example2":null
//! }
//! ```
//!
//! The first line says what the text is, what follows is the effective config. Both are JSON, which is read in a sixth
//! of the time that RON takes: with every reload every process reads all of it.
//!
//! Invariant: every config that [`Config::read`](super::Config::read) takes is read back as it was. A newer program reads older formats; an older one refuses newer ones by their number, so
//! `format` stays in the first line of them all.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{json, scan};
use crate::name::TaskName;
use crate::value::{self, Map, Value};

/// The number of this format.
const FORMAT: u64 = 1;

/// What runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunningConfig {
    /// Which of the configs that were applied this is: a later one has a higher number.
    pub generation: u64,
    /// The debug level: 0 info, 1 debug, 2 trace.
    pub level: u32,
    /// Tasks without an entry that messages have called.
    pub called: BTreeSet<TaskName>,
    /// Tasks that are on their way to another place, and run nowhere until the next config.
    pub nowhere: BTreeSet<TaskName>,
    /// The effective config: the file's with the entries by message.
    pub config: Map,
}

/// Why a text is no running config that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunningFault {
    /// It is damaged, or something else altogether.
    #[error("it is no running config: {0}")]
    Damaged(String),
    /// A newer program wrote it.
    #[error("it has format {0}, and this program knows none above {FORMAT}")]
    NewerFormat(u64),
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u64,
    generation: u64,
    level: u32,
    called: BTreeSet<TaskName>,
    nowhere: BTreeSet<TaskName>,
}

impl RunningConfig {
    /// The text. An entry takes a line, so that people find what they look for. (A number that is not finite, which no
    /// config holds, becomes null.)
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { generation, level, ref called, ref nowhere, ref config } = *self;
        let (called, nowhere) = (called.clone(), nowhere.clone());
        let header = Header { format: FORMAT, generation, level, called, nowhere };
        let entries = config.iter().map(|(name, entry)| format!("{}:{}", json_text(name), json_text(entry)));
        format!("{}\n{{\n{}\n}}\n", json_text(&header), entries.collect::<Vec<_>>().join(",\n"))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// It was not written by [`RunningConfig::to_text`], or not whole, or by a newer program.
    pub fn from_text(text: &str) -> Result<Self, RunningFault> {
        let (header, config) = text.split_once('\n').ok_or_else(|| damaged("it has no second line"))?;
        let header = header_of(&map(header)?)?;
        let Header { generation, level, called, nowhere, .. } = header;
        Ok(Self { generation, level, called, nowhere, config: map(config)? })
    }
}

fn json_text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("what has text as keys has a form in JSON")
}

fn damaged(reason: impl Into<String>) -> RunningFault {
    RunningFault::Damaged(reason.into())
}

fn map(text: &str) -> Result<Map, RunningFault> {
    // Before it is read: a reader of anything must not run out of stack.
    if scan::too_deep(text).is_some() {
        return Err(damaged("its maps and lists lie too deep"));
    }
    match json::parse(text).map_err(|fault| damaged(fault.reason))? {
        Value::Map(map) => Ok(map),
        other => Err(damaged(format!("expected a map, found {}", other.kind()))),
    }
}

fn header_of(map: &Map) -> Result<Header, RunningFault> {
    match map.get("format").and_then(|format| value::from_value(format).ok()) {
        Some(0) | None => Err(damaged("its first line names no format")),
        // What else stands there is that format's affair.
        Some(format) if format > FORMAT => Err(RunningFault::NewerFormat(format)),
        Some(_) => value::from_map(map)
            .map_err(|faults| damaged(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::config::round_trip_tests::map as any_map;
    use crate::fields;

    fn running() -> RunningConfig {
        let called = BTreeSet::from([TaskName::new("Example2").unwrap()]);
        let config = fields! { Example1: fields! { outstr: "howdy" }, Router: fields! { routes: vec![Value::Null] } };
        RunningConfig { generation: 12, level: 1, called, nowhere: BTreeSet::new(), config }
    }

    #[test]
    fn the_text_is_for_people_too() {
        let expected = "{\"format\":1,\"generation\":12,\"level\":1,\"called\":[\"Example2\"],\"nowhere\":[]}\n{\n\
                        \"Example1\":{\"outstr\":\"howdy\"},\n\"Router\":{\"routes\":[null]}\n}\n";
        assert_eq!(running().to_text(), expected);
    }

    #[test]
    fn extreme_numbers_and_the_deepest_config_are_read_back() {
        let mut deepest = Value::from(1e-300);
        for level in 0..crate::value::MAX_DEPTH - 1 {
            deepest = if level % 2 == 0 { Value::List(vec![deepest]) } else { fields! { a: deepest }.into() };
        }
        let config = fields! { a: deepest, b: u64::MAX, c: i64::MIN, d: -0.0, e: f64::MIN_POSITIVE, f: f64::MAX };
        let running = RunningConfig { generation: u64::MAX, level: u32::MAX, config, ..running() };
        assert_eq!(RunningConfig::from_text(&running.to_text()), Ok(running));
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        let deep = format!("{}\n", "[".repeat(1_000_000));
        let whole = running().to_text();
        let header = r#"{"format":1,"generation":1,"level":0,"called":[],"nowhere":[]}"#;
        let cases = [
            (String::new(), "no second line"),
            ("\n".to_owned(), "eof"),
            (deep, "too deep"),
            ("[]\n{}".to_owned(), "expected a map, found a list"),
            ("null\n{}".to_owned(), "found null"),
            ("{\"a\":1}\n{}".to_owned(), "names no format"),
            (header.replace(":1,\"g", ":0,\"g") + "\n{}", "names no format"),
            (header.replace(":1,\"g", ":\"x\",\"g") + "\n{}", "names no format"),
            ("{\"format\":1}\n{}".to_owned(), "generation"),
            (header.replacen("[]", "[\"../x\"]", 1) + "\n{}", "no name may hold"),
            (header.replace("level", "levle") + "\n{}", "unknown key \"levle\""),
            (header.to_owned() + "\n[]", "expected a map, found a list"),
            (whole[..whole.len() - 2].to_owned(), "eof"),
        ];
        for (text, expected) in cases {
            let fault = RunningConfig::from_text(&text).unwrap_err().to_string();
            assert!(fault.to_lowercase().contains(expected), "{text:.60}: {fault}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_says() {
        let newer = RunningConfig::from_text("{\"format\":2,\"other\":[]}\nanything");
        assert_eq!(newer, Err(RunningFault::NewerFormat(2)));
    }

    proptest! {
        #[test]
        fn every_running_config_is_read_back(
            generation: u64, level: u32, called in btree_set("[^/\0.][^/\0]{0,9}", 0..4), config in any_map(),
        ) {
            let called: BTreeSet<_> = called.iter().map(|name| TaskName::new(name).unwrap()).collect();
            let running = RunningConfig { generation, level, nowhere: called.clone(), called, config };
            let text = running.to_text();
            prop_assert_eq!(RunningConfig::from_text(&text), Ok(running), "{}", text);
        }

        #[test]
        fn no_part_of_a_text_is_taken_for_the_whole(config in any_map(), cut: prop::sample::Index) {
            let text = RunningConfig { config, ..running() }.to_text();
            let cut = text.floor_char_boundary(cut.index(text.trim_end().len()));
            prop_assert!(RunningConfig::from_text(&text[..cut]).is_err());
        }

        #[test]
        fn no_text_is_a_panic(text in "[a-z0-9{}()\\[\\],:\"\n. ]{0,60}") {
            prop_assert!(RunningConfig::from_text(&text).is_err());
        }
    }
}
