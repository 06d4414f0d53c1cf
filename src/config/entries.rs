//! A config's entries: the tasks, the router and the channels.

use std::collections::BTreeMap;

use super::framework::{Framework, FrameworkKey, is_framework_key};
use super::monitoring;
use super::notes::Notes;
use super::path::{PathFault, Step, ValuePath};
use super::{secret, suggest};
use crate::limits::Overrides;
use crate::name::TaskName;
use crate::value::{Map, Value};

/// The entry that holds the routes.
pub const ROUTER: &str = "Router";

/// The entry that holds the daemon's own settings.
pub const DAEMON: &str = "MultiModule";

/// The entry that holds the settings of the out-of-band channels.
pub const OUT_OF_BAND: &str = "OutOfBand";

/// A task's entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it says to the framework.
    pub framework: Framework,
    /// The task's own config: the other keys, and those below `task`.
    pub own: Map,
    /// The entry as it was written.
    pub whole: Map,
}

/// A checked config: what tasks there are, and what the router does.
///
/// Invariant: every entry that is not one of the special ones is in `tasks`, under a name that may name a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The tasks.
    pub tasks: BTreeMap<TaskName, Entry>,
    /// What stands under `Router`, for the router to check; null if nothing does.
    pub router: Value,
    /// What stands under `MultiModule`: thresholds and windows.
    pub monitoring: Overrides,
    /// What stands under `OutOfBand`, for the channels to check; null if nothing does.
    pub out_of_band: Value,
}

impl Config {
    /// Reads the entries of `root`, or tells all that is wrong with them. The settings of the router, the channels and
    /// the tasks are for those to check.
    pub fn read(root: &Map) -> Result<Self, Vec<PathFault>> {
        let (config, faults) = Self::read_as_far_as_it_goes(root);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// The same; beside what is wrong stands the rest, for others to look what is wrong with that.
    #[must_use]
    pub fn read_as_far_as_it_goes(root: &Map) -> (Self, Vec<PathFault>) {
        let mut config = Self::default();
        let mut faults = Vec::new();
        for (name, value) in root.iter() {
            let path = || ValuePath::default().key(name);
            not_finite(value, &path(), &mut faults);
            secret::check_entry(name, value, &mut faults);
            match name {
                ROUTER => config.router = value.clone(),
                DAEMON => config.monitoring = monitoring::read(value, &mut Notes::new(path(), &mut faults)),
                OUT_OF_BAND => config.out_of_band = value.clone(),
                _ => config.read_task(name, value, &mut faults),
            }
        }
        (config, faults)
    }

    fn read_task(&mut self, name: &str, value: &Value, faults: &mut Vec<PathFault>) {
        let path = ValuePath::default().key(name);
        let task = match TaskName::new(name) {
            Ok(task) => task,
            Err(error) => return faults.push(PathFault { path, reason: error.to_string(), advice: None }),
        };
        let whole = match value {
            Value::Map(map) => map.clone(),
            // A task without settings: `Example2 => undef`, and RON's `Example2: ()`.
            Value::Null => Map::new(),
            other => {
                let reason = format!("a task's config must be a map, this is {}", other.kind());
                return faults.push(PathFault { path, reason, advice: special(name) });
            }
        };
        let framework = Framework::read(&whole, &path, faults);
        let own = own(&whole, &path, faults);
        self.tasks.insert(task, Entry { framework, own, whole });
    }
}

impl Entry {
    /// Where in the config that stands which the task `name` finds at `path` of its own config.
    #[must_use]
    pub fn path_of(&self, name: &TaskName, path: &ValuePath) -> ValuePath {
        let base = ValuePath::default().key(name.as_str());
        match (path.0.first(), self.whole.get(FrameworkKey::Task.name()).and_then(Value::as_map)) {
            (Some(Step::Key(key)), Some(below)) if below.contains_key(key) => {
                path.below(&base.key(FrameworkKey::Task.name()))
            }
            _ => path.below(&base),
        }
    }

