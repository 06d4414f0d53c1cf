//! The judge: compares what came out with the promises.

use std::collections::BTreeSet;

use crate::case::Case;
use crate::chain::{Chain, Ending};
use crate::commit::Counts;
use crate::lane::Queue;
use crate::poison::POISON;
use crate::rules::Rule;
use crate::seeds::Scenario;
use crate::world::Task;

/// What a run showed; the numbers are messages of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every promise was kept.
    Kept,
    /// This one never came out.
    Lost(u32),
    /// This one came out twice where it may not.
    Twice(u32),
    /// A task's state counted this one more or less often than it was handed over.
    Miscounted(Task, u32),
    /// This one came out for the first time after a later one.
    OutOfOrder(u32),
    /// A lane was written by a process that did not hold its lock.
    TwoWrite,
    /// This one was taken for poison, and is none.
    Buried(u32),
    /// On this one more processes ended than need to.
    NotBuried(u32),
    /// All tasks waited for each other's room.
    Deadlock,
    /// The run never came to rest.
    Stuck,
}

/// Makes the run that `seed` gives for `case`, and judges it. Also tells how many processes ended on the way.
pub(crate) fn judge(case: Case, seed: u64) -> (Verdict, u32) {
    let mut chain = Chain::new(case, seed);
    let verdict = match chain.run() {
        _ if chain.world.two_write => Verdict::TwoWrite,
        Ending::Quiet => judge_output(&chain),
        Ending::Deadlock => Verdict::Deadlock,
        Ending::Stuck => Verdict::Stuck,
    };
    (verdict, chain.crashes)
}

impl Scenario for Case {
    fn judge(self, seed: u64) -> (Verdict, u32) {
        judge(self, seed)
    }

    fn without(self, rule: Rule) -> Self {
        self.without(rule)
    }

    fn may_crash(self) -> bool {
        self.crash_permille > 0
    }
}

/// Whether a number came out twice in the run that `seed` gives for `case`, be that allowed or not.
pub(crate) fn repeats(case: Case, seed: u64) -> bool {
    let mut chain = Chain::new(case, seed);
    chain.run();
    counts(&chain, Queue::Sink).iter().any(|count| *count > 1)
}

impl Verdict {
    /// Whether both are the same kind of verdict, whatever the number.
    pub(crate) fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

fn judge_output(chain: &Chain) -> Verdict {
    let judges = [buried, lost, twice, miscounted, out_of_order];
    judges.iter().find_map(|judge| judge(chain)).unwrap_or(Verdict::Kept)
}

/// What goes to `dead` from A's queue was buried as poison.
fn buried(chain: &Chain) -> Option<Verdict> {
    let buried = chain.world.transit.diverted(Queue::A);
    buried.into_iter().find(|number| !POISON.contains(number)).map(Verdict::Buried)
}

fn lost(chain: &Chain) -> Option<Verdict> {
    let may_miss = may_miss(chain);
    let transit = &chain.world.transit;
    let diverted = transit.diverted(Queue::B);
    let mut ends = [Queue::Sink, Queue::Tail].map(|queue| BTreeSet::from_iter(transit.numbers(queue)));
    ends[1].extend(transit.diverted(Queue::S));
    ends.iter_mut().for_each(|end| end.extend(diverted.iter().chain(&transit.diverted(Queue::A))));
    let is_lost = |number: &u32| !may_miss.contains(number) && ends.iter().any(|end| !end.contains(number));
    (0..chain.world.case.numbers).find(is_lost).map(Verdict::Lost)
}

/// Only where all delivery is exact; the tail comes from a task without state, which may always repeat. What was
/// diverted came out: it may not stand in its queue too.
fn twice(chain: &Chain) -> Option<Verdict> {
    let (sink, before_sink) = (counts(chain, Queue::Sink), counts_of(chain, chain.world.transit.diverted(Queue::B)));
    let (queue, before_queue) = (counts(chain, Queue::S), counts_of(chain, chain.world.transit.diverted(Queue::S)));
    let buried = counts_of(chain, chain.world.transit.diverted(Queue::A));
    let is_repeated = |number: &u32| {
        let number = *number as usize;
        buried[number] > 1 || sink[number].max(queue[number] + before_queue[number]) + before_sink[number] > 1
    };
    let mut repeated = (0..chain.world.case.numbers).filter(is_repeated);
    let repeated = repeated.find(|number| !chain.excuses.may_repeat.contains(number));
    repeated.filter(|_| chain.world.case.is_exact()).map(Verdict::Twice)
}

/// A state counts each message exactly as often as it stands on the task's queue, whatever the delivery.
fn miscounted(chain: &Chain) -> Option<Verdict> {
    let may_miss = may_miss(chain);
    [Task::A, Task::B].into_iter().find_map(|task| {
        let handed = counts(chain, task.queue());
        let state = &chain.world.commits[task as usize].state;
        let forgotten = |number: &u32| task == Task::A && chain.excuses.forgotten.contains(number);
        let mut judged = (0..chain.world.case.numbers).filter(|n| !may_miss.contains(n) && !forgotten(n));
        let is_poison = |number: &u32| task == Task::A && chain.world.case.poisoned && POISON.contains(number);
        let expected = |number: &u32| if is_poison(number) { 0 } else { handed[*number as usize] };
        let is_wrong = |number: &u32| state[*number as usize] != expected(number);
        judged.find(is_wrong).map(|number| Verdict::Miscounted(task, number))
    })
}

/// First appearances keep the order of each source, in the sink and behind S, whose neighbours each serve one. What
/// was diverted appeared in `dead` first, wherever it came out again.
fn out_of_order(chain: &Chain) -> Option<Verdict> {
    let diverted = BTreeSet::from_iter(chain.world.transit.numbers(Queue::Dead));
    let of_source = |queue, source| {
        let numbers = chain.world.transit.numbers(queue).into_iter();
        numbers.filter(|number| number % 2 == source && !diverted.contains(number)).collect::<Vec<u32>>()
    };
    let places = [(Queue::Sink, 0), (Queue::Sink, 1), (Queue::Tail, 0), (Queue::Tail, 1)];
    places.into_iter().find_map(|(queue, source)| first_behind(&of_source(queue, source))).map(Verdict::OutOfOrder)
}

/// The first number that appears for the first time after a higher one.
pub(crate) fn first_behind(numbers: &[u32]) -> Option<u32> {
    let (mut seen, mut highest) = (BTreeSet::new(), 0);
    let mut first_appearances = numbers.iter().copied().filter(|number| seen.insert(*number));
    first_appearances.find(|number| {
        let is_behind = *number < highest;
        highest = highest.max(*number);
        is_behind
    })
}

/// What a person removed: with A's record, or with the files of B's queue after the last process had closed them.
fn may_miss(chain: &Chain) -> BTreeSet<u32> {
    let mut numbers = chain.excuses.may_miss.clone();
    for lane in chain.world.transit.of(Queue::B) {
        let abandoned = lane.abandoned_from.map_or(&[][..], |from| &lane.records[from..]);
        numbers.extend(abandoned.iter().filter_map(|record| record.message.number()));
    }
    numbers
}

/// How often each number stands on a queue, by number.
fn counts(chain: &Chain, queue: Queue) -> Counts {
    counts_of(chain, chain.world.transit.numbers(queue))
}

fn counts_of(chain: &Chain, numbers: Vec<u32>) -> Counts {
    let mut counts = vec![0; chain.world.case.numbers as usize];
    for number in numbers {
        counts[number as usize] += 1;
    }
    counts
}
