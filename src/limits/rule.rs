//! The rule of one metric: its levels, and what its highest one takes to stop a task.
//!
//! Invariant: a rule that exists makes sense, for it is checked when it is made: its levels ascend, none stands twice,
//! `failsafe` is the highest, and what may stop a task has that level.

use std::time::Duration;

/// What holds below all levels.
pub const OK: &str = "ok";

/// The level that stops a task, where it may.
pub const FAILSAFE: &str = "failsafe";

/// The most levels of a metric: more than anybody tells apart.
pub const MAX_LEVELS: usize = 16;

/// The longest name of a level in bytes: it stands in a line of every alert.
const MAX_LEVEL_NAME_BYTES: usize = 64;

/// A level: it is reached by values from its threshold on.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Its name: `warn`, `severe`, [`FAILSAFE`], or what a person calls it.
    pub name: String,
    /// The lowest value that reaches it, in the metric's unit; above 0.
    pub threshold: f64,
}

/// The rule of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    levels: Vec<Level>,
    can_failsafe: bool,
    hold: Option<Duration>,
    fast: bool,
}

/// What makes no sense in a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleFault {
    /// The level, counted from 0 as they are written; none if it is the rule itself.
    pub level: Option<usize>,
    /// What is wrong.
    pub error: RuleError,
}

/// Why something makes no rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// A threshold that every value reaches, or none.
    #[error("a threshold is a number above 0, this one is {0}")]
    Threshold(f64),
    /// It is not above the one before it.
    #[error("levels out of order: {name:?} at {threshold} is not above {before:?} at {below}")]
    Order {
        /// The level.
        name: String,
        /// Its threshold.
        threshold: f64,
        /// The level before it.
        before: String,
        /// The threshold of that.
        below: f64,
    },
    /// Another level has its name.
    #[error("level {0:?} stands here twice")]
    Twice(String),
    /// A level without a name, or with one that does not fit into a line.
    #[error("the name of a level has 1 to {MAX_LEVEL_NAME_BYTES} bytes and no control characters")]
    Name,
    /// The name of no level.
    #[error("{OK:?} is what holds below all levels, and no level")]
    Ok,
    /// Levels above the one that stops the task.
    #[error("{FAILSAFE:?} must be the highest level")]
    FailsafeNotLast,
    /// Nothing to stop it at.
    #[error("can_failsafe needs a level {FAILSAFE:?}")]
    NoFailsafe,
    /// More than anybody tells apart.
    #[error("a metric has at most {MAX_LEVELS} levels, this one has {0}")]
    TooMany(usize),
}

