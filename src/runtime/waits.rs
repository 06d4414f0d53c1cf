//! Which task waits for room in which queue, and since when.
//!
//! ```text
//!   a task meets a full queue ──► Waits::begin ──► Waiting, until it is dropped
//!   each few milliseconds:  is there room? ──► as many are rung for as it holds messages, in their order (`usher`)
//!   once a second:  what has lasted ──► circles ──► a line for each new one
//! ```
//!
//! What this does not do: it sees this process alone. A circle through several is found by whoever asks them all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::delivery::Delivery;
use super::office::FULL_REPORT;
use crate::mailbox::Mailbox;
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

/// How a task that waits is told that there is room.
#[derive(Clone, Default)]
pub(super) struct Ring {
    /// What it waits by.
    pub(super) bell: Arc<Notify>,
    /// The mailbox in which it waits for room, where that is not the queue.
    pub(super) mailbox: Option<Arc<Mailbox<Delivery>>>,
}

/// The waits of a process.
#[derive(Clone, Default)]
pub(super) struct Waits(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    /// There is somebody to ring for.
    some: Notify,
}

#[derive(Default)]
struct Table {
    next: u64,
    /// Those without a ring are told otherwise.
    waits: BTreeMap<u64, (Wait, Option<Ring>)>,
}

/// A wait, until this is dropped.
pub(super) struct Waiting {
    waits: Waits,
    number: u64,
}

impl Waits {
    /// A task waits from now on, and is rung for as it says.
    pub(super) fn begin(&self, task: &TaskName, queue: &QueueName, ring: Option<Ring>) -> Waiting {
        let mut table = self.lock();
        table.next += 1;
        let number = table.next;
        let wait = Wait { task: task.clone(), queue: queue.clone(), since: SystemTime::now() };
        if ring.is_some() {
            self.0.some.notify_one();
        }
        table.waits.insert(number, (wait, ring));
        Waiting { waits: self.clone(), number }
    }

    /// Who waits, longest first.
    pub(super) fn list(&self) -> Vec<Wait> {
        self.lock().waits.values().map(|(wait, _)| wait.clone()).collect()
    }

    /// Waits until somebody is to be rung for. It may return early.
    pub(super) async fn some(&self) {
        while self.lock().waits.values().all(|(_, ring)| ring.is_none()) {
            self.0.some.notified().await;
        }
    }

    /// The queues for whose room somebody waits, but in mailboxes.
    pub(super) fn queues(&self) -> BTreeSet<QueueName> {
        let table = self.lock();
        let in_queues =
            table.waits.values().filter(|(_, ring)| ring.as_ref().is_some_and(|ring| ring.mailbox.is_none()));
        let mut queues = BTreeSet::new();
        for (wait, _) in in_queues {
            if !queues.contains(&wait.queue) {
                queues.insert(wait.queue.clone());
            }
        }
        queues
    }

    /// Rings for as many as there is room for, those first who wait longest; `free` says how many messages a queue takes.
    pub(super) fn ring(&self, free: &BTreeMap<QueueName, u64>) {
        let table = self.lock();
        // By where they wait: one task may wait for the queue of another, and the next for its mailbox.
        let mut left: BTreeMap<(bool, &QueueName), u64> = BTreeMap::new();
        for (wait, ring) in table.waits.values().filter_map(|(wait, ring)| Some((wait, ring.as_ref()?))) {
            let room = left.entry((ring.mailbox.is_some(), &wait.queue)).or_insert_with(|| match &ring.mailbox {
                Some(mailbox) => u64::try_from(mailbox.room()).unwrap_or(u64::MAX),
                None => free.get(&wait.queue).copied().unwrap_or(0),
            });
            if *room > 0 {
                *room -= 1;
                ring.bell.notify_one();
            }
        }
    }

    /// Rings for all.
    pub(super) fn ring_all(&self) {
        self.lock().waits.values().filter_map(|(_, ring)| ring.as_ref()).for_each(|ring| ring.bell.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waits.lock().waits.remove(&self.number);
    }
}

/// The waits of one task that does not stand still for them: its output lies in an outbox, or before a mailbox.
#[derive(Default)]
pub(super) struct OutputWaits(BTreeMap<QueueName, Waiting>);

impl OutputWaits {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These queues are full, and all others are not. Where something `moved` meanwhile, the wait begins anew.
    pub(super) fn are(
        &mut self,
        full: &BTreeMap<QueueName, bool>,
        waits: &Waits,
        task: &TaskName,
        ring: impl Fn(&QueueName) -> Ring,
    ) {
        if self.0.is_empty() && full.is_empty() {
            return;
        }
        self.0.retain(|queue, _| full.get(queue) == Some(&false));
        for queue in full.keys() {
            self.0.entry(queue.clone()).or_insert_with(|| waits.begin(task, queue, Some(ring(queue))));
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
            let full = full.map(|moved| (queue.clone(), moved)).into_iter().collect();
            own.are(&full, &waits, &task, |_| Ring::default());
            waits.list()
        };
        let first = are(Some(false));
        assert_eq!(first.len(), 1);
        assert_eq!(are(Some(false)), first);
        assert!(are(Some(true))[0].since > first[0].since);
        assert_eq!(are(None), []);
    }

    #[tokio::test]
    async fn as_many_are_rung_for_as_there_is_room_for_and_those_first_who_wait_longest() {
        let (waits, queue) = (Waits::default(), QueueName::new("q").unwrap());
        let rings: [Ring; 3] = Default::default();
        let _told_otherwise = waits.begin(&TaskName::new("A").unwrap(), &queue, None);
        let _waiting =
            rings.each_ref().map(|ring| waits.begin(&TaskName::new("A").unwrap(), &queue, Some(ring.clone())));
        waits.some().await;
        assert_eq!(waits.queues(), [queue.clone()].into());
        let rung = |free: u64| {
            waits.ring(&BTreeMap::from([(queue.clone(), free)]));
            rings.each_ref().map(|ring| is_ready(ring.bell.notified()))
        };
        assert_eq!(rung(0), [false, false, false]);
        assert_eq!(rung(2), [true, true, false]);
        assert_eq!(rung(u64::MAX), [true, true, true]);
    }

    fn is_ready(future: impl Future<Output = ()>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).poll(&mut context).is_ready()
    }
}
