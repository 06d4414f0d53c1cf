//! What the hosts of one process have counted, as far as this daemon has heard of it. Pure.
//!
//! A host counts from its own beginning. What it counted before this daemon watched it is nobody's news; what it counts
//! from then on, and what the hosts after it count, is added up.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::TaskName;
use crate::task::Counts;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Of the host that was heard last.
    nonce: Option<String>,
    /// All that it counts came since it is watched.
    from_0: bool,
    tasks: BTreeMap<TaskName, Counts>,
    /// Its next word says all that it counts.
    says_all: bool,
    /// What it wrote to queues and states; none where it did not say.
    pub(super) written_bytes: Option<u64>,
}

impl Counted {
    /// A host answers. It `is_new` if it was started since this daemon watches the process.
    pub(super) fn heard(&mut self, nonce: &str, is_new: bool) {
        if self.nonce.as_deref() != Some(nonce) {
            self.from_0 = is_new || self.nonce.is_some();
            self.nonce = Some(nonce.to_owned());
            self.tasks.clear();
        }
    }

    /// The host has taken a config: tasks may be gone, and its next word does not name them.
    pub(super) fn configured(&mut self) {
        self.says_all = true;
    }

    /// The host says what it counts: what came since its last word.
    pub(super) fn told(
        &mut self,
        tasks: Vec<(TaskName, Counts)>,
        written_bytes: u64,
    ) -> impl Iterator<Item = (TaskName, Counts)> {
        self.written_bytes = Some(written_bytes);
        let from_0 = std::mem::replace(&mut self.from_0, true);
        if std::mem::take(&mut self.says_all) {
            let named: BTreeSet<_> = tasks.iter().map(|(name, _)| name).collect();
            self.tasks.retain(|name, _| named.contains(name));
        }
        tasks.into_iter().map(move |(name, counts)| {
            let before = self.tasks.insert(name.clone(), counts);
            let before = before.unwrap_or(if from_0 { Counts::default() } else { counts });
            (name, counts.since(&before))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counted: &mut Counted, handled: &[(&str, u64)], expected: &[(&str, u64)]) {
        let counts = |handled: &[(&str, u64)]| -> Vec<_> {
            let one = |(name, handled): &(&str, u64)| {
                (TaskName::new(name).unwrap(), Counts { handled: *handled, ..Counts::default() })
            };
            handled.iter().map(one).collect()
        };
        assert_eq!(counted.told(counts(handled), 0).collect::<Vec<_>>(), counts(expected));
    }

    #[test]
    fn what_a_host_counted_before_this_daemon_came_is_no_news() {
        let mut counted = Counted::default();
        counted.heard("first", false);
        check(&mut counted, &[("A", 1000)], &[("A", 0)]);
        check(&mut counted, &[("A", 1002), ("B", 3)], &[("A", 2), ("B", 3)]);
    }

    #[test]
    fn a_host_that_was_started_again_goes_on_where_the_one_before_ended() {
        let mut counted = Counted::default();
        counted.heard("first", true);
        check(&mut counted, &[("A", 10)], &[("A", 10)]);
        counted.heard("second", false);
        check(&mut counted, &[("A", 12)], &[("A", 12)]);
    }

    #[test]
    fn a_task_that_is_gone_with_a_config_is_known_no_more_and_begins_at_0_when_it_comes_again() {
        let mut counted = Counted::default();
        counted.heard("first", true);
        check(&mut counted, &[("A", 10), ("B", 10)], &[("A", 10), ("B", 10)]);
        counted.configured();
        check(&mut counted, &[("A", 12)], &[("A", 2)]);
        assert_eq!(counted.tasks.len(), 1);
        counted.configured();
        check(&mut counted, &[("A", 12), ("B", 11)], &[("A", 0), ("B", 11)]);
    }

    #[test]
    fn a_link_that_was_lost_changes_nothing() {
        let mut counted = Counted::default();
        counted.heard("first", true);
        check(&mut counted, &[("A", 10)], &[("A", 10)]);
        counted.heard("first", false);
        check(&mut counted, &[("A", 12)], &[("A", 2)]);
    }
}
