//! What the framework itself reads in a task's entry.
//!
//! A task's entry is one map: the framework's keys and the task's own stand side by side, as in the original.
//!
//! Invariant: a key of [`FrameworkKey`] is never part of a task's own config, whether or not this version offers it,
//! so that a config which works today means the same tomorrow. Below `task` any name may stand.

use std::collections::BTreeMap;
use std::time::Duration;

use super::limits::LimitSettings;
use super::notes::Notes;
use super::path::{PathFault, ValuePath};
use super::pool::{Balance, Workers};
use super::queue_settings::QueueSettings;
use super::restart::RestartSettings;
use crate::name::TaskName;
use crate::value::{Map, Value};

/// The name of the daemon's own process.
pub const MAIN: &str = "main";

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
    /// The external process that the task shares with others.
    Process,
    /// How many workers the task's pool has.
    Workers,
    /// Which worker of a pool gets a message.
    Balance,
    /// When an ended process is started again.
    Restart,
    /// What the task's process may use up.
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
    /// Whether the task runs in another process than the daemon; if nothing is said, its code decides.
    pub is_external: Option<bool>,
    /// The process that it shares with others; never [`MAIN`].
    pub process: Option<TaskName>,
    /// How many processes do its work, each with all of it.
    pub workers: Option<Workers>,
    /// Which of them gets a message.
    pub balance: Option<Balance>,
    /// When its process is started again.
    pub restart: RestartSettings,
    /// What its process may use up.
    pub limits: LimitSettings,
    /// The task's queue.
    pub queue: QueueSettings,
}

impl Framework {
    /// Whether a running task need not be told of the difference: where it runs, by how many, and when its process is
    /// started again is the business of others.
    #[must_use]
    pub fn is_the_same_to_its_task(&self, other: &Self) -> bool {
        let Self { is_external, process, workers, balance, restart, .. } = other.clone();
        Self { is_external, process, workers, balance, restart, ..self.clone() } == *other
    }

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
            FrameworkKey::IsExternal => self.is_external = notes.typed(value),
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
            FrameworkKey::Process => self.process = process(value, notes),
            FrameworkKey::Workers => self.workers = Workers::read(value, notes),
            FrameworkKey::Balance => self.balance = Balance::read(value, notes),
            FrameworkKey::Restart => self.restart = RestartSettings::read(value, notes),
            FrameworkKey::Limits => self.limits = LimitSettings::read(value, notes),
            FrameworkKey::Functions => notes.note(
                &format!("{:?} is not part of this version", key.name()),
                Some("the name is kept for the framework; a task's own key of that name stands below `task`"),
            ),
        }
    }
}

