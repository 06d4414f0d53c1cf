//! What of a process's usage is the framework's and not its tasks': to be taken off before levels are asked.
//!
//! What the kernel counts as written (measured on ext4, Linux 6.18; `write_bytes` of `/proc/self/io`): a page, whole,
//! when it becomes dirty, by a mapping exactly as by `write`. To write on a dirty page costs nothing more, to write
//! again on one that was written back counts it again; on a tmpfs nothing counts, and neither does allocating. So
//! appending a gigabyte through a hot segment of 16 MiB counts 16 MiB per write-back, and to take off the gigabyte would
//! hide what tasks write. Whoever writes counts a page once a second: that may still be more than the kernel counts,
//! and as much of what a task writes in that second is not seen.

use std::collections::VecDeque;
use std::path::Path;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use super::Usage;

/// For so many looks what was written waits for the framework to say that it was its own, and the other way round: the
/// two are read at other times, and a host's count comes up to two seconds later.
const LATE: usize = 2;

/// The framework's own part, since it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    files: u64,
    /// What was written and what of it was the framework's, when it was looked last.
    before: Option<(u64, Option<u64>)>,
    /// What was written at the last looks and is nobody's yet.
    unclaimed: VecDeque<u64>,
    /// What the framework said it wrote at the last looks, beyond what was seen to be written.
    unseen: VecDeque<u64>,
    /// What is left.
    rest: u64,
}

impl Own {
    /// How many descriptors are bookkeeping now: queues, locks, links, pidfds, a meter's handles.
    pub fn set_files(&mut self, files: u64) {
        self.files = files;
    }

    /// What is left of `usage` without it, where the framework has written `own_bytes` since its process began; none
    /// where it does not say. A count that shows less than before began again. Where it says, what is written is told
    /// two looks later: until then it may turn out to be the framework's.
    #[must_use]
    pub fn without(&mut self, usage: Usage, own_bytes: Option<u64>) -> Usage {
        let written_bytes = usage.written_bytes.map(|written| self.rest_of(written, own_bytes));
        Usage { written_bytes, files: usage.files.map(|files| files.saturating_sub(self.files)), ..usage }
    }

    fn rest_of(&mut self, written: u64, own: Option<u64>) -> u64 {
        let (written_before, own_before) = self.before.unwrap_or((written, own));
        self.before = Some((written, own.or(own_before)));
        let mut written = written.saturating_sub(written_before);
        let Some(own) = own else {
            self.rest += written;
            return self.rest;
        };
        // What a host wrote before it was first heard was written before that, too.
        let own_before = own_before.unwrap_or(own);
        let mut own = own.checked_sub(own_before).unwrap_or(own);
        self.unclaimed.iter_mut().for_each(|unclaimed| settle(&mut own, unclaimed));
        self.unseen.iter_mut().for_each(|unseen| settle(unseen, &mut written));
        settle(&mut own, &mut written);
        self.rest += late(&mut self.unclaimed, written);
        let _never_seen = late(&mut self.unseen, own);
        self.rest
    }
}

/// Takes off both what they have in common.
fn settle(one: &mut u64, other: &mut u64) {
    let common = (*one).min(*other);
    (*one, *other) = (*one - common, *other - common);
}

/// Puts `bytes` to those that wait, and tells what has waited for long enough.
fn late(waiting: &mut VecDeque<u64>, bytes: u64) -> u64 {
    waiting.push_back(bytes);
    if waiting.len() > LATE { waiting.pop_front().unwrap_or(0) } else { 0 }
}

/// Whether what is written below `path` counts as written to storage: not on a tmpfs.
#[must_use]
pub fn counts_writes(path: &Path) -> bool {
    statfs(path).is_ok_and(|system| system.filesystem_type() != TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at (written, own) in turn, and what is left at each.
    fn check(looks: &[(u64, u64, u64)]) {
        let mut own = Own::default();
        for (look, (written, own_bytes, expected)) in looks.iter().enumerate() {
            let usage = Usage { written_bytes: Some(*written), ..Usage::default() };
            assert_eq!(own.without(usage, Some(*own_bytes)).written_bytes, Some(*expected), "look {look} of {looks:?}");
        }
    }

    #[test]
    fn what_a_task_writes_is_told_two_looks_later() {
        check(&[(1000, 0, 0), (1100, 0, 0), (1100, 0, 0), (1150, 0, 100), (1150, 0, 100), (1150, 0, 150)]);
    }

    #[test]
    fn what_the_framework_writes_is_taken_off_whenever_it_is_told() {
        check(&[(0, 0, 0), (100, 100, 0), (200, 200, 0), (300, 300, 0), (300, 300, 0), (300, 300, 0)]);
        // Its word comes late, or early.
        check(&[(0, 0, 0), (100, 0, 0), (200, 0, 0), (300, 200, 0), (300, 300, 0), (300, 300, 0), (300, 300, 0)]);
        check(&[(0, 0, 0), (0, 200, 0), (100, 200, 0), (200, 200, 0), (200, 200, 0), (200, 200, 0)]);
    }

    #[test]
    fn what_the_framework_did_not_write_after_all_hides_nothing_later() {
        check(&[(0, 0, 0), (0, 1000, 0), (0, 1000, 0), (0, 1000, 0), (500, 1000, 0), (500, 1000, 0), (500, 1000, 500)]);
    }

    #[test]
    fn a_host_that_was_started_again_counts_from_0() {
        check(&[(0, 5000, 0), (100, 5100, 0), (150, 50, 0), (150, 50, 0), (150, 50, 0)]);
    }

    #[test]
    fn where_nobody_says_what_the_framework_wrote_all_is_told_at_once() {
        let mut own = Own::default();
        let mut look = |written, own_bytes| {
            own.without(Usage { written_bytes: Some(written), ..Usage::default() }, own_bytes).written_bytes
        };
        assert_eq!([look(10, None), look(30, None), look(40, Some(500))], [Some(0), Some(20), Some(20)]);
        assert_eq!([look(40, Some(500)), look(40, None), look(50, Some(510))], [Some(20); 3]);
    }

    #[test]
    fn bookkeeping_descriptors_are_taken_off_and_what_is_unknown_stays_unknown() {
        let mut own = Own::default();
        own.set_files(30);
        let usage = |files| Usage { files, ..Usage::default() };
        assert_eq!(own.without(usage(Some(40)), None), usage(Some(10)));
        assert_eq!(own.without(usage(Some(20)), None), usage(Some(0)));
        assert_eq!(own.without(Usage::default(), None), Usage::default());
    }
}
