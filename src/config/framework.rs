//! What the framework itself reads in a task's entry.
//!
//! A task's entry is one map: the framework's keys and the task's own stand side by side, as in the original.
//!
//! Invariant: a key of [`FrameworkKey`] is never part of a task's own config, whether or not this version offers it,
//! so that a config which works today means the same tomorrow. Below `task` any name may stand.

use std::collections::BTreeMap;
use std::time::Duration;

use super::path::{PathFault, ValuePath};
use super::queue_settings::QueueSettings;
use super::{quantity, suggest, typed};
use crate::value::{self, Map, Value};

/// The keys of the framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameworkKey {
    /// Whether the task runs in a process of its own.
    IsExternal,
    /// Seconds between ticks, by the timer's name; `save_state` is the commit's.
    Intervals,
    /// Commit after this many messages.
    CommitEvery,
    /// How often output may go out: `at_least_once` or `exactly_once`.
    Delivery,
    /// Whether the task may block its thread, and so gets one of its own.
    Blocking,
    /// The task's queue: its bounds and what happens there.
    Queue,
    /// The task's own config, where its names collide with the framework's.
    Task,
    /// Reserved: the program that the task's process runs.
    Process,
    /// Reserved: how many workers the task's pool has.
    Workers,
    /// Reserved: how a pool deals its messages.
    Balance,
    /// Reserved: when an ended process is started again.
    Restart,
    /// Reserved: what the task may use up.
    Limits,
    /// Reserved: the jobs that the task does.
    Functions,
}

impl FrameworkKey {
    /// Every key.
    pub const ALL: [Self; 13] = [
        Self::IsExternal,
        Self::Intervals,
        Self::CommitEvery,
        Self::Delivery,
        Self::Blocking,
        Self::Queue,
        Self::Task,
        Self::Process,
        Self::Workers,
        Self::Balance,
        Self::Restart,
        Self::Limits,
        Self::Functions,
    ];

    /// The key as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IsExternal => "is_external",
            Self::Intervals => "intervals",
            Self::CommitEvery => "commit_every",
            Self::Delivery => "delivery",
            Self::Blocking => "blocking",
            Self::Queue => "queue",
            Self::Task => "task",
            Self::Process => "process",
            Self::Workers => "workers",
            Self::Balance => "balance",
            Self::Restart => "restart",
            Self::Limits => "limits",
            Self::Functions => "functions",
        }
    }

    /// The key that `name` is, if it is one.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// Whether `name` is one of the framework's keys, offered or reserved.
#[must_use]
pub fn is_framework_key(name: &str) -> bool {
    FrameworkKey::by_name(name).is_some()
}

/// How often what a task emits may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Again after a crash, if it went out after the last commit.
    #[default]
    AtLeastOnce,
    /// Once, whatever happens; output waits for the commit.
    ExactlyOnce,
}

/// What a task's entry says to the framework; what it does not say is at its default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Framework {
    /// Times between ticks, by the timer's name, each from 1 ms to 366 days.
    pub intervals: BTreeMap<String, Duration>,
    /// Commit after this many messages, beside the interval; at least 1.
    pub commit_every: Option<u64>,
    /// How often output may go out.
    pub delivery: Delivery,
    /// Whether the task gets a thread of its own.
    pub blocking: bool,
    /// The task's queue.
    pub queue: QueueSettings,
}

impl Framework {
    /// Reads the framework's keys of `entry`, which stands at `path`. What is at fault is noted, and at its default.
    pub(super) fn read(entry: &Map, path: &ValuePath, faults: &mut Vec<PathFault>) -> Self {
        let mut framework = Self::default();
        for (name, value) in entry.iter() {
            if let Some(key) = FrameworkKey::by_name(name) {
                framework.read_key(key, value, &mut Notes::new(path.key(name), faults));
            }
        }
        framework
    }