fn process(value: &Value, notes: &mut Notes<'_>) -> Option<TaskName> {
    let name: String = notes.typed(value)?;
    match TaskName::new(&name) {
        Ok(process) if name != MAIN => return Some(process),
        Ok(_) => {
            let advice = "name it otherwise; a task that writes is_external: false runs in the daemon";
            notes.note(&format!("{MAIN:?} is the daemon's own process"), Some(advice));
        }
        Err(error) => notes.note(&error.to_string(), None),
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Fsync, Overflow, RestartWhen};
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
            outstr: "x", intervals: fields! { save_state: 0.5, tick: "2m" }, commit_every: 100,
            delivery: "exactly_once", blocking: true, queue: queue, task: fields! { queue: 1 }, is_external: 0, process: "ingest", workers: "8", balance: "least",
            restart: "never", limits: fields! { files: 256 },
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
            is_external: Some(false),
            process: Some(TaskName::new("ingest").unwrap()),
            workers: Some(Workers::Count(8)),
            balance: Some(Balance::Least),
            restart: RestartSettings { when: Some(RestartWhen::Never), ..RestartSettings::default() },
            limits: LimitSettings { files: Some(256), ..LimitSettings::default() },
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
            (fields! { is_external: "x" }, "T.is_external: expected a boolean, found the text \"x\""),
            (fields! { intervals: 1 }, "T.intervals: expected a map, found an integer"),
            (fields! { intervals: fields! { a: 0 } }, "T.intervals.a: a time is at least 1 ms and at most 366 days"),
            (fields! { commit_every: 0 }, "T.commit_every: expected an integer from 1 on, found 0"),
            (fields! { delivery: "exactly_onec" }, "T.delivery: unknown value \"exactly_onec\""),
            (fields! { queue: fields! { overflow: 1 } }, "T.queue.overflow: expected text, found an integer"),
            (fields! { queue: fields! { size: 1 } }, "T.queue.size: unknown key \"size\""),
            (fields! { queue: fields! { max_bytes: 1 } }, "T.queue.max_bytes: a queue holds at least 16384 bytes"),
            (fields! { process: "main" }, "T.process: \"main\" is the daemon's own process"),
            (fields! { process: "" }, "T.process: a name may not be empty"),
            (
                fields! { process: ".x" },
                "T.process: name \".x\" begins with a dot; such names are kept for MultiModule's own files",
            ),
            (fields! { process: Map::new() }, "T.process: expected text, found a map"),
            (fields! { workers: 0 }, "T.workers: expected an integer from 1 to 1024, found 0"),
            (fields! { workers: 1025 }, "T.workers: expected an integer from 1 to 1024, found 1025"),
            (fields! { workers: "cpu" }, "T.workers: unknown value \"cpu\""),
            (fields! { balance: "laest" }, "T.balance: unknown value \"laest\""),
            (fields! { balance: "sticky" }, "T.balance: sticky needs the name of a field"),
            (fields! { balance: "sticky()" }, "T.balance: sticky needs the name of a field"),
            (fields! { balance: "sticky(a" }, "T.balance: unknown value \"sticky(a\""),
            (fields! { balance: Map::new() }, "T.balance: sticky needs the name of a field"),
            (fields! { balance: fields! { stikcy: "a" } }, "T.balance.stikcy: unknown key \"stikcy\""),
            (fields! { balance: vec!["a"] }, "T.balance: expected text or a map, found a list"),
            (fields! { restart: "on_failrue" }, "T.restart: unknown value \"on_failrue\""),
            (fields! { restart: 1 }, "T.restart: expected text, found an integer"),
            (fields! { restart: fields! { when: "x" } }, "T.restart.when: unknown value \"x\""),
            (fields! { restart: fields! { maxx: 1 } }, "T.restart.maxx: unknown key \"maxx\""),
            (fields! { restart: fields! { max: 0 } }, "T.restart.max: expected an integer from 1 to 1000, found 0"),
            (fields! { restart: fields! { within: "soon" } }, "T.restart.within: \"soon\" is no time"),
            (
                fields! { restart: fields! { backoff: 2, max_backoff: 1 } },
                "T.restart.max_backoff: the longest wait is shorter than the first one, `backoff`",
            ),
            (fields! { limits: 4 }, "T.limits: expected a map, found an integer"),
            (fields! { functions: 4 }, "T.functions: \"functions\" is not part of this version"),
            (fields! { task: 1 }, "T.task: expected a map, found an integer"),
        ];
        for (entry, expected) in cases {
            assert_eq!(read(entry).1, [expected]);
        }
    }

    #[test]
    fn a_pool_is_balanced_by_a_word_or_a_map() {
        let sticky = Balance::Sticky("user id".to_owned());
        let cases = [
            (Value::from("least"), Balance::Least),
            (Value::from("sticky(user id)"), sticky.clone()),
            (Value::from(" sticky( user id ) "), sticky.clone()),
            (Value::from(fields! { sticky: "user id" }), sticky),
        ];
        for (balance, expected) in cases {
            let (framework, faults) = read(fields! { workers: "cpus", balance: balance.clone() });
            assert_eq!((framework.balance, faults), (Some(expected), Vec::new()), "{balance:?}");
            assert_eq!(framework.workers, Some(Workers::Cpus));
        }
    }

    #[test]
    fn a_restart_by_a_map_says_what_it_says_and_no_more() {
        let restart = fields! { when: "on_failure", max: 5, within: "2m", backoff: 0.2, max_backoff: "10s" };
        let expected = RestartSettings {
            when: Some(RestartWhen::OnFailure),
            max: Some(5),
            within: Some(Duration::from_secs(120)),
            backoff: Some(Duration::from_millis(200)),
            max_backoff: Some(Duration::from_secs(10)),
        };
        assert_eq!(read(fields! { restart: restart }).0.restart, expected);
        let (framework, faults) = read(fields! { restart: Map::new() });
        assert_eq!((framework.restart, faults), (RestartSettings::default(), Vec::new()));
    }

    /// What is told of an entry in RON.
    fn read_ron(entry: &str) -> (Framework, Vec<PathFault>) {
        let document = crate::config::Document::parse("a.ron", &format!("(T: ({entry}))")).unwrap();
        let entry = document.root().get("T").and_then(Value::as_map).unwrap();
        let mut faults = Vec::new();
        (Framework::read(entry, &ValuePath::default().key("T"), &mut faults), faults)
    }

    #[test]
    fn words_need_no_quotes_in_ron() {
        let (framework, faults) = read_ron("workers: cpus, restart: on_failure, balance: least");
        assert_eq!(faults, []);
        assert_eq!((framework.workers, framework.balance), (Some(Workers::Cpus), Some(Balance::Least)));
        assert_eq!(framework.restart.when, Some(RestartWhen::OnFailure));
        for entry in ["balance: sticky(user)", "balance: sticky(\"user\")"] {
            let (framework, faults) = read_ron(entry);
            assert_eq!((framework.balance, faults), (Some(Balance::Sticky("user".to_owned())), Vec::new()), "{entry}");
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
