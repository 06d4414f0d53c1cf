//! What a restart policy says. Its written form is part of records on disk: fields are only ever added.
//!
//! Invariant: a policy that exists keeps its limits, for it is checked when it is made and when it is read.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The largest `max` of a budget: as many ends are remembered, each with its words, in a small record.
pub const MAX_BUDGET: u32 = 1000;

/// The longest time that a policy may name: a year, far from where sums of milliseconds overflow.
const MAX_TIME_MS: u64 = 366 * 24 * 3600 * 1000;

/// After which ends a host is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// After every end that nobody asked for.
    #[default]
    Always,
    /// After a signal and after every exit code but 0.
    OnFailure,
    /// After none.
    Never,
}

/// How long to wait before a start: `first`, then twice as long for each further end within the budget's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Before the first new start, in milliseconds.
    pub first_ms: u64,
    /// At most, in milliseconds.
    pub max_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first_ms: 100, max_ms: 30_000 }
    }
}

/// How many unasked ends within how long are taken; one more parks the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// This many ends are answered by a start; at most [`MAX_BUDGET`].
    pub max: u32,
    /// The window, in milliseconds.
    pub within_ms: u64,
}

impl Budget {
    /// The window.
    #[must_use]
    pub fn within(&self) -> Duration {
        Duration::from_millis(self.within_ms)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { max: 3, within_ms: 60_000 }
    }
}

/// When an ended host is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Policy {
    when: When,
    backoff: Backoff,
    budget: Budget,
}

/// Why settings make no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// More ends than are remembered.
    #[error("a restart budget has a `max` of at most {MAX_BUDGET}, this one has {0}")]
    Budget(u32),
    /// A time that is longer than a year.
    #[error("a restart policy names times up to 366 days, not {0} ms")]
    Time(u64),
}

impl Policy {
    /// A policy of these parts.
    ///
    /// # Errors
    /// [`PolicyError`]: the budget is larger than [`MAX_BUDGET`], or a time is longer than 366 days.
    pub fn new(when: When, backoff: Backoff, budget: Budget) -> Result<Self, PolicyError> {
        if budget.max > MAX_BUDGET {
            return Err(PolicyError::Budget(budget.max));
        }
        let times = [backoff.first_ms, backoff.max_ms, budget.within_ms];
        match times.into_iter().find(|time| *time > MAX_TIME_MS) {
            Some(time) => Err(PolicyError::Time(time)),
            None => Ok(Self { when, backoff, budget }),
        }
    }

    /// After which ends.
    #[must_use]
    pub fn when(&self) -> When {
        self.when
    }

    /// How long to wait.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// How many ends.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.budget
    }
}

/// A policy as it is written, before its check.
#[derive(Deserialize)]
struct Unchecked {
    #[serde(default)]
    when: When,
    #[serde(default)]
    backoff: Backoff,
    #[serde(default)]
    budget: Budget,
}

impl TryFrom<Unchecked> for Policy {
    type Error = PolicyError;

    fn try_from(unchecked: Unchecked) -> Result<Self, PolicyError> {
        Self::new(unchecked.when, unchecked.backoff, unchecked.budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_written_in_one_form_that_does_not_change() {
        let text = "(when:always,backoff:(first_ms:100,max_ms:30000),budget:(max:3,within_ms:60000))";
        assert_eq!(ron::to_string(&Policy::default()).unwrap(), text);
        assert_eq!(ron::from_str::<Policy>(text).unwrap(), Policy::default());
        assert_eq!(ron::from_str::<Policy>("()").unwrap(), Policy::default());
    }

    #[test]
    fn a_policy_beyond_its_limits_is_refused_also_when_it_is_read() {
        let budget = Budget { max: 1001, within_ms: 1 };
        assert_eq!(Policy::new(When::Always, Backoff::default(), budget), Err(PolicyError::Budget(1001)));
        let text = ron::from_str::<Policy>("(budget:(max:1001,within_ms:1))").unwrap_err().to_string();
        assert!(text.contains("at most 1000"), "{text}");
        assert!(ron::from_str::<Policy>("(budget:(max:1,within_ms:99999999999999))").is_err());
    }
}
