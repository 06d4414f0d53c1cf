//! What a task has done, as whoever runs it counts it.

use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a task has done in one process, since it was made there; or the sum of several such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Messages that it handled, failed ones too.
    pub handled: u64,
    /// Messages whose handling failed.
    pub failed: u64,
    /// Messages that it emitted.
    pub emitted: u64,
    /// How long it had its thread.
    pub busy: Duration,
    /// How often it could not be made, or ended by a fault of its own.
    pub unmade: u64,
}

impl Counts {
    /// What came since `before`. A count that shows less than it did began again at 0, as that of a task does which was
    /// made anew.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let grown = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        Self {
            handled: grown(self.handled, before.handled),
            failed: grown(self.failed, before.failed),
            emitted: grown(self.emitted, before.emitted),
            busy: self.busy.checked_sub(before.busy).unwrap_or(self.busy),
            unmade: grown(self.unmade, before.unmade),
        }
    }
}

/// A sum that no number holds is the highest: what another process says may be anything.
impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.handled = self.handled.saturating_add(more.handled);
        self.failed = self.failed.saturating_add(more.failed);
        self.emitted = self.emitted.saturating_add(more.emitted);
        self.busy = self.busy.saturating_add(more.busy);
        self.unmade = self.unmade.saturating_add(more.unmade);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(handled: u64, failed: u64, busy_ms: u64) -> Counts {
        Counts { handled, failed, busy: Duration::from_millis(busy_ms), ..Counts::default() }
    }

    #[test]
    fn a_count_that_began_again_counts_from_0() {
        assert_eq!(counts(12, 3, 50).since(&counts(10, 3, 20)), counts(2, 0, 30));
        assert_eq!(counts(12, 1, 5).since(&counts(10, 3, 20)), counts(2, 1, 5));
    }

    #[test]
    fn what_came_since_adds_up_to_all() {
        let (mut sum, readings) = (Counts::default(), [counts(5, 1, 10), counts(9, 2, 30), counts(2, 0, 4)]);
        let mut before = Counts::default();
        for reading in readings {
            sum += reading.since(&before);
            before = reading;
        }
        assert_eq!(sum, counts(11, 2, 34));
    }

    #[test]
    fn a_count_that_is_absurd_is_the_highest_and_no_panic() {
        let most = u64::MAX;
        let absurd = Counts { handled: most, failed: most, emitted: most, busy: Duration::MAX, unmade: most };
        let mut sum = absurd;
        sum += absurd;
        sum += counts(1, 1, 1);
        assert_eq!(sum, absurd);
    }
}
