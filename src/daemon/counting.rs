//! What is counted of each task, wherever it runs: what the node here and the hosts say is added up, and what is asked
//! for it and comes to nothing is counted here.
//!
//! Invariant: as long as a task stays what it is, within the daemon or not, its counts only rise, whatever is started
//! again meanwhile. One that becomes the other begins at 0.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::limits::Subject;
use crate::monitor::TaskFacts;
use crate::name::TaskName;
use crate::task::{Counts, Place, Placement, pool_of};

/// A rate is over so many looks, a second apart: hosts tell once a second, too, and now and then twice or not at all
/// between two looks.
const LOOKS: usize = 5;

/// So many tasks are counted that no config has which holds: those of configs that were refused. With each of these
/// there could be more.
const STRANGERS: usize = 100;

/// All that is counted.
#[derive(Debug, Default)]
pub(super) struct Counting {
    tasks: BTreeMap<TaskName, TaskFacts>,
    /// How many of them are of the config that holds.
    of_config: usize,
    /// The tasks of which somebody has told what they do.
    told: BTreeSet<TaskName>,
    /// What the node has said last.
    node: BTreeMap<TaskName, Counts>,
    /// The tasks that should run.
    running: BTreeSet<TaskName>,
    /// The looks before, oldest first.
    looks: VecDeque<(Instant, Arc<BTreeMap<TaskName, TaskFacts>>)>,
}

/// Messages a second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct MessageRates {
    /// That it handled.
    pub(super) handled: Option<f64>,
    /// That it emitted.
    pub(super) emitted: Option<f64>,
}

/// What is judged of a task that is placed there.
pub(super) fn subject_of(place: &Place) -> Subject {
    if *place == Place::Daemon { Subject::Internal } else { Subject::External }
}

impl Counting {
    /// Tasks are where `placement` says, but for those that are `nowhere`; to those that are `missing` no code answers.
    pub(super) fn placed(
        &mut self,
        placement: &Placement,
        nowhere: &BTreeSet<TaskName>,
        missing: &BTreeMap<TaskName, String>,
    ) {
        self.keep(placement);
        self.tasks.retain(|name, _| placement.by_task.contains_key(name) || missing.contains_key(name));
        let running: BTreeSet<_> = placement.by_task.keys().filter(|name| !nowhere.contains(*name)).cloned().collect();
        for name in running.difference(&self.running) {
            self.tasks.entry(name.clone()).or_default().starts += 1;
        }
        for name in self.running.difference(&running).filter(|name| placement.by_task.contains_key(*name)) {
            self.tasks.entry(name.clone()).or_default().stops += 1;
        }
        self.running = running;
        self.of_config = self.tasks.len();
    }

    /// A task was stopped for what it did, where the config still wants it.
    pub(super) fn stopped(&mut self, name: &TaskName) {
        self.tasks.entry(name.clone()).or_default().stops += 1;
    }

    /// It may run again.
    pub(super) fn started(&mut self, name: &TaskName) {
        self.tasks.entry(name.clone()).or_default().starts += 1;
    }

    /// A task could not be made.
    pub(super) fn unmade(&mut self, name: &TaskName) {
        if !self.tasks.contains_key(name) && self.tasks.len() >= self.of_config + STRANGERS {
            return;
        }
        self.tasks.entry(name.clone()).or_default().counts.unmade += 1;
    }

    /// Forgets what was counted of tasks that are something else now.
    fn keep(&mut self, placement: &Placement) {
        for (name, placed) in &placement.by_task {
            let task = self.tasks.entry(name.clone()).or_default();
            if task.subject != subject_of(&placed.place) {
                *task = TaskFacts { subject: subject_of(&placed.place), ..TaskFacts::default() };
                self.told.remove(name);
            }
        }
        self.told.retain(|name| placement.by_task.contains_key(name));
    }

