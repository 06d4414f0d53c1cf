//! Which task waits for room in which queue, and since when.
//!
//! ```text
//!   a task meets a full queue ──► Waits::begin ──► Waiting, until it is dropped
//!   once a second:  what has lasted ──► circles ──► a line for each new one
//! ```
//!
//! What this does not do: it sees this process alone. A circle through several is found by whoever asks them all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::office::FULL_REPORT;
use crate::name::{QueueName, TaskName};

/// A task waits for room in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Whose output does not fit.
    pub task: TaskName,
    /// Where.
    pub queue: QueueName,
    /// Since when nothing of it did.
    pub since: SystemTime,
}

/// The waits of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Waits(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    waits: BTreeMap<u64, Wait>,
}

/// A wait, until this is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    waits: Waits,
    number: u64,
}

impl Waits {
    /// A task waits from now on.
    pub(super) fn begin(&self, task: &TaskName, queue: &QueueName) -> Waiting {
        let mut table = self.lock();
        table.next += 1;
        let number = table.next;
        let wait = Wait { task: task.clone(), queue: queue.clone(), since: SystemTime::now() };
        table.waits.insert(number, wait);
        Waiting { waits: self.clone(), number }
    }

    /// Who waits, longest first.
    pub(super) fn list(&self) -> Vec<Wait> {
        self.lock().waits.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waits.lock().waits.remove(&self.number);
    }
}

/// The waits of one task that does not stand still for them: its output lies in an outbox, or before a mailbox.
#[derive(Debug, Default)]
pub(super) struct OutputWaits(BTreeMap<QueueName, Waiting>);

impl OutputWaits {
    /// These queues are full, and all others are not. Where something `moved` meanwhile, the wait begins anew.
    pub(super) fn are(&mut self, full: &BTreeMap<QueueName, bool>, waits: &Waits, task: &TaskName) {
        if self.0.is_empty() && full.is_empty() {
            return;
        }
        self.0.retain(|queue, _| full.get(queue) == Some(&false));
        for queue in full.keys() {
            self.0.entry(queue.clone()).or_insert_with(|| waits.begin(task, queue));
        }
    }
}

/// The circles in which each task waits for the next, and the last for the first. Each begins with the task whose
/// name is the lowest; of circles that share tasks some may be left out, until those found are broken.
pub(super) fn circles<'a>(waits: impl IntoIterator<Item = &'a Wait>) -> BTreeSet<Vec<TaskName>> {
    let mut next: BTreeMap<TaskName, BTreeSet<TaskName>> = BTreeMap::new();
    for wait in waits {
        next.entry(wait.task.clone()).or_default().insert(wait.queue.task());
    }
    let (mut found, mut done) = (BTreeSet::new(), BTreeSet::new());
    for start in next.keys() {
        let mut path = vec![(start, next[start].iter())];
        while let Some((task, after)) = path.last_mut() {
            let task = *task;
            match after.next() {
                None => {
                    done.insert(task);
                    path.pop();
                }
                Some(to) if done.contains(to) => {}
                Some(to) => match (path.iter().position(|(on_path, _)| *on_path == to), next.get_key_value(to)) {
                    (Some(at), _) => drop(found.insert(from_the_lowest(&path[at..]))),
                    (None, Some((to, after))) => path.push((to, after.iter())),
                    // It does not wait.
                    (None, None) => {}
                },
            }
        }
    }
    found
}

fn from_the_lowest<T>(path: &[(&TaskName, T)]) -> Vec<TaskName> {
    let mut circle: Vec<_> = path.iter().map(|(task, _)| (*task).clone()).collect();
    let lowest = circle.iter().enumerate().min_by_key(|(_, task)| *task).map_or(0, |(at, _)| at);
    circle.rotate_left(lowest);
    circle
}

/// The circles that were told of.
#[derive(Debug, Default)]
pub(super) struct Circles(BTreeSet<Vec<TaskName>>);

impl Circles {
    /// A line for each circle that is new among the waits which have lasted.
    pub(super) fn news(&mut self, waits: &[Wait], now: SystemTime) -> Vec<String> {
        let lasted = |wait: &&Wait| now.duration_since(wait.since).unwrap_or(Duration::ZERO) >= FULL_REPORT;
        let found = circles(waits.iter().filter(lasted));
        let lines = found.difference(&self.0).map(|circle| line(circle)).collect();
        self.0 = found;
        lines
    }
}

fn line(circle: &[TaskName]) -> String {
    let names: Vec<_> = circle.iter().chain(circle.first()).map(TaskName::as_str).collect();
    format!(
        "tasks wait for each other in a circle: {}; each has waited {} s for room in the queue of the next. Give one of \
         these queues another `overflow` or a larger bound, or change the routes",
        names.join(" -> "),
        FULL_REPORT.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(task: &str, queue: &str, since: SystemTime) -> Wait {
        Wait { task: TaskName::new(task).unwrap(), queue: QueueName::new(queue).unwrap(), since }
    }

    #[test]
    fn a_circle_is_found_however_it_is_entered_and_nothing_else_is() {
        let check = |waits: &[(&str, &str)], expected: &[&[&str]]| {
            let waits: Vec<_> = waits.iter().map(|(task, queue)| wait(task, queue, SystemTime::UNIX_EPOCH)).collect();
            let found: Vec<Vec<String>> =
                circles(&waits).iter().map(|circle| circle.iter().map(ToString::to_string).collect()).collect();
            assert_eq!(found, expected, "{waits:?}");
        };
        check(&[], &[]);
        check(&[("A", "B"), ("B", "C")], &[]);
        check(&[("A", "A")], &[&["A"]]);
        check(&[("B", "A"), ("A", "B")], &[&["A", "B"]]);
        check(&[("A", "C"), ("C", "D"), ("D", "B"), ("B", "C")], &[&["B", "C", "D"]]);
        check(&[("A", "B"), ("A", "C"), ("B", "D"), ("C", "D")], &[]);
        check(&[("A", "B"), ("B", "A"), ("C", "D"), ("D", "C"), ("C", "A")], &[&["A", "B"], &["C", "D"]]);
    }

    #[test]
    fn a_circle_is_told_once_when_it_has_lasted_and_again_when_it_comes_back() {
        let (start, mut told) = (SystemTime::now(), Circles::default());
        let waits = [wait("A", "B", start), wait("B", "A", start)];
        assert_eq!(told.news(&waits, start + FULL_REPORT / 2), [""; 0]);
        let lines = told.news(&waits, start + FULL_REPORT);
        assert!(lines.len() == 1 && lines[0].contains("A -> B -> A"), "{lines:?}");
        assert_eq!(told.news(&waits, start + FULL_REPORT * 2), [""; 0]);
        assert_eq!(told.news(&waits[..1], start + FULL_REPORT * 3), [""; 0]);
        assert_eq!(told.news(&waits, start + FULL_REPORT * 4).len(), 1);
    }

    #[test]
    fn a_wait_begins_anew_when_something_moved_and_ends_when_nothing_is_full() {
        let (waits, mut own, task) = (Waits::default(), OutputWaits::default(), TaskName::new("A").unwrap());
        let queue = QueueName::new("q").unwrap();
        let mut are = |full: Option<bool>| {
            own.are(&full.map(|moved| (queue.clone(), moved)).into_iter().collect(), &waits, &task);
            waits.list()
        };
        let first = are(Some(false));
        assert_eq!(first.len(), 1);
        assert_eq!(are(Some(false)), first);
        assert!(are(Some(true))[0].since > first[0].since);
        assert_eq!(are(None), []);
    }
}
