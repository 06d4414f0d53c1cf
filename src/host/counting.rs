//! What a host tells its daemon of what it counts. Pure.
//!
//! Invariant: a daemon that was told everything that was said on its link knows every count. What could not be said,
//! and what was said to another daemon, is said again.

use std::collections::BTreeMap;

use crate::link::{COUNTED, ToDaemon};
use crate::name::TaskName;
use crate::task::Counts;

/// What the daemon knows.
#[derive(Debug, Default)]
pub(super) struct Counting {
    /// Whether a daemon is there that wants to know.
    wanted: bool,
    /// Whether it knows anything.
    begun: bool,
    tasks: BTreeMap<TaskName, Counts>,
    written_bytes: u64,
}

impl Counting {
    /// A daemon is there, and this version is spoken.
    pub(super) fn linked(&mut self, version: u32) {
        *self = Self { wanted: version >= COUNTED, ..Self::default() };
    }

    /// No daemon is there.
    pub(super) fn lost(&mut self) {
        *self = Self::default();
    }

    /// Whether somebody wants to know.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// What the daemon does not know yet.
    pub(super) fn news(&mut self, tasks: BTreeMap<TaskName, Counts>, written_bytes: u64) -> Option<ToDaemon> {
        // To look whether there is something to do takes time, too, and is no news.
        let is_same = |known: &Counts, counts: &Counts| Counts { busy: counts.busy, ..*known } == *counts;
        let is_news =
            |(name, counts): &(&TaskName, &Counts)| !self.tasks.get(*name).is_some_and(|known| is_same(known, counts));
        let news: Vec<_> = tasks.iter().filter(is_news).map(|(name, counts)| (name.clone(), *counts)).collect();
        let is_new = !self.begun || !news.is_empty() || written_bytes != self.written_bytes;
        (self.begun, self.tasks, self.written_bytes) = (true, tasks, written_bytes);
        is_new.then_some(ToDaemon::Counted { written_bytes, tasks: news })
    }

    /// The news could not be told, or tasks may be gone: the daemon is told all of it the next time.
    pub(super) fn tell_all(&mut self) {
        *self = Self { wanted: self.wanted, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::VERSION;

    fn check(counting: &mut Counting, tasks: &[(&str, u64)], written: u64, expected: Option<(u64, &[(&str, u64)])>) {
        let counts = |handled: u64| Counts { handled, ..Counts::default() };
        let named = |tasks: &[(&str, u64)]| -> Vec<_> {
            tasks.iter().map(|(name, handled)| (TaskName::new(name).unwrap(), counts(*handled))).collect()
        };
        let expected = expected.map(|(written_bytes, tasks)| ToDaemon::Counted { written_bytes, tasks: named(tasks) });
        assert_eq!(counting.news(named(tasks).into_iter().collect(), written), expected);
    }

    #[test]
    fn the_first_word_says_everything_and_later_ones_what_has_changed() {
        let mut counting = Counting::default();
        counting.linked(VERSION);
        check(&mut counting, &[("A", 0), ("B", 2)], 0, Some((0, &[("A", 0), ("B", 2)])));
        check(&mut counting, &[("A", 0), ("B", 2)], 0, None);
        check(&mut counting, &[("A", 0), ("B", 3)], 0, Some((0, &[("B", 3)])));
        check(&mut counting, &[("A", 0), ("B", 3)], 4096, Some((4096, &[])));
        check(&mut counting, &[("A", 0), ("B", 1)], 4096, Some((4096, &[("B", 1)])));
        check(&mut counting, &[("A", 0)], 4096, None);
        check(&mut counting, &[("A", 0), ("B", 1)], 4096, Some((4096, &[("B", 1)])));
    }

    #[test]
    fn a_task_that_only_looks_around_is_no_news() {
        let (mut counting, name) = (Counting::default(), TaskName::new("A").unwrap());
        counting.linked(VERSION);
        let mut news = |busy_ms, handled| {
            let counts = Counts { handled, busy: std::time::Duration::from_millis(busy_ms), ..Counts::default() };
            counting.news([(name.clone(), counts)].into(), 0).is_some()
        };
        assert_eq!([news(1, 5), news(2, 5), news(3, 6), news(3, 6)], [true, false, true, false]);
    }

    #[test]
    fn another_daemon_and_one_that_could_not_be_told_are_told_everything() {
        let mut counting = Counting::default();
        counting.linked(VERSION);
        check(&mut counting, &[("A", 1)], 0, Some((0, &[("A", 1)])));
        counting.tell_all();
        check(&mut counting, &[("A", 1)], 0, Some((0, &[("A", 1)])));
        counting.lost();
        counting.linked(VERSION);
        assert!(counting.is_wanted());
        check(&mut counting, &[("A", 1)], 0, Some((0, &[("A", 1)])));
    }

    #[test]
    fn an_older_daemon_and_none_are_told_nothing() {
        let mut counting = Counting::default();
        assert!(!counting.is_wanted());
        counting.linked(COUNTED - 1);
        assert!(!counting.is_wanted());
    }
}