impl Rule {
    /// A rule of these parts; see the getters for what they mean. The levels stand from the lowest to the highest, or
    /// the other way round if their names say so: `failsafe` first, or `severe` before `warn`.
    ///
    /// # Errors
    /// All that makes no sense.
    pub fn new(
        levels: Vec<Level>,
        can_failsafe: bool,
        hold: Option<Duration>,
        fast: bool,
    ) -> Result<Self, Vec<RuleFault>> {
        let mut faults = faults_of(&levels);
        if can_failsafe && !levels.iter().any(|level| level.name == FAILSAFE) {
            faults.push(RuleFault { level: None, error: RuleError::NoFailsafe });
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let levels = if highest_first(&levels) { levels.into_iter().rev().collect() } else { levels };
        Ok(Self { levels, can_failsafe, hold, fast })
    }

    /// The levels, the lowest first.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Whether the level [`FAILSAFE`] stops a task.
    #[must_use]
    pub fn can_failsafe(&self) -> bool {
        self.can_failsafe
    }

    /// How long no reading may have been below the level [`FAILSAFE`] before it stops a task.
    #[must_use]
    pub fn hold(&self) -> Option<Duration> {
        self.hold
    }

    /// Whether readings alone stop a task, without an average over a window.
    #[must_use]
    pub fn fast(&self) -> bool {
        self.fast
    }

    /// The highest level that `value` reaches.
    #[must_use]
    pub fn level_of(&self, value: f64) -> Option<&Level> {
        self.levels.iter().rev().find(|level| value >= level.threshold)
    }

    /// From which value on it stops a task, if it may.
    #[must_use]
    pub fn failsafe_threshold(&self) -> Option<f64> {
        let last = self.levels.last().filter(|level| self.can_failsafe && level.name == FAILSAFE);
        last.map(|level| level.threshold)
    }
}

fn faults_of(levels: &[Level]) -> Vec<RuleFault> {
    if levels.len() > MAX_LEVELS {
        return vec![RuleFault { level: None, error: RuleError::TooMany(levels.len()) }];
    }
    let mut order: Vec<usize> = (0..levels.len()).collect();
    if highest_first(levels) {
        order.reverse();
    }
    let mut faults = Vec::new();
    for (at, &index) in order.iter().enumerate() {
        let below = at.checked_sub(1).map(|at| &levels[order[at]]);
        let mut note = |error| faults.push(RuleFault { level: Some(index), error });
        level_faults(&levels[index], below, &mut note);
        if levels[..index].iter().any(|other| other.name == levels[index].name) {
            note(RuleError::Twice(levels[index].name.clone()));
        } else if levels[index].name == FAILSAFE && at + 1 < order.len() {
            note(RuleError::FailsafeNotLast);
        }
    }
    faults
}

fn level_faults(level: &Level, below: Option<&Level>, note: &mut impl FnMut(RuleError)) {
    let Level { name, threshold } = level;
    if !(1..=MAX_LEVEL_NAME_BYTES).contains(&name.len()) || name.contains(char::is_control) {
        note(RuleError::Name);
    } else if name == OK {
        note(RuleError::Ok);
    }
    // A threshold of 0 is reached by a task that does nothing.
    if !threshold.is_finite() || *threshold <= 0.0 {
        return note(RuleError::Threshold(*threshold));
    }
    if let Some(below) = below.filter(|below| below.threshold >= *threshold) {
        let (name, before) = (name.clone(), below.name.clone());
        note(RuleError::Order { name, threshold: *threshold, before, below: below.threshold });
    }
}

/// Whether `levels` stand as the original's own did, by the names whose order is known.
fn highest_first(levels: &[Level]) -> bool {
    let place = |name: &str| levels.iter().position(|level| level.name == name);
    match (place(FAILSAFE), place("severe"), place("warn")) {
        (Some(failsafe), ..) => failsafe == 0 && levels.len() > 1,
        (None, Some(severe), Some(warn)) => severe < warn,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(levels: &[(&str, f64)]) -> Vec<Level> {
        levels.iter().map(|(name, threshold)| Level { name: (*name).to_owned(), threshold: *threshold }).collect()
    }

    fn told(written: &[(&str, f64)], can_failsafe: bool) -> Vec<String> {
        let faults = Rule::new(levels(written), can_failsafe, None, false).err().unwrap_or_default();
        let at = |fault: &RuleFault| fault.level.map_or("-".to_owned(), |level| level.to_string());
        faults.iter().map(|fault| format!("{}: {}", at(fault), fault.error)).collect()
    }

    #[test]
    fn a_level_is_reached_from_its_threshold_on() {
        let rule = Rule::new(levels(&[("warn", 1.0), ("failsafe", 2.0)]), true, None, false).unwrap();
        let level_of = |value| rule.level_of(value).map(|level| level.name.as_str());
        assert_eq!([0.99, 1.0, 1.99, 2.0].map(level_of), [None, Some("warn"), Some("warn"), Some("failsafe")]);
        assert_eq!(rule.failsafe_threshold(), Some(2.0));
    }

    #[test]
    fn levels_may_stand_from_the_highest_to_the_lowest_as_the_original_wrote_them() {
        for written in [&[("failsafe", 0.95), ("severe", 0.8), ("warn", 0.6)][..], &[("severe", 0.1), ("warn", 0.01)]] {
            let rule = Rule::new(levels(written), false, None, false).unwrap();
            assert!(rule.levels().is_sorted_by(|a, b| a.threshold < b.threshold), "{rule:?}");
        }
    }

    /// Levels, `can_failsafe`, and what is told.
    type Case = (&'static [(&'static str, f64)], bool, &'static [&'static str]);

    #[test]
    fn what_makes_no_sense_is_told_with_its_level() {
        let cases: [Case; 13] = [
            (&[("warn", -1.0)], false, &["0: a threshold is a number above 0, this one is -1"]),
            (&[("warn", 0.0)], false, &["0: a threshold is a number above 0, this one is 0"]),
            (&[("warn", f64::NAN)], false, &["0: a threshold is a number above 0, this one is NaN"]),
            (&[("warn", f64::INFINITY)], false, &["0: a threshold is a number above 0, this one is inf"]),
            (
                &[("warn", 2.0), ("severe", 1.0)],
                false,
                &["1: levels out of order: \"severe\" at 1 is not above \"warn\" at 2"],
            ),
            (&[("a", 1.0), ("b", 1.0)], false, &["1: levels out of order: \"b\" at 1 is not above \"a\" at 1"]),
            (
                &[("severe", 1.0), ("warn", 2.0)],
                false,
                &["0: levels out of order: \"severe\" at 1 is not above \"warn\" at 2"],
            ),
            (&[("a", 1.0), ("a", 2.0)], false, &["1: level \"a\" stands here twice"]),
            (&[("", 1.0)], false, &["0: the name of a level has 1 to 64 bytes and no control characters"]),
            (&[("ok", 1.0)], false, &["0: \"ok\" is what holds below all levels, and no level"]),
            (&[("a", 1.0), ("failsafe", 2.0), ("b", 3.0)], true, &["1: \"failsafe\" must be the highest level"]),
            (&[("warn", 1.0)], true, &["-: can_failsafe needs a level \"failsafe\""]),
            (&[], true, &["-: can_failsafe needs a level \"failsafe\""]),
        ];
        for (written, can_failsafe, expected) in cases {
            assert_eq!(told(written, can_failsafe), expected, "{written:?}");
        }
        assert_eq!(told(&[("a", 1.0); MAX_LEVELS + 1], false), ["-: a metric has at most 16 levels, this one has 17"]);
        assert_eq!(told(&[], false), [""; 0]);
    }
}
