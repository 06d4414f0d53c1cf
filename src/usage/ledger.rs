//! Sums over a tree of processes that never fall, though processes of it end. Pure.
//!
//! The kernel adds what a process used to the account of the parent that waits for its end, a moment after the process
//! was seen last. So what an ended process was last seen to have used is *owed*: what its heirs grow by in this sample
//! and the next is first set against it, and only what exceeds it is new. After that nobody can have inherited it any
//! more: its parent does not wait for its children, and the debt is dropped.

/// One sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    total: u64,
    /// Of those that ended in the sample before.
    late: u64,
}

/// What one sample found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Change {
    /// Growth that can hold nothing of those that ended.
    pub(super) grown: u64,
    /// Growth of accounts that may have taken over what the ended had.
    pub(super) inherited: u64,
    /// What the processes that have ended since were last seen to have.
    pub(super) ended: u64,
}

impl Account {
    /// Books a sample; the new sum.
    pub(super) fn book(&mut self, change: Change) -> u64 {
        let paid_late = self.late.min(change.inherited);
        let paid = change.ended.min(change.inherited - paid_late);
        let new = change.inherited - paid_late - paid;
        self.total = self.total.saturating_add(change.grown).saturating_add(new);
        self.late = change.ended - paid;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(samples: &[(u64, u64, u64)], expected: &[u64]) {
        let mut account = Account::default();
        let book = |&(grown, inherited, ended)| account.book(Change { grown, inherited, ended });
        assert_eq!(samples.iter().map(book).collect::<Vec<_>>(), expected, "{samples:?}");
    }

    #[test]
    fn what_an_ended_process_used_counts_once() {
        // Its parent has it at once; one sample later; in part (it went on for a while after it was seen last).
        check(&[(100, 0, 0), (0, 100, 100)], &[100, 100]);
        check(&[(100, 0, 0), (0, 0, 100), (0, 100, 0)], &[100, 100, 100]);
        check(&[(100, 0, 0), (0, 107, 100)], &[100, 107]);
        check(&[(100, 0, 0), (0, 40, 100), (0, 67, 0)], &[100, 100, 107]);
    }

    #[test]
    fn what_nobody_inherits_is_not_held_against_later_children() {
        check(&[(100, 0, 0), (0, 0, 100), (0, 0, 0), (0, 60, 0)], &[100, 100, 100, 160]);
    }

    #[test]
    fn children_that_were_never_seen_count_by_what_their_parent_inherits() {
        check(&[(10, 0, 0), (1, 50, 0), (1, 50, 0)], &[10, 61, 112]);
    }
}
