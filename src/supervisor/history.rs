//! What happened to tasks and processes, for whoever asks later: a bounded number of events, newest last.
//!
//! Invariant: events are numbered from 1 on without gaps, and the oldest are forgotten first.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::name::TaskName;

/// How many events are kept: a bad day of a hundred tasks, in a few MiB.
pub const EVENTS: usize = 10_000;

/// The longest text of an event, in characters: a sentence with its evidence, but not a config.
const TEXT_CHARACTERS: usize = 1000;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A task, or its process, runs.
    Started,
    /// A process that an earlier daemon started runs on under this one.
    Adopted,
    /// A task, or its process, has ended.
    Ended,
    /// A task got another place.
    Moved,
    /// A person stopped a task.
    Stopped,
    /// A process is not started again until a person clears it.
    Failsafed,
    /// It was cleared.
    Cleared,
    /// A config was applied.
    Applied,
    /// A config was refused, and what ran goes on.
    Refused,
    /// A config failed while it was applied, and what ran before runs again.
    RolledBack,
    /// A person gave a task another state.
    StateSet,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Adopted => "adopted",
            Self::Ended => "ended",
            Self::Moved => "moved",
            Self::Stopped => "stopped",
            Self::Failsafed => "failsafed",
            Self::Cleared => "cleared",
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::RolledBack => "rolled_back",
            Self::StateSet => "state_set",
        })
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Counts up from 1.
    pub number: u64,
    /// When.
    pub time: SystemTime,
    /// The task or process; none where it is the whole.
    pub task: Option<TaskName>,
    /// What.
    pub what: What,
    /// How, in words; at most 1000 characters.
    pub how: String,
    /// Who asked for it, if somebody did.
    pub by: Option<String>,
}

/// The events. Clones are the same history.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    events: VecDeque<Event>,
}

impl History {
    /// Notes that something happened now.
    pub fn note(&self, task: Option<&TaskName>, what: What, how: &str, by: Option<&str>) {
        let mut ring = self.lock();
        ring.last += 1;
        if ring.events.len() == EVENTS {
            ring.events.pop_front();
        }
        let how = how.chars().take(TEXT_CHARACTERS).collect();
        let (number, time) = (ring.last, SystemTime::now());
        ring.events.push_back(Event { number, time, task: task.cloned(), what, how, by: by.map(str::to_owned) });
    }

    /// The events after that of number `after`, oldest first, and how many of them are forgotten.
    #[must_use]
    pub fn after(&self, after: u64) -> (Vec<Event>, u64) {
        let ring = self.lock();
        let first = ring.events.front().map_or(ring.last + 1, |event| event.number);
        let found = ring.events.iter().filter(|event| event.number > after).cloned().collect();
        (found, first.saturating_sub(after.saturating_add(1)))
    }

    /// Which `among` these happened last to this task or process, as far as that is not forgotten. Looks at all events
    /// at worst.
    #[must_use]
    pub fn last_of(&self, task: &TaskName, among: &[What]) -> Option<What> {
        let is_meant = |event: &&Event| event.task.as_ref() == Some(task) && among.contains(&event.what);
        self.lock().events.iter().rev().find(is_meant).map(|event| event.what)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_events_are_kept_and_the_forgotten_ones_counted() {
        let (history, task) = (History::default(), TaskName::new("A").unwrap());
        assert_eq!(history.after(0), (Vec::new(), 0));
        for _ in 0..EVENTS + 3 {
            history.note(Some(&task), What::Started, "x", None);
        }
        let (events, forgotten) = history.after(0);
        assert_eq!((events.len(), forgotten, events[0].number), (EVENTS, 3, 4));
        let (events, forgotten) = history.after(EVENTS as u64 + 2);
        assert_eq!((events.len(), forgotten), (1, 0));
        assert_eq!(history.after(u64::MAX), (Vec::new(), 0));
    }

    #[test]
    fn the_last_of_what_is_asked_for_is_that_of_the_task_alone() {
        let history = History::default();
        let [one, other] = ["A", "B"].map(|name| TaskName::new(name).unwrap());
        for (task, what) in [(&one, What::Failsafed), (&one, What::Ended), (&other, What::Cleared)] {
            history.note(Some(task), what, "x", None);
        }
        let last = |task| history.last_of(task, &[What::Failsafed, What::Cleared]);
        assert_eq!((last(&one), last(&other)), (Some(What::Failsafed), Some(What::Cleared)));
        assert_eq!(history.last_of(&one, &[What::Started]), None);
    }

    #[test]
    fn the_text_of_an_event_is_bounded() {
        let history = History::default();
        history.note(None, What::Refused, &"x".repeat(1 << 20), Some("somebody"));
        assert_eq!(history.after(0).0[0].how.len(), TEXT_CHARACTERS);
    }
}
