//! What a config says about starting an ended process again.
//!
//! Plain data: what is not said is `None`, and what then holds is for whoever restarts processes to say.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::notes::Notes;
use crate::value::Value;

/// How many ends a budget counts: from giving up at the second end to what is as good as never, for the time of each
/// is kept.
const BUDGETS: RangeInclusive<u32> = 1..=1000;

/// After which ends a process is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartWhen {
    /// After any that nobody asked for.
    Always,
    /// After one with another code than 0, or by a signal.
    OnFailure,
    /// After none.
    Never,
}

/// A task's `restart`: a word, which says when, or a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestartSettings {
    /// After which ends.
    pub when: Option<RestartWhen>,
    /// How many ends that nobody asked for are too many within `within`: from 1 to 1,000.
    pub max: Option<u32>,
    /// The time that `max` counts in, from 1 ms to 366 days.
    pub within: Option<Duration>,
    /// The wait before the first start after an end, from 1 ms to 366 days.
    pub backoff: Option<Duration>,
    /// The longest wait, from 1 ms to 366 days; not below `backoff`, where both are said.
    pub max_backoff: Option<Duration>,
}

const KEYS: [&str; 5] = ["when", "max", "within", "backoff", "max_backoff"];

const WHENS: [(&str, RestartWhen); 3] =
    [("always", RestartWhen::Always), ("on_failure", RestartWhen::OnFailure), ("never", RestartWhen::Never)];

impl RestartSettings {
    pub(super) fn read(value: &Value, notes: &mut Notes<'_>) -> Self {
        let mut settings = Self::default();
        let Some(map) = value.as_map() else {
            settings.when = notes.choice(value, &WHENS);
            return settings;
        };
        for (key, value) in map.iter() {
            settings.read_key(key, value, notes);
        }
        if let (Some(first), Some(longest)) = (settings.backoff, settings.max_backoff)
            && first > longest
        {
            notes.below("max_backoff").note("the longest wait is shorter than the first one, `backoff`", None);
        }
        settings
    }

    fn read_key(&mut self, key: &str, value: &Value, notes: &mut Notes<'_>) {
        match key {
            "when" => self.when = notes.below(key).choice(value, &WHENS),
            "max" => self.max = notes.below(key).count_in(value, BUDGETS),
            "within" => self.within = notes.below(key).time(value),
            "backoff" => self.backoff = notes.below(key).time(value),
            "max_backoff" => self.max_backoff = notes.below(key).time(value),
            _ => notes.unknown_key(key, KEYS),
        }
    }
}
