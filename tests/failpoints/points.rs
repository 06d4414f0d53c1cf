//! The steps: their names from the source, and what makes a process come to each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::run::Run;

/// How a step is written.
const MARK: &str = "failpoint!(\"";
/// The headline above their list.
const HEADLINE: &str = "## Failpoints";

/// The steps of the source.
#[derive(Debug)]
pub(crate) struct Points {
    /// By name, where each stands.
    places: BTreeMap<String, Vec<String>>,
    listed: Vec<String>,
}

/// What makes a process come to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Numbers flow.
    Flow,
    /// A host ends.
    HostEnds,
    /// A host and its keeper end.
    ProcessEnds,
    /// The same for a worker of the pool.
    WorkerEnds,
    /// The daemon ends.
    DaemonEnds,
    /// Tasks move between daemon and hosts.
    Move,
    /// The config changes, and nothing moves: the daemon alone writes files.
    Reload,
    /// A daemon of another program comes, and is asked to renew everything.
    Renew,
    /// Nothing happens for a while.
    Idle,
    /// The machine boots, as far as the queues can tell.
    Reboot,
    /// There is nothing yet.
    FirstStart,
    /// There is nothing yet, and numbers come.
    FirstNumbers,
}

impl Cause {
    /// That of the step `name`, where the counters are `external` or not.
    pub(crate) fn of(name: &str, external: bool) -> Self {
        match name {
            "recovery.first_record_written" | "queue.filled" => return Self::FirstStart,
            "queue.lane_assigned" => return Self::FirstNumbers,
            "recovery.lane_walked" | "recovery.lanes_walked" => return Self::Reboot,
            "segment.idle_ended" => return Self::Idle,
            // An end writes through what the last seconds did not.
            "commit.checkpoint_synced" | "commit.checkpoint_named" | "keeper.asked" => return Self::Move,
            "keeper.record_beside" if !external => return Self::Reload,
            "pool.settled" => return Self::DaemonEnds,
            "pool.taken_over" | "pool.dealt_again" => return Self::WorkerEnds,
            "keeper.ordered"
            | "keeper.locked"
            | "keeper.intent_written"
            | "keeper.host_begun"
            | "keeper.answered"
            | "keeper.forked"
            | "keeper.unseen_end_counted" => return Self::ProcessEnds,
            _ => {}
        }
        match group(name) {
            "recovery" if external => Self::HostEnds,
            "recovery" | "adoption" => Self::DaemonEnds,
            "release" | "migration" => Self::Move,
            "renewal" => Self::Renew,
            "keeper" | "host" => Self::HostEnds,
            _ => Self::Flow,
        }
    }

    /// Whether it takes a pipeline of its own.
    pub(crate) fn is_first(self) -> bool {
        matches!(self, Self::FirstStart | Self::FirstNumbers)
    }
}

/// Whether a process comes to the step `name` in this run.
pub(crate) fn is_of(name: &str, run: Run) -> bool {
    let cause = Cause::of(name, run.external);
    match (group(name), name) {
        // What is delivered, and how, is nothing to them.
        (_, "keeper.record_beside") | ("pool", _) => run.exactly_once,
        ("keeper" | "host" | "adoption" | "renewal", _) => run.external && run.exactly_once,
        // With the other delivery nothing waits for a record.
        (_, "commit.entry_appended" | "commit.outbox_appended") => run.exactly_once,
        _ if cause == Cause::Idle => run.external && run.exactly_once,
        _ => run.exactly_once || !(cause.is_first() || cause == Cause::Reboot),
    }
}

pub(crate) fn group(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

impl Points {
    pub(crate) fn of_the_source() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut places = BTreeMap::new();
        read(&root.join("src"), &mut places);
        let document = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap();
        let section = document.lines().skip_while(|line| *line != HEADLINE).skip(1);
        let section = section.take_while(|line| !line.starts_with("## "));
        let rows = section.filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let listed = rows.map(|(name, _)| name.to_owned()).collect();
        Self { places, listed }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// What is wrong with the names and their list.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, places) in &self.places {
            if places.len() > 1 {
                faults.push(format!("{name} stands in more than one place: {}", places.join(", ")));
            }
            if !self.listed.contains(name) {
                faults.push(format!("{name} of {} is not listed in docs/ARCHITECTURE.md", places[0]));
            }
        }
        let gone = self.listed.iter().filter(|name| !self.places.contains_key(*name));
        faults.extend(gone.map(|name| format!("docs/ARCHITECTURE.md lists {name}, which is nowhere in the source")));
        faults
    }
}

/// Finds the steps in all files below `directory`.
fn read(directory: &Path, places: &mut BTreeMap<String, Vec<String>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, places);
        } else if !path.ends_with("src/failpoint.rs") {
            let text = fs::read_to_string(&path).unwrap();
            for name in text.split(MARK).skip(1).filter_map(|rest| rest.split('"').next()) {
                places.entry(name.to_owned()).or_default().push(path.display().to_string());
            }
        }
    }
}
