//! How full queues are.
//!
//! ```text
//!   each second: a, b, c, ... all of them ─────────► shares
//!   where that takes too long: as many as there is time for, the next ones a second later; what was read stands
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::name::{QueueName, TaskName};

/// So much of a second the looks may take: 2 % of one core. A queue that is consumed in this process takes well below
/// a µs, any other one some 30 µs.
const LOOKS_TAKE: Duration = Duration::from_millis(20);

/// What was read of them, as shares of their bounds.
#[derive(Debug, Default)]
pub(super) struct Queues {
    shares: BTreeMap<TaskName, f64>,
    /// The one that was looked at last.
    last: Option<TaskName>,
}

impl Queues {
    /// Looks at `queues`, as far as there is time.
    pub(super) fn look(
        &mut self,
        queues: &BTreeMap<TaskName, QueueName>,
        fullness: impl Fn(&QueueName) -> Option<f64>,
    ) {
        let begin = Instant::now();
        self.look_while(queues, fullness, || begin.elapsed() < LOOKS_TAKE);
    }

    /// What was read of each last; of those alone that were told with the last look.
    pub(super) fn shares(&self) -> &BTreeMap<TaskName, f64> {
        &self.shares
    }

    fn look_while(
        &mut self,
        queues: &BTreeMap<TaskName, QueueName>,
        fullness: impl Fn(&QueueName) -> Option<f64>,
        mut is_time: impl FnMut() -> bool,
    ) {
        self.shares.retain(|task, _| queues.contains_key(task));
        let last = self.last.clone();
        let is_next = |(task, _): &(&TaskName, &QueueName)| last.as_ref().is_none_or(|last| *task > last);
        let in_turn = queues.iter().filter(is_next).chain(queues.iter().filter(|one| !is_next(one)));
        for (task, queue) in in_turn.take_while(|_| is_time()) {
            match fullness(queue) {
                Some(share) => self.shares.insert(task.clone(), share),
                None => self.shares.remove(task),
            };
            self.last = Some(task.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn tasks(names: &[&str]) -> BTreeMap<TaskName, QueueName> {
        let names = names.iter().map(|name| TaskName::new(name).unwrap());
        names.map(|task| (task.clone(), task.queue())).collect()
    }

    /// Looks at `most` queues, all of them as full as `share` says; what is known then.
    fn known(queues: &mut Queues, names: &[&str], most: u32, share: f64) -> Vec<(String, f64)> {
        let left = Cell::new(most);
        let is_time = || left.replace(left.get().saturating_sub(1)) > 0;
        queues.look_while(&tasks(names), |_| Some(share), is_time);
        queues.shares().iter().map(|(task, share)| (task.to_string(), *share)).collect()
    }

    fn expected(all: &[(&str, f64)]) -> Vec<(String, f64)> {
        all.iter().map(|(task, share)| ((*task).to_owned(), *share)).collect()
    }

    #[test]
    fn looks_go_on_where_they_ended_and_what_was_read_stands() {
        let (mut queues, names) = (Queues::default(), ["a", "b", "c"]);
        assert_eq!(known(&mut queues, &names, 2, 0.1), expected(&[("a", 0.1), ("b", 0.1)]));
        assert_eq!(known(&mut queues, &names, 2, 0.2), expected(&[("a", 0.2), ("b", 0.1), ("c", 0.2)]));
        assert_eq!(known(&mut queues, &names, 9, 0.3), expected(&[("a", 0.3), ("b", 0.3), ("c", 0.3)]));
    }

    #[test]
    fn a_task_that_is_gone_is_not_known_and_the_next_one_has_its_turn() {
        let mut queues = Queues::default();
        known(&mut queues, &["a", "b", "c"], 2, 0.1);
        assert_eq!(known(&mut queues, &["a", "c"], 1, 0.2), expected(&[("a", 0.1), ("c", 0.2)]));
    }

    #[test]
    fn a_queue_that_is_gone_is_not_known() {
        let mut queues = Queues::default();
        known(&mut queues, &["a"], 1, 0.1);
        queues.look_while(&tasks(&["a"]), |_| None, || true);
        assert!(queues.shares().is_empty());
    }
}