    /// A second has passed: what tasks of this process have done since they were made, and those of hosts since the
    /// look before.
    pub(super) fn look(
        &mut self,
        now: Instant,
        placement: &Placement,
        node: BTreeMap<TaskName, Counts>,
        hosts: BTreeMap<TaskName, Counts>,
    ) -> Arc<BTreeMap<TaskName, TaskFacts>> {
        let before = std::mem::replace(&mut self.node, node);
        let here = self
            .node
            .iter()
            .map(|(name, counts)| (name.clone(), before.get(name).map_or(*counts, |before| counts.since(before))));
        for (name, more) in here.collect::<Vec<_>>().into_iter().chain(hosts) {
            let name = if placement.by_task.contains_key(&name) { name } else { pool(placement, name) };
            if let Some(task) = self.tasks.get_mut(&name).filter(|_| placement.by_task.contains_key(&name)) {
                task.counts += more;
                self.told.insert(name);
            }
        }
        let tasks = Arc::new(self.tasks.clone());
        self.looks.push_back((now, tasks.clone()));
        if self.looks.len() > LOOKS + 1 {
            self.looks.pop_front();
        }
        tasks
    }

    /// Whether anybody tells what the task does.
    pub(super) fn knows(&self, name: &TaskName) -> bool {
        self.told.contains(name)
    }

    /// The rates of the last looks; none before there are two of it.
    pub(super) fn rates(&self, name: &TaskName) -> MessageRates {
        let mut looks = self.looks.iter().filter_map(|(at, tasks)| Some((*at, tasks.get(name)?)));
        let Some(((begin, first), (end, last))) = looks.next().zip(looks.next_back()) else {
            return MessageRates::default();
        };
        let (more, seconds) = (last.counts.since(&first.counts), (end - begin).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a rate for people, and 53 bits of it")]
        let rate = |count: u64| (seconds > 0.0).then(|| count as f64 / seconds);
        MessageRates { handled: rate(more.handled), emitted: rate(more.emitted) }
    }
}

/// The pool whose worker is called `name`, if it is one.
fn pool(placement: &Placement, name: TaskName) -> TaskName {
    pool_of(&name).map(|(pool, _)| pool).filter(|pool| placement.is_pool(pool)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Workers;
    use crate::task::{Nature, Placed};

    fn name(text: &str) -> TaskName {
        TaskName::new(text).unwrap()
    }

    fn placement(places: &[(&str, Place)]) -> Placement {
        let nature = Nature { stateful: false, single: false };
        let placed = places.iter().map(|(task, place)| (name(task), Placed { place: place.clone(), nature }));
        Placement { by_task: placed.collect(), ..Placement::default() }
    }

    fn handled(tasks: &[(&str, u64)]) -> BTreeMap<TaskName, Counts> {
        let counts = |handled| Counts { handled, emitted: 2 * handled, ..Counts::default() };
        tasks.iter().map(|(task, count)| (name(task), counts(*count))).collect()
    }

    type Handled = &'static [(&'static str, u64)];

    /// Looks in turn, a second apart, at what the node counts and what hosts have told; what is known of `T` then.
    fn check(places: &[(&str, Place)], looks: &[(Handled, Handled, u64)]) -> Counting {
        let (placement, begin) = (placement(places), Instant::now());
        let mut counting = Counting::default();
        counting.placed(&placement, &BTreeSet::new(), &BTreeMap::new());
        for (second, (node, hosts, expected)) in (0..).zip(looks) {
            let now = begin + Duration::from_secs(second);
            let tasks = counting.look(now, &placement, handled(node), handled(hosts));
            assert_eq!(tasks[&name("T")].counts.handled, *expected, "at second {second}");
        }
        counting
    }

    fn rates(counting: &Counting) -> [Option<f64>; 2] {
        let MessageRates { handled, emitted } = counting.rates(&name("T"));
        [handled, emitted]
    }

    #[test]
    fn a_task_of_the_daemon_goes_on_counting_when_it_is_made_anew_and_its_copies_count_with_it() {
        let counting = check(
            &[("T", Place::Daemon)],
            &[(&[("T", 10)], &[], 10), (&[("T", 30)], &[("T", 5)], 35), (&[("T", 3)], &[], 38), (&[], &[], 38)],
        );
        assert!(counting.knows(&name("T")));
    }

