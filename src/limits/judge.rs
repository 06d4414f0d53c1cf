//! Who judges the readings of one subject.
//!
//! ```text
//!             reaches another level            alert, once per window
//!   ok ◄──────────────────────────────► warn ◄──► severe ◄──► failsafe ──► trip, once
//!                                                               │  can_failsafe, held for long enough
//!                                 forget ◄──────────────────────┘
//! ```

use std::collections::BTreeMap;

use super::history::{History, Reading};
use super::metric::{Metric, Subject};
use super::rule::{OK, Rule};
use super::thresholds::{Thresholds, Window};
use super::verdict::{Alert, Basis, Trip, Verdict};

/// How many readings are evidence: half of the shorter window, and no more than a person reads.
const MAX_EVIDENCE: usize = 30;

/// Judges the readings of one subject.
///
/// It keeps nothing of metrics without levels, and one stretch of those that do not change: a task that does nothing
/// costs next to nothing.
#[derive(Debug, Clone)]
pub struct Judge {
    name: String,
    subject: Subject,
    tracks: BTreeMap<Metric, Track>,
}

/// What is known of one metric.
#[derive(Debug, Clone, Default)]
struct Track {
    history: History,
    /// The level of each window, with its threshold; none is `ok`.
    levels: [Option<(String, f64)>; Window::ALL.len()],
    above: Option<Above>,
    tripped: bool,
}

/// No reading since `since_ms` was below `threshold`.
#[derive(Debug, Clone, Copy)]
struct Above {
    threshold: f64,
    since_ms: u64,
}

impl Judge {
    /// Of the subject that alerts call `name`.
    #[must_use]
    pub fn new(name: impl Into<String>, subject: Subject) -> Self {
        Self { name: name.into(), subject, tracks: BTreeMap::new() }
    }

    /// What comes of the reading `value` of `metric` at `now_ms`, a time that does not go back: an alert for each window
    /// whose level has changed, and at most one trip, once until the value has fallen or [`Judge::forget`] was called.
    /// A value that is no number, or of a metric that does not apply to the subject, is passed over. The daemon never
    /// trips.
    pub fn next(&mut self, now_ms: u64, metric: Metric, value: f64, thresholds: &Thresholds) -> Vec<Verdict> {
        let rule = thresholds.rule(metric);
        let unused = rule.levels().is_empty() && !self.tracks.contains_key(&metric);
        if unused || !value.is_finite() || !metric.applies_to(self.subject) {
            return Vec::new();
        }
        let track = self.tracks.entry(metric).or_default();
        track.take(now_ms, value, rule, thresholds);
        let averages = Window::ALL.map(|window| track.average(now_ms, window, thresholds));
        let mut verdicts = Vec::new();
        for window in Window::ALL {
            let alert = averages[window as usize].and_then(|average| track.alert(window, average, rule));
            verdicts.extend(alert.map(|alert| Verdict::Alert(alert.of(&self.name, metric, &track.history))));
        }
        if self.subject != Subject::Daemon {
            let trip = track.trip(now_ms, value, averages, rule);
            verdicts.extend(trip.map(|trip| Verdict::Failsafe(trip.of(&self.name, metric, &track.history))));
        }
        if rule.levels().is_empty() {
            self.tracks.remove(&metric);
        }
        verdicts
    }

    /// Drops the readings of `metric`, so that those of before a stop do not count after it. Its levels stay as they
    /// are until there is an average again.
    pub fn forget(&mut self, metric: Metric) {
        if let Some(track) = self.tracks.get_mut(&metric) {
            *track = Track { levels: std::mem::take(&mut track.levels), ..Track::default() };
        }
    }

    /// The level of `metric` in `window`; `ok` below all levels and before there is an average.
    #[must_use]
    pub fn level(&self, metric: Metric, window: Window) -> &str {
        let level = self.tracks.get(&metric).and_then(|track| track.levels[window as usize].as_ref());
        level.map_or(OK, |(name, _)| name)
    }
}

