//! Levels of what tasks use up: which readings raise an alert, and which stop a task.
//!
//! ```text
//!   config ─► Overrides ─┐
//!   processors ──────────┴─► Thresholds ─┐            (a new one with each config)
//!   counter ─► Rate ─┐                   │
//!   gauge ───────────┴─► reading ─► Judge::next ─► Verdict::Alert     the level of a window has changed
//!                                    │  ▲          Verdict::Failsafe  stop it, with the evidence
//!                                    ▼  │
//!                                   History, one for each metric
//! ```
//!
//! Invariant: a verdict follows from the readings, their times and the thresholds alone.
//!
//! It measures nothing, stops nobody and reads no clock.

mod history;
mod judge;
mod metric;
mod overrides;
mod rate;
mod rule;
mod thresholds;
mod verdict;

#[cfg(test)]
mod tests;

pub use history::{History, Reading};
pub use judge::Judge;
pub use metric::{Metric, Subject, Unit};
pub use overrides::{Override, Overrides};
pub use rate::Rate;
pub use rule::{FAILSAFE, Level, MAX_LEVELS, OK, Rule, RuleError, RuleFault};
pub use thresholds::{MIN_WINDOW, Thresholds, Window, WindowError, Windows};
pub use verdict::{Alert, Basis, Trip, Verdict};