    /// `fault`, which the task `name` found in its own config, as a fault of the config.
    #[must_use]
    pub fn fault_of(&self, name: &TaskName, fault: PathFault) -> PathFault {
        PathFault { path: self.path_of(name, &fault.path), ..fault }
    }
}

fn own(whole: &Map, path: &ValuePath, faults: &mut Vec<PathFault>) -> Map {
    let mut own: Map =
        whole.iter().filter(|(key, _)| !is_framework_key(key)).map(|(key, value)| (key, value.clone())).collect();
    let below = whole.get(FrameworkKey::Task.name()).and_then(Value::as_map);
    for (key, value) in below.iter().flat_map(|map| map.iter()) {
        if own.insert(key, value.clone()).is_some() {
            let path = path.key(FrameworkKey::Task.name()).key(key);
            let reason = format!("key {key:?} stands both here and in the entry itself");
            faults.push(PathFault { path, reason, advice: None });
        }
    }
    own
}

/// RON knows `inf` and `NaN`. A config that holds one could not be written as JSON, and NaN would make its task look
/// changed at each reload, for it equals nothing.
fn not_finite(value: &Value, path: &ValuePath, faults: &mut Vec<PathFault>) {
    match value {
        Value::Float(number) if !number.is_finite() => {
            let reason = format!("{number} is no number that a config may hold");
            faults.push(PathFault { path: path.clone(), reason, advice: None });
        }
        Value::List(list) => {
            list.iter().enumerate().for_each(|(index, value)| not_finite(value, &path.index(index), faults));
        }
        Value::Map(map) => map.iter().for_each(|(key, value)| not_finite(value, &path.key(key), faults)),
        _ => {}
    }
}

/// A special entry that a name without a map may have been meant for.
fn special(name: &str) -> Option<String> {
    suggest::advice(name, [ROUTER, DAEMON, OUT_OF_BAND])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    #[test]
    fn entries_are_split_into_the_frameworks_and_the_tasks_own() {
        let router = fields! { routes: Vec::<Value>::new() };
        let root = fields! {
            Example1: fields! { outstr: "howdy", commit_every: 5, task: fields! { queue: "mine" } },
            Example2: Value::Null,
            Router: router.clone(),
            MultiModule: Map::new(),
        };
        let config = Config::read(&root).unwrap();
        let names: Vec<_> = config.tasks.keys().map(TaskName::as_str).collect();
        assert_eq!(names, ["Example1", "Example2"]);
        let entry = &config.tasks["Example1"];
        assert_eq!(entry.own, fields! { outstr: "howdy", queue: "mine" });
        assert_eq!(entry.framework.commit_every, Some(5));
        assert_eq!(config.router, Value::Map(router));
    }

    #[test]
    fn a_fault_of_a_tasks_own_config_leads_to_where_it_stands() {
        let root = fields! { T: fields! { a: 1, task: fields! { queue: 1 } } };
        let config = Config::read(&root).unwrap();
        let name = TaskName::new("T").unwrap();
        let own = ValuePath::default();
        assert_eq!(config.tasks["T"].path_of(&name, &own.key("a").index(1)).to_string(), "T.a[1]");
        assert_eq!(config.tasks["T"].path_of(&name, &own.key("queue")).to_string(), "T.task.queue");
    }

    #[test]
    fn a_number_that_is_not_finite_is_told_wherever_it_stands() {
        let rules = vec![Value::from(1.5), Value::from(f64::NAN)];
        let root = fields! { A: fields! { a: f64::INFINITY, rules: rules }, Router: fields! { b: f64::NEG_INFINITY } };
        let faults = Config::read(&root).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| fault.path.to_string()).collect();
        assert_eq!(told, ["A.a", "A.rules[1]", "Router.b"]);
    }

    #[test]
    fn all_faults_of_all_entries_are_told() {
        let root = fields! {
            "../x": Map::new(),
            Example1: "howdy",
            MultiModule: fields! { threshold: 1, thresholds: 2 },
            T: fields! { delivery: "never", a: 1, task: fields! { a: 2 } },
            routre: 1,
        };
        let faults = Config::read(&root).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| fault.path.to_string()).collect();
        let expected =
            ["../x", "Example1", "MultiModule.threshold", "MultiModule.thresholds", "T.delivery", "T.task.a", "routre"];
        assert_eq!(told, expected);
    }
}
