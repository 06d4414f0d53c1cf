//! What follows an end.
//!
//! Invariant: the same inputs give the same decision; an end that was asked for is never answered by a start and is
//! never counted.
//!
//! The backoff needs no reset of its own: a host that lived longer than the window has left all earlier ends behind
//! the window, so its end is the first again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::{Backoff, MAX_BUDGET, Policy, When};

/// An end that nobody asked for, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnaskedEnd {
    /// When, in milliseconds of a clock that is never set back (the time since boot).
    pub at_ms: u64,
    /// When, in milliseconds since 1970: for people.
    pub unix_ms: i64,
    /// How, in words: for people.
    pub how: String,
}

/// The end that has just been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Whether somebody asked for it.
    pub asked: bool,
    /// Whether it was anything but exit code 0.
    pub failed: bool,
}

/// What to do about an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Start again, this long after the end.
    StartAt(Duration),
    /// Leave it ended: it was asked for, or the policy says so.
    Stay,
    /// Park it: more ends than the budget takes.
    GiveUp {
        /// How many unasked ends there were, this one included.
        ends: u32,
        /// Within how long.
        within: Duration,
    },
}

/// Decides what follows `end`, which has been at `now_ms`; `earlier` are the unasked ends before it, in any order.
/// `random` is drawn evenly from all of its range: the jitter comes from it.
#[must_use]
pub fn decide(policy: &Policy, earlier: &[UnaskedEnd], end: End, now_ms: u64, random: u64) -> Decision {
    let starts = match policy.when() {
        When::Always => true,
        When::OnFailure => end.failed,
        When::Never => false,
    };
    if end.asked || !starts {
        return Decision::Stay;
    }
    let budget = policy.budget();
    let before = earlier.iter().filter(|end| in_window(end, budget.within_ms, now_ms)).count();
    let ends = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
    if ends > budget.max {
        return Decision::GiveUp { ends, within: budget.within() };
    }
    Decision::StartAt(pause(policy.backoff(), ends, random))
}

/// Forgets the ends that no decision at `now_ms` or later looks at: those before the window, and of the rest all but
/// the newest [`MAX_BUDGET`], for one more than that parks under every policy.
pub fn keep_in_window(policy: &Policy, ends: &mut Vec<UnaskedEnd>, now_ms: u64) {
    ends.retain(|end| in_window(end, policy.budget().within_ms, now_ms));
    let excess = ends.len().saturating_sub(MAX_BUDGET as usize);
    ends.drain(..excess);
}

/// What lies in the future is of another clock, and does not count.
fn in_window(end: &UnaskedEnd, within_ms: u64, now_ms: u64) -> bool {
    now_ms.checked_sub(end.at_ms).is_some_and(|age| age <= within_ms)
}

/// The pause after the `ends`-th end: doubled for each, capped, then moved by up to 20 % either way, so that hosts
/// that ended together do not start together.
fn pause(backoff: Backoff, ends: u32, random: u64) -> Duration {
    let doublings = ends.saturating_sub(1).min(63);
    let plain = backoff.first_ms.saturating_mul(1 << doublings).min(backoff.max_ms);
    let permille = 800 + random % 401;
    Duration::from_micros(plain.saturating_mul(permille))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::restart::Budget;

    const FAILED: End = End { asked: false, failed: true };
    const WELL: End = End { asked: false, failed: false };
    /// No jitter: 1000 permille.
    const MIDDLE: u64 = 200;

    fn policy(when: When, max: u32) -> Policy {
        Policy::new(when, Backoff::default(), Budget { max, within_ms: 60_000 }).unwrap()
    }

    fn ends(times: &[u64]) -> Vec<UnaskedEnd> {
        times.iter().map(|at_ms| UnaskedEnd { at_ms: *at_ms, unix_ms: 0, how: String::new() }).collect()
    }

    fn start(ms: u64) -> Decision {
        Decision::StartAt(Duration::from_millis(ms))
    }

    #[test]
    fn the_policy_says_which_ends_are_answered_by_a_start() {
        for (when, end, expected) in [
            (When::Always, FAILED, start(100)),
            (When::Always, WELL, start(100)),
            (When::OnFailure, FAILED, start(100)),
            (When::OnFailure, WELL, Decision::Stay),
            (When::Never, FAILED, Decision::Stay),
            (When::Always, End { asked: true, failed: true }, Decision::Stay),
        ] {
            assert_eq!(decide(&policy(when, 3), &[], end, 1000, MIDDLE), expected, "{when:?} {end:?}");
        }
    }

    #[test]
    fn one_end_more_than_the_budget_within_the_window_parks() {
        let policy = policy(When::Always, 3);
        let give_up = Decision::GiveUp { ends: 4, within: Duration::from_secs(60) };
        for (earlier, now, expected) in [
            (vec![], 100_000, start(100)),
            (vec![99_000], 100_000, start(200)),
            (vec![98_000, 99_000], 100_000, start(400)),
            (vec![97_000, 98_000, 99_000], 100_000, give_up),
            (vec![40_000, 98_000, 99_000], 100_000, give_up),
            (vec![39_999, 98_000, 99_000], 100_000, start(400)),
            (vec![100_001, 98_000, 99_000], 100_000, start(400)),
        ] {
            assert_eq!(decide(&policy, &ends(&earlier), FAILED, now, MIDDLE), expected, "{earlier:?}");
        }
        let none = Policy::new(When::Always, Backoff::default(), Budget { max: 0, within_ms: 1000 }).unwrap();
        assert!(matches!(decide(&none, &[], FAILED, 1, 0), Decision::GiveUp { ends: 1, .. }));
    }

    #[test]
    fn the_backoff_begins_anew_after_a_life_longer_than_the_window() {
        let policy = policy(When::Always, 3);
        let earlier = ends(&[1000, 2000, 3000]);
        assert_eq!(decide(&policy, &earlier, FAILED, 3000 + 60_001, MIDDLE), start(100));
    }

    #[test]
    fn the_backoff_doubles_up_to_its_cap_and_moves_by_a_fifth_at_most() {
        let policy = policy(When::Always, MAX_BUDGET);
        let earlier = ends(&vec![1000; 500]);
        for (count, plain) in [(0, 100), (4, 1600), (8, 25_600), (9, 30_000), (70, 30_000), (500, 30_000)] {
            assert_eq!(decide(&policy, &earlier[..count], FAILED, 1000, MIDDLE), start(plain), "{count}");
            assert_eq!(decide(&policy, &earlier[..count], FAILED, 1000, 0), start(plain * 4 / 5), "{count}");
            assert_eq!(decide(&policy, &earlier[..count], FAILED, 1000, 400), start(plain * 6 / 5), "{count}");
        }
    }

    proptest! {
        #[test]
        fn what_is_forgotten_changes_no_later_decision(
            times in proptest::collection::vec(0_u64..200_000, 0..20),
            max in 0_u32..6, now in 0_u64..200_000, later in 0_u64..100_000, random: u64,
        ) {
            let policy = policy(When::Always, max);
            // The clock goes forward: nothing that is remembered lies ahead of it.
            let earlier = ends(&times.into_iter().filter(|at| *at <= now).collect::<Vec<_>>());
            let mut kept = earlier.clone();
            keep_in_window(&policy, &mut kept, now);
            let at = now + later;
            prop_assert_eq!(
                decide(&policy, &kept, FAILED, at, random), decide(&policy, &earlier, FAILED, at, random)
            );
        }
    }
}