    #[test]
    fn a_pool_counts_what_all_its_workers_do_also_those_that_are_no_more() {
        let pool = Place::Pool { workers: Workers::Count(2) };
        let looks: &[(Handled, Handled, _)] =
            &[(&[], &[("T.1", 1), ("T.2", 2)], 3), (&[], &[("T.2", 5), ("T.7", 1)], 9), (&[], &[("X.1", 9)], 9)];
        check(&[("T", pool)], looks);
    }

    #[test]
    fn a_rate_is_over_the_last_five_seconds() {
        let place = &[("T", Place::Process(name("T")))];
        assert_eq!(rates(&check(place, &[(&[], &[("T", 100)], 100)])), [None; 2]);
        let mut looks: Vec<(Handled, Handled, _)> = vec![(&[], &[("T", 100)], 100), (&[], &[("T", 10)], 110)];
        assert_eq!(rates(&check(place, &looks)), [Some(10.0), Some(20.0)]);
        // A host that was late for a second tells of two at the next.
        let late: [(Handled, Handled, _); 3] = [(&[], &[], 110), (&[], &[("T", 20)], 130), (&[], &[("T", 10)], 140)];
        looks.extend(late);
        assert_eq!(rates(&check(place, &looks)), [Some(10.0), Some(20.0)]);
        let none: Handled = &[];
        looks.extend([(none, none, 140); 5]);
        assert_eq!(rates(&check(place, &looks)), [Some(0.0); 2]);
    }

    #[test]
    fn a_task_whose_host_tells_nothing_is_not_known() {
        let counting = check(&[("T", Place::Process(name("T")))], &[(&[], &[], 0), (&[], &[], 0)]);
        assert!(!counting.knows(&name("T")));
    }

    #[test]
    fn a_task_that_leaves_the_daemon_begins_at_0() {
        let mut counting = check(&[("T", Place::Daemon)], &[(&[("T", 10)], &[], 10)]);
        let outside = placement(&[("T", Place::Process(name("T")))]);
        counting.placed(&outside, &BTreeSet::new(), &BTreeMap::new());
        let tasks = counting.look(Instant::now(), &outside, BTreeMap::new(), handled(&[("T", 2)]));
        let task = tasks[&name("T")];
        assert_eq!((task.subject, task.counts.handled), (Subject::External, 2));
    }

    #[test]
    fn of_tasks_that_no_config_has_a_bounded_number_is_counted() {
        let mut counting = check(&[("T", Place::Daemon)], &[(&[], &[], 0)]);
        for number in 0..2 * STRANGERS {
            counting.unmade(&name(&format!("Stranger{number}")));
        }
        counting.unmade(&name("T"));
        let here = placement(&[("T", Place::Daemon)]);
        let tasks = counting.look(Instant::now(), &here, BTreeMap::new(), BTreeMap::new());
        assert_eq!((tasks.len(), tasks[&name("T")].counts.unmade), (1 + STRANGERS, 1));
        counting.placed(&here, &BTreeSet::new(), &BTreeMap::new());
        assert_eq!(counting.tasks.len(), 1);
    }

    #[test]
    fn requests_are_counted_by_what_should_run_and_what_cannot_be_made_by_its_name() {
        let (here, mut counting) = (placement(&[("T", Place::Daemon)]), Counting::default());
        let (none, stopped) = (BTreeSet::new(), BTreeSet::from([name("T")]));
        let missing = BTreeMap::from([(name("Unknown"), "there is no code for it".to_owned())]);
        counting.unmade(&name("Unknown"));
        for nowhere in [&none, &stopped, &stopped, &none] {
            counting.placed(&here, nowhere, &missing);
        }
        let tasks = counting.look(Instant::now(), &here, BTreeMap::new(), BTreeMap::new());
        assert_eq!((tasks[&name("T")].starts, tasks[&name("T")].stops), (2, 1));
        assert_eq!(tasks[&name("Unknown")].counts.unmade, 1);
        counting.placed(&placement(&[]), &none, &BTreeMap::new());
        assert!(counting.look(Instant::now(), &placement(&[]), BTreeMap::new(), BTreeMap::new()).is_empty());
    }
}
