//! What happened in a run, in numbers; printed at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::place::Place;
use crate::plan::Kind;

/// So many kinds of error lines are shown.
const SHOWN: usize = 12;

/// The numbers of a run.
#[derive(Debug, Default)]
pub(crate) struct Score {
    name: &'static str,
    /// How long the storm lasted, and how long it took to become quiet after it.
    pub(crate) storm: Duration,
    pub(crate) quiet: Duration,
    pub(crate) kills: BTreeMap<Kind, u64>,
    pub(crate) flips: u64,
    pub(crate) reloads: u64,
    pub(crate) daemon_starts: u64,
    /// How many hosts and keepers were seen.
    pub(crate) hosts: usize,
    pub(crate) keepers: usize,
    /// Messages that were handed to each stateful task.
    pub(crate) handled: BTreeMap<String, u64>,
    /// Numbers that came out, by sender.
    pub(crate) out: BTreeMap<String, i64>,
    adoptions: usize,
    /// What ended otherwise than by a kill of ours.
    pub(crate) ends: Vec<String>,
    /// Error lines, without their numbers, and how often each came.
    errors: BTreeMap<String, usize>,
}

impl Score {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    pub(crate) fn all_kills(&self) -> u64 {
        self.kills.values().sum()
    }

    pub(crate) fn all_handled(&self) -> u64 {
        self.handled.values().sum()
    }

    /// Counts what the daemon has printed, its hosts' lines included.
    pub(crate) fn read_lines(&mut self, place: &Place) {
        for line in place.printed().lines() {
            self.adoptions += usize::from(line.contains(": adopted"));
            if line.contains("ERROR") || line.contains("panicked") {
                *self.errors.entry(kind_of(line)).or_default() += 1;
            }
        }
    }
}

/// A line without what differs each time: from its level on, each number as `#`.
fn kind_of(line: &str) -> String {
    let text = &line[line.find("ERROR").unwrap_or(0)..];
    let mut kind = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' if kind.ends_with('#') => {}
            '0'..='9' => kind.push('#'),
            other => kind.push(other),
        }
    }
    kind
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.storm.as_secs_f64();
        let (kills, handled) = (self.all_kills(), self.all_handled());
        let quiet = self.quiet.as_secs_f64();
        writeln!(f, "{}: {seconds:.1} s of storm, quiet {quiet:.1} s after it", self.name)?;
        writeln!(f, "  kills {kills}: {:?}; flips {}, reloads {}", self.kills, self.flips, self.reloads)?;
        let (daemons, hosts, keepers, adoptions) = (self.daemon_starts, self.hosts, self.keepers, self.adoptions);
        writeln!(f, "  daemons {daemons}, hosts {hosts}, keepers {keepers}, adoptions {adoptions}")?;
        let rate = handled as f64 / (seconds + quiet);
        writeln!(f, "  messages handled {handled}, {rate:.0}/s: {:?}", self.handled)?;
        writeln!(f, "  numbers that came out: {:?}", self.out)?;
        for end in &self.ends {
            writeln!(f, "  {end}")?;
        }
        let mut errors: Vec<_> = self.errors.iter().collect();
        errors.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (kind, count) in errors.iter().take(SHOWN) {
            writeln!(f, "  {count} x {kind}")?;
        }
        Ok(())
    }
}
