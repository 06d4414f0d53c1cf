//! What the config's entry `OutOfBand` says of each channel, compiled.
//!
//! ```text
//! OutOfBand: {
//!     alert: {
//!         handling: "./alerts.log",                      as in -o, and before it
//!         include_matches: {hot: {text: " special/cpu/"}},  some must hold; without any all lines pass
//!         exclude_matches: {mine: {task: "Noisy"}},         none may hold
//!         transit_endpoints: ["Alerts"],                 these queues get the line too
//!         max_bytes: "10MiB",                            how large the file grows
//!     },
//! }
//! ```
//!
//! A match is that of a route, held against the message that the line is on a queue.
//!
//! Invariant: compiled whole or not at all, with every fault told at its place.

use std::collections::{BTreeMap, BTreeSet};

use super::handling::Sink;
use super::log_file::usable;
use crate::config::{PathFault, SIZE_ADVICE, ValuePath, advice, bytes};
use crate::name::QueueName;
use crate::process::FileError;
use crate::router::Match;
use crate::value::{MapView, Value};

/// How large a file grows before it is set aside as `NAME.1`, where nothing else is said: weeks of what a person reads,
/// and nothing to a disk.
pub const FILE_BYTES: u64 = 10 << 20;

/// The smallest such bound: below it files would be set aside faster than anybody looks.
const MIN_FILE_BYTES: u64 = 16 << 10;

const HANDLING: &str = "handling";
const INCLUDE: &str = "include_matches";
const EXCLUDE: &str = "exclude_matches";
const ENDPOINTS: &str = "transit_endpoints";
const MAX_BYTES: &str = "max_bytes";
const QNAME: &str = "qname";
const DESTINATION: &str = "destination";
const KEYS: [&str; 5] = [HANDLING, INCLUDE, EXCLUDE, ENDPOINTS, MAX_BYTES];

/// The entry, compiled.
#[derive(Debug, Default)]
pub struct ChannelSettings {
    pub(super) channels: BTreeMap<String, ChannelSetting>,
}

/// What it says of one channel.
#[derive(Debug, Default)]
pub(super) struct ChannelSetting {
    pub(super) sink: Option<Sink>,
    include: Vec<Match>,
    exclude: Vec<Match>,
    /// Each once.
    pub(super) endpoints: BTreeSet<QueueName>,
    pub(super) max_bytes: Option<u64>,
}

impl ChannelSettings {
    /// Compiles the config's entry; null says nothing.
    ///
    /// # Errors
    /// Every fault at once; their paths begin below the entry (`alert.handling`).
    pub fn compile(config: &Value) -> Result<Self, Vec<PathFault>> {
        let mut compiler = Compiler::default();
        let mut channels = BTreeMap::new();
        for (channel, setting) in compiler.entries(config, &ValuePath::default()) {
            let at = ValuePath::default().key(channel);
            if channel.is_empty() {
                compiler.add(&at, "a channel has a name", None);
            }
            channels.insert(channel.to_owned(), compiler.setting(setting, &at));
        }
        if compiler.faults.is_empty() { Ok(Self { channels }) } else { Err(compiler.faults) }
    }
}

impl ChannelSettings {
    /// The queues that get lines, each once.
    #[must_use]
    pub fn queues(&self) -> BTreeSet<QueueName> {
        let sinks = self.channels.values().filter_map(|channel| match &channel.sink {
            Some(Sink::Queue(queue)) => Some(queue.clone()),
            _ => None,
        });
        let endpoints = self.channels.values().flat_map(|channel| channel.endpoints.iter().cloned());
        sinks.chain(endpoints).collect()
    }

    /// Which of the files that get lines take none; none of them is made.
    #[must_use]
    pub fn unusable_files(&self) -> Vec<FileError> {
        let files = self.channels.values().filter_map(|channel| match &channel.sink {
            Some(Sink::File(path)) => Some(path),
            _ => None,
        });
        files.filter_map(|path| usable(path).err()).collect()
    }
}

impl ChannelSetting {
    /// Whether anything is asked of lines.
    pub(super) fn has_filters(&self) -> bool {
        !self.include.is_empty() || !self.exclude.is_empty()
    }

    /// Whether a line passes, which is this message on a queue.
    pub(super) fn passes(&self, line: MapView<'_>) -> bool {
        let included = self.include.is_empty() || self.include.iter().any(|included| included.holds(line));
        included && !self.exclude.iter().any(|excluded| excluded.holds(line))
    }
}

#[derive(Default)]
struct Compiler {
    faults: Vec<PathFault>,
}

