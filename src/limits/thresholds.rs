//! The rules and windows that hold now.
//!
//! It is a value: a new config makes a new one, and whoever judges is handed the one that holds.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::metric::Metric;
use super::overrides::Overrides;
use super::rule::Rule;

/// The shortest window: at one reading a second it holds the three points that an average needs.
pub const MIN_WINDOW: Duration = Duration::from_secs(3);

/// One of the two spans of time that readings are averaged over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The shorter one; a minute if nobody says otherwise.
    OneMinute,
    /// The longer one; five minutes if nobody says otherwise.
    FiveMinutes,
}

impl Window {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OneMinute, Self::FiveMinutes];

    /// The window as it is written, whatever its length.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneMinute => "one_minute",
            Self::FiveMinutes => "five_minutes",
        }
    }
}

/// Its name.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long the windows are.
///
/// Invariant: none is below [`MIN_WINDOW`], and the first is not longer than the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    one_minute: Duration,
    five_minutes: Duration,
}

/// Why times make no windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Too short for an average.
    #[error("a window is at least {} s long: an average takes three readings, and there is one a second", MIN_WINDOW.as_secs())]
    TooShort(Window),
    /// The longer one is the shorter one.
    #[error("{} is longer than {}", Window::OneMinute, Window::FiveMinutes)]
    Crossed,
}

impl Windows {
    /// Windows of these lengths.
    ///
    /// # Errors
    /// All that makes no sense.
    pub fn new(one_minute: Duration, five_minutes: Duration) -> Result<Self, Vec<WindowError>> {
        let mut errors = Vec::new();
        for (window, length) in [(Window::OneMinute, one_minute), (Window::FiveMinutes, five_minutes)] {
            if length < MIN_WINDOW {
                errors.push(WindowError::TooShort(window));
            }
        }
        if one_minute > five_minutes && errors.is_empty() {
            errors.push(WindowError::Crossed);
        }
        if errors.is_empty() { Ok(Self { one_minute, five_minutes }) } else { Err(errors) }
    }

    /// How long `window` is.
    #[must_use]
    pub fn length(&self, window: Window) -> Duration {
        match window {
            Window::OneMinute => self.one_minute,
            Window::FiveMinutes => self.five_minutes,
        }
    }

    /// The same in milliseconds.
    pub(super) fn length_ms(&self, window: Window) -> u64 {
        u64::try_from(self.length(window).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self { one_minute: Duration::from_secs(60), five_minutes: Duration::from_secs(300) }
    }
}

/// The rules of all metrics, and the windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds {
    rules: BTreeMap<Metric, Rule>,
    windows: Windows,
}

impl Thresholds {
    /// What holds on a machine with `cpus` processors if nobody says otherwise.
    #[must_use]
    pub fn defaults(cpus: NonZeroUsize) -> Self {
        Self::new(cpus, &Overrides::default())
    }

    /// What holds there with what a config says.
    #[must_use]
    pub fn new(cpus: NonZeroUsize, overrides: &Overrides) -> Self {
        let rules = Metric::ALL.into_iter().map(|metric| (metric, overrides.rule(metric, cpus)));
        Self { rules: rules.collect(), windows: overrides.windows }
    }

    /// The rule of `metric`.
    #[must_use]
    pub fn rule(&self, metric: Metric) -> &Rule {
        &self.rules[&metric]
    }

    /// The windows.
    #[must_use]
    pub fn windows(&self) -> &Windows {
        &self.windows
    }
}
