//! What comes of a reading.

use std::fmt;

use super::history::Reading;
use super::metric::Metric;
use super::rule::FAILSAFE;
use super::thresholds::Window;

/// What comes of a reading.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A level has changed.
    Alert(Alert),
    /// The task is to be stopped, and to stay so until a person clears it.
    Failsafe(Trip),
}

/// The level of a metric of a subject has changed in a window.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Alert {
    /// The subject's name.
    pub name: String,
    /// In which window.
    pub window: Window,
    /// Of what.
    pub metric: Metric,
    /// The average over the window, in the metric's unit.
    pub value: f64,
    /// The threshold of the level; of `ok` that of the lowest level, which the value is below.
    pub threshold: f64,
    /// The level that holds now; `ok` below all levels.
    pub level: String,
    /// All that in a line: `one_minute: NAME:METRIC: VALUE (THRESHOLD) is LEVEL`.
    pub summary: String,
    /// The last readings, oldest first.
    pub readings: Vec<Reading>,
}

/// By what a limit was found to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// By readings alone.
    Reading,
    /// By the average over this window.
    #[serde(untagged)]
    Average(Window),
}

/// A limit that a task broke, with the evidence.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Trip {
    /// The task's name.
    pub name: String,
    /// By what.
    pub basis: Basis,
    /// Of what.
    pub metric: Metric,
    /// The average, or the reading, in the metric's unit.
    pub value: f64,
    /// The threshold of the level `failsafe`.
    pub threshold: f64,
    /// For how many milliseconds no reading has been below the threshold; 0 if the last one is.
    pub held_ms: u64,
    /// All that in a line: `one_minute: NAME:METRIC: VALUE (THRESHOLD) is failsafe`.
    pub summary: String,
    /// The last readings, oldest first.
    pub readings: Vec<Reading>,
}

/// `reading`, or the window's name.
impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => f.write_str("reading"),
            Self::Average(window) => f.write_str(window.name()),
        }
    }
}

impl Trip {
    pub(super) fn summarized(mut self) -> Self {
        self.summary = summary(self.basis, &self.name, self.metric, self.value, self.threshold, FAILSAFE);
        self
    }
}

impl Alert {
    pub(super) fn summarized(mut self) -> Self {
        let basis = Basis::Average(self.window);
        self.summary = summary(basis, &self.name, self.metric, self.value, self.threshold, &self.level);
        self
    }
}

fn summary(basis: Basis, name: &str, metric: Metric, value: f64, threshold: f64, level: &str) -> String {
    format!("{basis}: {name}:{metric}: {} ({}) is {level}", shown(value), shown(threshold))
}

/// How many digits of a value count: as many as tell a level from its neighbour.
const DIGITS: i32 = 4;

/// `value` with four digits, and with all those before its point; `1.617`, `0.01`, `18603324`.
fn shown(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    #[expect(clippy::cast_possible_truncation, reason = "logarithms of numbers lie between -324 and 309")]
    let before = value.abs().log10().floor() as i32 + 1;
    let decimals = usize::try_from(DIGITS - before).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_with_the_digits_that_count() {
        let cases = [
            (0.0, "0"),
            (1.9, "1.9"),
            (1.61744, "1.617"),
            (0.01, "0.01"),
            (1.0 / 60.0, "0.01667"),
            (100.0, "100"),
            (150.25, "150.2"),
            (18_603_324.4, "18603324"),
            (-0.5, "-0.5"),
            (9_999.96, "10000"),
            (f64::NAN, "NaN"),
        ];
        for (value, expected) in cases {
            assert_eq!(shown(value), expected);
        }
        assert!(shown(f64::MIN_POSITIVE).len() < 400 && shown(f64::MAX).len() < 400);
    }

    #[test]
    fn a_basis_is_written_as_its_name() {
        let written =
            [Basis::Reading, Basis::Average(Window::OneMinute)].map(|basis| serde_json::to_string(&basis).unwrap());
        assert_eq!(written, ["\"reading\"", "\"one_minute\""]);
    }
}
