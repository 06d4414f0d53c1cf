//! What should happen next to one external process: pure.
//!
//! ```text
//!            ┌────────────────────── wanted again ───────────────────────┐
//!            ▼                                                           │
//!   Gone ─► Starting ──seen──► Up ──ended──► judged ─┬─► Waiting ─► Starting
//!            │                 ▲                     ├─► Stays      (its policy: it is done)
//!            └─────too late────┼──► judged           └─► Parked ─── cleared ─► Starting
//!                              │
//!   any, not wanted ─► Ending ─┴─ none left ─► Gone
//! ```
//!
//! A keeper restarts its host by itself; what is judged here is the end of both, or of a host without keeper.
//! The table is total: every phase has an answer to everything that may be seen.

use std::time::Duration;

use tokio::time::Instant;

use crate::restart::Decision;

/// How long a keeper that was asked for may take to be there: thousands of times what it needs.
const START: Duration = Duration::from_secs(10);
/// How long an orderly end may take before it is forced: the keeper's own 2 s of grace, and as long for its kills.
pub(super) const END: Duration = Duration::from_secs(4);

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// The keeper lives.
    pub(super) keeper: bool,
    /// The host lives.
    pub(super) host: bool,
    /// It was parked: only a person lets it run again.
    pub(super) parked: bool,
}

/// Where a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing runs, and nothing was tried.
    Gone,
    /// A keeper was asked for.
    Starting {
        /// After this it has failed.
        until: Instant,
    },
    /// It runs, or its keeper is about to start it again.
    Up,
    /// It ended, and starts again later.
    Waiting {
        /// When.
        until: Instant,
    },
    /// It ended, and its policy says that this was all.
    Stays,
    /// It ended too often.
    Parked,
    /// It is being ended.
    Ending {
        /// When more force is used.
        until: Instant,
    },
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Ask the spawner for a keeper.
    Start,
    /// Find out how it ended and what its policy says; the answer is [`judged`].
    Judge,
    /// Ask the keeper, or else the host, to end.
    End,
    /// End keeper, host and all below by force.
    Force,
}

/// The next phase, and what is to be done now.
pub(super) fn next(phase: Phase, seen: Seen, wanted: bool, now: Instant) -> (Phase, Option<Effect>) {
    let alive = seen.keeper || seen.host;
    match phase {
        Phase::Ending { until } if alive && now >= until => (ending(now), Some(Effect::Force)),
        Phase::Ending { .. } if alive => (phase, None),
        // Who is wanted again while it ends begins anew.
        Phase::Ending { .. } => next(Phase::Gone, seen, wanted, now),
        _ if !wanted && alive => (ending(now), Some(Effect::End)),
        _ if !wanted => (Phase::Gone, None),
        _ if alive => (Phase::Up, None),
        _ if seen.parked => (Phase::Parked, None),
        // A person has cleared it.
        Phase::Gone | Phase::Parked => start(now),
        Phase::Waiting { until } if now >= until => start(now),
        Phase::Starting { until } if now < until => (phase, None),
        Phase::Starting { .. } | Phase::Up => (phase, Some(Effect::Judge)),
        Phase::Waiting { .. } | Phase::Stays => (phase, None),
    }
}

/// The next phase of a process that ended and was judged.
pub(super) fn judged(decision: &Decision, now: Instant) -> Phase {
    match decision {
        Decision::StartAt(pause) => Phase::Waiting { until: now + *pause },
        Decision::Stay => Phase::Stays,
        Decision::GiveUp { .. } => Phase::Parked,
    }
}

/// The phase of a process that was asked to end.
pub(super) fn ending(now: Instant) -> Phase {
    Phase::Ending { until: now + END }
}

fn start(now: Instant) -> (Phase, Option<Effect>) {
    (Phase::Starting { until: now + START }, Some(Effect::Start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Seen = Seen { keeper: false, host: false, parked: false };
    const BOTH: Seen = Seen { keeper: true, host: true, parked: false };
    const HOST: Seen = Seen { keeper: false, host: true, parked: false };
    const KEEPER: Seen = Seen { keeper: true, host: false, parked: false };
    const PARKED: Seen = Seen { keeper: false, host: false, parked: true };

    /// What follows, by name: `phase`, and the effect after a slash.
    fn check(phase: Phase, seen: Seen, wanted: bool, after: Duration, expected: &str) {
        let begin = Instant::now();
        let (next, effect) = next(phase, seen, wanted, begin + after);
        let name = format!("{next:?}");
        let name = name.split(' ').next().unwrap();
        let effect = effect.map_or(String::new(), |effect| format!("/{effect:?}"));
        assert_eq!(format!("{name}{effect}"), expected, "{phase:?} {seen:?} {wanted}");
    }

    #[test]
    fn what_is_wanted_and_not_there_is_started_once() {
        let now = Duration::ZERO;
        check(Phase::Gone, NOTHING, true, now, "Starting/Start");
        let starting = Phase::Starting { until: Instant::now() + START };
        check(starting, NOTHING, true, now, "Starting");
        check(starting, KEEPER, true, now, "Up");
        check(starting, NOTHING, true, 2 * START, "Starting/Judge");
    }

    #[test]
    fn what_runs_is_taken_as_it_is() {
        for phase in [Phase::Gone, Phase::Stays, Phase::Parked, Phase::Up] {
            for seen in [BOTH, HOST, KEEPER] {
                check(phase, seen, true, Duration::ZERO, "Up");
            }
        }
    }

    #[test]
    fn what_ended_is_judged_and_not_just_started_again() {
        check(Phase::Up, NOTHING, true, Duration::ZERO, "Up/Judge");
        check(Phase::Stays, NOTHING, true, Duration::ZERO, "Stays");
        let waiting = Phase::Waiting { until: Instant::now() + START };
        check(waiting, NOTHING, true, Duration::ZERO, "Waiting");
        check(waiting, NOTHING, true, 2 * START, "Starting/Start");
    }

    #[test]
    fn what_is_parked_waits_for_a_person() {
        for phase in [Phase::Gone, Phase::Up, Phase::Parked, Phase::Stays] {
            check(phase, PARKED, true, Duration::ZERO, "Parked");
        }
        check(Phase::Parked, NOTHING, true, Duration::ZERO, "Starting/Start");
    }

    #[test]
    fn what_is_not_wanted_is_ended_first_gently_then_by_force() {
        for seen in [BOTH, HOST, KEEPER] {
            check(Phase::Up, seen, false, Duration::ZERO, "Ending/End");
            let ending = Phase::Ending { until: Instant::now() + END };
            check(ending, seen, false, Duration::ZERO, "Ending");
            check(ending, seen, true, Duration::ZERO, "Ending");
            check(ending, seen, false, 2 * END, "Ending/Force");
        }
        let ending = Phase::Ending { until: Instant::now() + END };
        check(ending, NOTHING, false, Duration::ZERO, "Gone");
        check(ending, NOTHING, true, Duration::ZERO, "Starting/Start");
        check(Phase::Parked, PARKED, false, Duration::ZERO, "Gone");
    }
}