    fn read_key(&mut self, key: FrameworkKey, value: &Value, notes: &mut Notes<'_>) {
        match key {
            FrameworkKey::IsExternal => {
                if notes.typed(value) == Some(true) {
                    notes.note("external tasks are not part of this version", Some("leave it out, or write false"));
                }
            }
            FrameworkKey::Intervals => self.intervals = intervals(value, notes),
            FrameworkKey::CommitEvery => self.commit_every = notes.count(value),
            FrameworkKey::Delivery => {
                let known = [("at_least_once", Delivery::AtLeastOnce), ("exactly_once", Delivery::ExactlyOnce)];
                self.delivery = notes.choice(value, &known).unwrap_or_default();
            }
            FrameworkKey::Blocking => self.blocking = notes.typed(value).unwrap_or_default(),
            FrameworkKey::Queue => self.queue = QueueSettings::read(value, notes),
            // Its content is the task's: see `Entry`.
            FrameworkKey::Task => drop(notes.map(value)),
            FrameworkKey::Process
            | FrameworkKey::Workers
            | FrameworkKey::Balance
            | FrameworkKey::Restart
            | FrameworkKey::Limits
            | FrameworkKey::Functions => notes.note(
                &format!("{:?} is not part of this version", key.name()),
                Some("the name is kept for the framework; a task's own key of that name stands below `task`"),
            ),
        }
    }
}

fn intervals(value: &Value, notes: &mut Notes<'_>) -> BTreeMap<String, Duration> {
    let mut intervals = BTreeMap::new();
    for (name, value) in notes.map(value).iter().flat_map(|map| map.iter()) {
        if let Some(time) = notes.below(name).time(value) {
            intervals.insert(name.to_owned(), time);
        }
    }
    intervals
}

/// Notes what is at fault with the value at one path.
pub(super) struct Notes<'f> {
    path: ValuePath,
    faults: &'f mut Vec<PathFault>,
}

impl<'f> Notes<'f> {
    pub(super) fn new(path: ValuePath, faults: &'f mut Vec<PathFault>) -> Self {
        Self { path, faults }
    }