impl Compiler {
    fn add(&mut self, at: &ValuePath, reason: impl Into<String>, advice: Option<String>) {
        self.faults.push(PathFault { path: at.clone(), reason: reason.into(), advice });
    }

    fn wrong_kind(&mut self, at: &ValuePath, expected: &str, found: &Value) {
        self.add(at, format!("must be {expected}, not {}", found.kind()), None);
    }

    fn unknown_key(&mut self, at: &ValuePath, key: &str, known: &[&str]) {
        let meant = advice(key, known.iter().copied());
        let meant = meant.unwrap_or_else(|| format!("known here: {}", known.join(", ")));
        self.add(&at.key(key), format!("unknown key {key:?}"), Some(meant));
    }

    /// The entries of a map; null has none.
    fn entries<'v>(&mut self, value: &'v Value, at: &ValuePath) -> Vec<(&'v str, &'v Value)> {
        match value {
            Value::Null => Vec::new(),
            Value::Map(map) => map.iter().collect(),
            other => {
                self.wrong_kind(at, "a map", other);
                Vec::new()
            }
        }
    }

    fn setting(&mut self, setting: &Value, at: &ValuePath) -> ChannelSetting {
        let mut read = ChannelSetting::default();
        for (key, value) in self.entries(setting, at) {
            let at_key = at.key(key);
            match key {
                HANDLING => read.sink = self.handling(value, &at_key),
                INCLUDE => read.include = self.matches(value, &at_key),
                EXCLUDE => read.exclude = self.matches(value, &at_key),
                ENDPOINTS => read.endpoints = self.endpoints(value, &at_key),
                MAX_BYTES => read.max_bytes = self.max_bytes(value, &at_key),
                _ => self.unknown_key(at, key, &KEYS),
            }
        }
        read
    }

    /// As in `-o`; `1` and `2` may be numbers.
    fn handling(&mut self, value: &Value, at: &ValuePath) -> Option<Sink> {
        let Some(text) = value.view().scalar_text() else {
            self.wrong_kind(at, "1 (stdout), 2 (stderr), router, a path with a /, or a queue", value);
            return None;
        };
        let sink = Sink::parse(text.trim());
        let advice = "a handling is 1 (stdout), 2 (stderr), router, a path with a /, or a queue";
        sink.map_err(|error| self.add(at, error.to_string(), Some(advice.to_owned()))).ok()
    }

    /// A map of matches by a name of the user's choice; a list will do.
    fn matches(&mut self, value: &Value, at: &ValuePath) -> Vec<Match> {
        let listed = |(index, test)| (at.index(index), test);
        let matches: Vec<(ValuePath, &Value)> = match value {
            Value::List(list) => list.iter().enumerate().map(listed).collect(),
            other => self.entries(other, at).into_iter().map(|(name, test)| (at.key(name), test)).collect(),
        };
        let compile = |(at, tests): (ValuePath, &Value)| match Match::compile(tests) {
            Ok(compiled) => Some(compiled),
            Err(found) => {
                self.faults.extend(found.into_iter().map(|fault| PathFault { path: fault.path.below(&at), ..fault }));
                None
            }
        };
        matches.into_iter().filter_map(compile).collect()
    }

    fn endpoints(&mut self, value: &Value, at: &ValuePath) -> BTreeSet<QueueName> {
        match value {
            Value::Null => BTreeSet::new(),
            Value::List(list) => {
                let queues =
                    list.iter().enumerate().filter_map(|(index, queue)| self.endpoint(queue, &at.index(index)));
                queues.collect()
            }
            other => {
                self.wrong_kind(at, "a list of queues", other);
                BTreeSet::new()
            }
        }
    }

    /// The name of a queue, or a forward as in a route.
    fn endpoint(&mut self, value: &Value, at: &ValuePath) -> Option<QueueName> {
        let (name, at) = match value {
            Value::Map(forward) => {
                for key in forward.keys().filter(|key| *key != QNAME) {
                    match key {
                        DESTINATION => self.add(&at.key(key), "this version does not send to other hosts", None),
                        _ => self.unknown_key(at, key, &[QNAME]),
                    }
                }
                (forward.get(QNAME).unwrap_or(&Value::Null), at.key(QNAME))
            }
            other => (other, at.clone()),
        };
        let Some(name) = name.as_text() else {
            self.wrong_kind(&at, "the name of a queue", name);
            return None;
        };
        QueueName::new(name).map_err(|error| self.add(&at, error.to_string(), None)).ok()
    }

    fn max_bytes(&mut self, value: &Value, at: &ValuePath) -> Option<u64> {
        let size = match bytes(value.view()) {
            Ok(size) if size < MIN_FILE_BYTES => Err(format!("a file holds at least {MIN_FILE_BYTES} bytes")),
            size => size,
        };
        size.map_err(|reason| self.add(at, reason, Some(SIZE_ADVICE.to_owned()))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;
    use crate::value::Map;

    fn compile(setting: Map) -> Result<ChannelSettings, Vec<PathFault>> {
        ChannelSettings::compile(&Value::Map(fields! { alert: setting }))
    }

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    #[test]
    fn an_entry_without_words_says_nothing() {
        assert!(ChannelSettings::compile(&Value::Null).unwrap().channels.is_empty());
        let settings = compile(Map::new()).unwrap();
        let alert = &settings.channels["alert"];
        assert!(alert.sink.is_none() && alert.endpoints.is_empty() && !alert.has_filters());
    }

    #[test]
    fn each_setting_of_a_channel_is_read() {
        let endpoints = vec![Value::from("A"), Value::Map(fields! { qname: "B" }), Value::from("A")];
        let settings = compile(fields! { handling: 1, transit_endpoints: endpoints, max_bytes: "1MiB" }).unwrap();
        let alert = &settings.channels["alert"];
        assert_eq!(alert.sink, Some(Sink::Stdout));
        assert_eq!(alert.endpoints, BTreeSet::from([queue("A"), queue("B")]));
        assert_eq!(alert.max_bytes, Some(1 << 20));
        for (handling, sink) in [("router", Sink::Queue(queue("Router"))), ("./x", Sink::File("./x".into()))] {
            assert_eq!(compile(fields! { handling: handling }).unwrap().channels["alert"].sink, Some(sink));
        }
    }

    #[test]
    fn a_line_passes_if_it_is_included_and_not_excluded() {
        let hot = fields! { text: " special/hot/" };
        let noisy = fields! { noisy: fields! { task: "Noisy" } };
        let include = fields! { include_matches: fields! { hot: hot.clone(), mine: fields! { task: "Mine" } } };
        let check = |setting: &Map, task: &str, text: &str, expected: bool| {
            let settings = compile(setting.clone()).unwrap();
            let line = fields! { task: task, text: text };
            assert_eq!(settings.channels["alert"].passes(MapView::of(&line)), expected, "{task}: {text}");
        };
        check(&include, "Mine", "cold", true);
        check(&include, "Other", "hot", true);
        check(&include, "Other", "cold", false);
        let both = fields! { include_matches: vec![hot], exclude_matches: noisy.clone() };
        check(&both, "Noisy", "hot", false);
        check(&both, "Mine", "hot", true);
        check(&fields! { exclude_matches: noisy }, "Mine", "cold", true);
    }

    #[test]
    fn all_faults_are_told_at_their_places() {
        let check = |setting: Map, expected: &str| {
            let faults = compile(setting).unwrap_err();
            let told: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.reason)).collect();
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(expected), "{told:?}");
        };
        check(fields! { handlign: 1 }, "alert.handlign: unknown key");
        check(fields! { handling: true }, "alert.handling: must be 1 (stdout)");
        check(fields! { handling: ".x" }, "alert.handling: name \".x\" begins with a dot");
        check(fields! { include_matches: 1 }, "alert.include_matches: must be a map");
        check(fields! { include_matches: fields! { a: 1 } }, "alert.include_matches.a: must be a map of tests");
        check(
            fields! { exclude_matches: fields! { a: fields! { text: " special/(/" } } },
            "alert.exclude_matches.a.text: ",
        );
        check(fields! { transit_endpoints: "A" }, "alert.transit_endpoints: must be a list");
        check(fields! { transit_endpoints: vec![1] }, "alert.transit_endpoints[0]: must be the name");
        check(fields! { transit_endpoints: vec!["../x"] }, "alert.transit_endpoints[0]: ");
        let far = fields! { qname: "A", destination: "b" };
        check(fields! { transit_endpoints: vec![far] }, "alert.transit_endpoints[0].destination: this version");
        check(fields! { max_bytes: 10 }, "alert.max_bytes: a file holds at least");
        check(fields! { max_bytes: "big" }, "alert.max_bytes: \"big\" is no size");
        assert_eq!(ChannelSettings::compile(&Value::from(1)).unwrap_err()[0].reason, "must be a map, not an integer");
        let two = ChannelSettings::compile(&Value::Map(fields! { a: 1, b: 2 })).unwrap_err();
        assert_eq!(two.len(), 2);
    }
}
