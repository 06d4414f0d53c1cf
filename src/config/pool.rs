//! What a config says about a pool: how many workers, and which of them gets a message.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use super::notes::Notes;
use super::suggest;
use crate::value::Value;

/// The most workers of one pool: more processes than machines have processors.
pub const MAX_WORKERS: u32 = 1024;

const COUNTS: RangeInclusive<u32> = 1..=MAX_WORKERS;

/// How many workers a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// This many, from 1 to [`MAX_WORKERS`].
    Count(u32),
    /// One for each processor.
    Cpus,
}

/// Which worker of a pool gets a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// The one with the least unfinished.
    Least,
    /// Always the same one for the same value of this field.
    Sticky(String),
}

impl Workers {
    /// How many that are on a machine with `cpus` processors: from 1 to [`MAX_WORKERS`].
    #[must_use]
    pub fn count(self, cpus: NonZeroUsize) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Cpus => u32::try_from(cpus.get()).unwrap_or(MAX_WORKERS).min(MAX_WORKERS),
        }
    }

    pub(super) fn read(value: &Value, notes: &mut Notes<'_>) -> Option<Self> {
        match value.as_text() {
            Some("cpus") => Some(Self::Cpus),
            // A number written as text is a number.
            Some(word) if word.parse::<i64>().is_err() => {
                let advice = suggest::advice(word, ["cpus"]);
                let advice = advice.unwrap_or_else(|| format!("write a number from 1 to {MAX_WORKERS}, or \"cpus\""));
                notes.note(&format!("unknown value {word:?}"), Some(&advice));
                None
            }
            _ => notes.count_in(value, COUNTS).map(Self::Count),
        }
    }
}

const BALANCE_ADVICE: &str = "write \"least\" or \"sticky(FIELD)\"";

/// The word, and the key of the map that says the same: RON without quotes, `sticky(user)`, is read as that map.
const STICKY: &str = "sticky";

impl Balance {
    pub(super) fn read(value: &Value, notes: &mut Notes<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Self::read_text(text, notes),
            Value::Map(map) => {
                map.keys().filter(|key| *key != STICKY).for_each(|key| notes.unknown_key(key, [STICKY]));
                match map.get(STICKY) {
                    Some(field) => sticky(&notes.below(STICKY).typed::<String>(field)?, &mut notes.below(STICKY)),
                    None if map.is_empty() => sticky("", notes),
                    None => None,
                }
            }
            other => {
                notes.note(&format!("expected text or a map, found {}", other.kind()), Some(BALANCE_ADVICE));
                None
            }
        }
    }

    fn read_text(text: &str, notes: &mut Notes<'_>) -> Option<Self> {
        let (word, field) = match text.trim().strip_suffix(')').and_then(|text| text.split_once('(')) {
            Some((word, field)) => (word.trim(), Some(field)),
            None => (text.trim(), None),
        };
        match (word, field) {
            ("least", None) => Some(Self::Least),
            (STICKY, field) => sticky(field.unwrap_or_default(), notes),
            (word, _) => {
                let advice = suggest::advice(word, ["least", STICKY]);
                notes.note(&format!("unknown value {text:?}"), Some(advice.as_deref().unwrap_or(BALANCE_ADVICE)));
                None
            }
        }
    }
}

fn sticky(field: &str, notes: &mut Notes<'_>) -> Option<Balance> {
    let field = field.trim();
    if field.is_empty() {
        notes.note("sticky needs the name of a field", Some(BALANCE_ADVICE));
    }
    (!field.is_empty()).then(|| Balance::Sticky(field.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_by_processors_are_never_none_and_never_beyond_the_bound() {
        for (cpus, expected) in [(1, 1), (8, 8), (100_000, MAX_WORKERS)] {
            assert_eq!(Workers::Cpus.count(NonZeroUsize::new(cpus).unwrap()), expected);
        }
        assert_eq!(Workers::Count(3).count(NonZeroUsize::MIN), 3);
    }
}