/// An alert that does not know of whom and of what it is.
struct Change {
    window: Window,
    value: f64,
    threshold: f64,
    level: String,
}

/// A trip that does not know of whom and of what it is.
struct Broken {
    basis: Basis,
    value: f64,
    threshold: f64,
    held_ms: u64,
}

impl Track {
    fn take(&mut self, now_ms: u64, value: f64, rule: &Rule, thresholds: &Thresholds) {
        self.history.push(now_ms, value, thresholds.windows());
        let threshold = rule.failsafe_threshold().filter(|threshold| value >= *threshold);
        self.above = threshold.map(|threshold| match self.above {
            // Of another threshold it is not known.
            Some(above) if above.threshold.to_bits() == threshold.to_bits() => above,
            _ => Above { threshold, since_ms: now_ms },
        });
    }

    fn average(&self, now_ms: u64, window: Window, thresholds: &Thresholds) -> Option<f64> {
        self.history.average(now_ms, thresholds.windows().length_ms(window))
    }

    fn alert(&mut self, window: Window, average: f64, rule: &Rule) -> Option<Change> {
        let level = rule.level_of(average);
        let held = &mut self.levels[window as usize];
        if level.map(|level| level.name.as_str()) == held.as_ref().map(|(name, _)| name.as_str()) {
            return None;
        }
        // Where the levels are gone, the one that was left tells what it was about.
        let lowest = rule.levels().first().map(|level| level.threshold);
        let left = held.as_ref().map(|(_, threshold)| *threshold);
        let threshold = level.map(|level| level.threshold).or(lowest).or(left)?;
        *held = level.map(|level| (level.name.clone(), level.threshold));
        Some(Change { window, value: average, threshold, level: level.map_or(OK, |level| &level.name).to_owned() })
    }

    fn trip(&mut self, now_ms: u64, value: f64, averages: [Option<f64>; 2], rule: &Rule) -> Option<Broken> {
        let threshold = rule.failsafe_threshold()?;
        let broken = basis(value, averages, threshold, rule.fast());
        let held_ms = self.above.map_or(0, |above| now_ms.saturating_sub(above.since_ms));
        let has_held = rule.hold().is_none_or(|hold| self.above.is_some() && u128::from(held_ms) >= hold.as_millis());
        let broken = broken.filter(|_| has_held);
        let was_tripped = std::mem::replace(&mut self.tripped, broken.is_some());
        let (basis, value) = broken.filter(|_| !was_tripped)?;
        Some(Broken { basis, value, threshold, held_ms })
    }
}

/// By what `threshold` is reached, and the value that reaches it.
fn basis(value: f64, averages: [Option<f64>; 2], threshold: f64, fast: bool) -> Option<(Basis, f64)> {
    let averages = Window::ALL.map(|window| (Basis::Average(window), averages[window as usize]));
    let candidates = [(Basis::Reading, fast.then_some(value))].into_iter().chain(averages);
    let mut reached = candidates.filter_map(|(basis, value)| Some((basis, value.filter(|value| *value >= threshold)?)));
    reached.next()
}

impl Change {
    fn of(self, name: &str, metric: Metric, history: &History) -> Alert {
        let Self { window, value, threshold, level } = self;
        let (name, readings) = (name.to_owned(), evidence(history));
        Alert { name, window, metric, value, threshold, level, summary: String::new(), readings }.summarized()
    }
}

impl Broken {
    fn of(self, name: &str, metric: Metric, history: &History) -> Trip {
        let Self { basis, value, threshold, held_ms } = self;
        let (name, readings) = (name.to_owned(), evidence(history));
        Trip { name, basis, metric, value, threshold, held_ms, summary: String::new(), readings }.summarized()
    }
}

fn evidence(history: &History) -> Vec<Reading> {
    history.last(MAX_EVIDENCE)
}
