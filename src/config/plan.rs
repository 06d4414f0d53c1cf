//! What a new config changes.

use std::collections::BTreeMap;
use std::fmt;

use super::entries::{Config, Entry};
use crate::name::TaskName;

/// The difference between two configs, each task in exactly one list, every list ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Tasks that only the new config has.
    pub added: Vec<TaskName>,
    /// Tasks whose entries differ.
    pub changed: Vec<TaskName>,
    /// Tasks that only the old config has.
    pub removed: Vec<TaskName>,
    /// Tasks whose entries are equal: nothing may happen to them.
    pub untouched: Vec<TaskName>,
    /// Whether the router's entry differs.
    pub router_changed: bool,
    /// Whether thresholds or windows differ.
    pub monitoring_changed: bool,
    /// Whether the entry of the channels differs.
    pub channels_changed: bool,
}

impl Plan {
    /// What leads from `old` to `new`.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let (kept, added) = names(&new.tasks, |name| old.tasks.contains_key(name));
        let (_, removed) = names(&old.tasks, |name| new.tasks.contains_key(name));
        let same = |name: &TaskName| {
            old.tasks.get(name).map(|entry| &entry.whole) == new.tasks.get(name).map(|entry| &entry.whole)
        };
        let (untouched, changed) = kept.into_iter().partition(same);
        let (router_changed, channels_changed) = (old.router != new.router, old.out_of_band != new.out_of_band);
        let monitoring_changed = old.monitoring != new.monitoring;
        Self { added, changed, removed, untouched, router_changed, monitoring_changed, channels_changed }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let tasks_differ = !(self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty());
        !(tasks_differ || self.router_changed || self.monitoring_changed || self.channels_changed)
    }
}

/// `added A, B; changed C; routes changed; thresholds changed`
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (what, tasks) in [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)] {
            if !tasks.is_empty() {
                let names: Vec<_> = tasks.iter().map(TaskName::as_str).collect();
                parts.push(format!("{what} {}", names.join(", ")));
            }
        }
        if self.router_changed {
            parts.push("routes changed".to_owned());
        }
        if self.monitoring_changed {
            parts.push("thresholds changed".to_owned());
        }
        if self.channels_changed {
            parts.push("channels changed".to_owned());
        }
        f.write_str(&if parts.is_empty() { "nothing changed".to_owned() } else { parts.join("; ") })
    }
}

/// The names of `tasks`, those that are `among` the others first.
fn names(tasks: &BTreeMap<TaskName, Entry>, among: impl Fn(&TaskName) -> bool) -> (Vec<TaskName>, Vec<TaskName>) {
    tasks.keys().cloned().partition(|name| among(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;
    use crate::value::Map;

    fn config(root: Map) -> Config {
        Config::read(&root).unwrap()
    }

    #[test]
    fn each_task_is_added_changed_removed_or_untouched() {
        let old = config(fields! { A: fields! { a: 1 }, B: fields! { b: 1 }, C: Map::new(), Router: Map::new() });
        let new = config(
            fields! { A: fields! { a: 1 }, B: fields! { b: 2 }, D: Map::new(), OutOfBand: Map::new(), Router: fields! { routes: 1 } },
        );
        let name = |text: &str| vec![TaskName::new(text).unwrap()];
        let expected = Plan {
            added: name("D"),
            changed: name("B"),
            removed: name("C"),
            untouched: name("A"),
            router_changed: true,
            monitoring_changed: false,
            channels_changed: true,
        };
        assert_eq!(Plan::between(&old, &new), expected);
        assert_eq!(expected.to_string(), "added D; changed B; removed C; routes changed; channels changed");
        assert!(Plan::between(&new, &new).is_empty());
    }

    #[test]
    fn other_thresholds_or_windows_are_a_change_and_the_same_written_otherwise_are_none() {
        let config = |windows: Map| config(fields! { MultiModule: fields! { windows: windows } });
        let (usual, said) = (config(Map::new()), config(fields! { one_minute: "60s" }));
        assert!(Plan::between(&usual, &said).is_empty());
        let plan = Plan::between(&usual, &config(fields! { one_minute: 3 }));
        assert_eq!((plan.is_empty(), plan.to_string()), (false, "thresholds changed".to_owned()));
    }
}