    /// The same for the value of `key`.
    pub(super) fn below(&mut self, key: &str) -> Notes<'_> {
        Notes { path: self.path.key(key), faults: self.faults }
    }

    pub(super) fn note(&mut self, reason: &str, advice: Option<&str>) {
        let advice = advice.map(str::to_owned);
        self.faults.push(PathFault { path: self.path.clone(), reason: reason.to_owned(), advice });
    }

    pub(super) fn map<'v>(&mut self, value: &'v Value) -> Option<&'v Map> {
        if value.as_map().is_none() {
            self.note(&format!("expected a map, found {}", value.kind()), None);
        }
        value.as_map()
    }

    pub(super) fn typed<T: serde::de::DeserializeOwned>(&mut self, value: &Value) -> Option<T> {
        let faults = match value::from_value(value) {
            Ok(read) => return Some(read),
            Err(faults) => faults,
        };
        for fault in faults {
            let fault = typed::path_fault(fault);
            self.faults.push(PathFault { path: fault.path.below(&self.path), ..fault });
        }
        None
    }

    /// A number that is at least 1.
    pub(super) fn count(&mut self, value: &Value) -> Option<u64> {
        let count = self.typed(value)?;
        if count == 0 {
            self.note("expected an integer from 1 on, found 0", None);
        }
        (count > 0).then_some(count)
    }

    pub(super) fn time(&mut self, value: &Value) -> Option<Duration> {
        quantity::time(value.view()).map_err(|reason| self.note(&reason, Some(quantity::TIME_ADVICE))).ok()
    }

    pub(super) fn bytes(&mut self, value: &Value) -> Option<u64> {
        quantity::bytes(value.view()).map_err(|reason| self.note(&reason, Some(quantity::SIZE_ADVICE))).ok()
    }

    /// One of the `known` words.
    pub(super) fn choice<T: Copy>(&mut self, value: &Value, known: &[(&str, T)]) -> Option<T> {
        let words = || known.iter().map(|(word, _)| *word);
        let listed = || format!("one of: {}", words().collect::<Vec<_>>().join(", "));
        let Some(text) = value.as_text() else {
            self.note(&format!("expected text, found {}", value.kind()), Some(&listed()));
            return None;
        };
        let found = known.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let advice = suggest::advice(text, words()).unwrap_or_else(listed);
            self.note(&format!("unknown value {text:?}"), Some(&advice));
        }
        found
    }

    pub(super) fn unknown_key<'k>(&mut self, key: &str, known: impl IntoIterator<Item = &'k str>) {
        let advice = suggest::advice(key, known);
        self.below(key).note(&format!("unknown key {key:?}"), advice.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Fsync, Overflow};
    use crate::fields;

    fn read(entry: Map) -> (Framework, Vec<String>) {
        let mut faults = Vec::new();
        let framework = Framework::read(&entry, &ValuePath::default().key("T"), &mut faults);
        (framework, faults.iter().map(|fault| format!("{}: {}", fault.path, fault.reason)).collect())
    }

    #[test]
    fn what_an_entry_says_to_the_framework_is_read() {
        let queue = fields! { max_bytes: "1MiB", max_messages: 10, overflow: "drop_oldest", block_timeout: 0.5,
        fsync: "interval" };
        let entry = fields! {
            outstr: "x", is_external: 0, intervals: fields! { save_state: 0.5, tick: "2m" }, commit_every: 100,
            delivery: "exactly_once", blocking: true, queue: queue, task: fields! { queue: 1 },
        };
        let expected = Framework {
            intervals: [
                ("save_state".to_owned(), Duration::from_millis(500)),
                ("tick".to_owned(), Duration::from_secs(120)),
            ]
            .into(),
            commit_every: Some(100),
            delivery: Delivery::ExactlyOnce,
            blocking: true,
            queue: QueueSettings {
                max_bytes: Some(1 << 20),
                max_messages: Some(10),
                overflow: Some(Overflow::DropOldest),
                block_timeout: Some(Duration::from_millis(500)),
                fsync: Some(Fsync::Interval),
            },
        };
        assert_eq!(read(entry), (expected, Vec::new()));
    }

    #[test]
    fn each_wrong_setting_is_told_at_its_place() {
        let cases = [
            (fields! { is_external: true }, "T.is_external: external tasks are not part of this version"),
            (fields! { is_external: "x" }, "T.is_external: expected a boolean, found the text \"x\""),
            (fields! { intervals: 1 }, "T.intervals: expected a map, found an integer"),
            (fields! { intervals: fields! { a: 0 } }, "T.intervals.a: a time is at least 1 ms and at most 366 days"),
            (fields! { commit_every: 0 }, "T.commit_every: expected an integer from 1 on, found 0"),
            (fields! { delivery: "exactly_onec" }, "T.delivery: unknown value \"exactly_onec\""),
            (fields! { queue: fields! { overflow: 1 } }, "T.queue.overflow: expected text, found an integer"),
            (fields! { queue: fields! { size: 1 } }, "T.queue.size: unknown key \"size\""),
            (fields! { queue: fields! { max_bytes: 1 } }, "T.queue.max_bytes: a queue holds at least 16384 bytes"),
            (fields! { workers: 4 }, "T.workers: \"workers\" is not part of this version"),
            (fields! { task: 1 }, "T.task: expected a map, found an integer"),
        ];
        for (entry, expected) in cases {
            assert_eq!(read(entry).1, [expected]);
        }
    }

    #[test]
    fn every_framework_key_is_found_by_its_name() {
        for key in FrameworkKey::ALL {
            assert_eq!(FrameworkKey::by_name(key.name()), Some(key));
        }
        assert!(!is_framework_key("outstr"));
    }
}
