//! The workers of a pool, as its dispatcher sees them, and who gets a message: pure.
//!
//! ```text
//!   wanted   1..=N     present ──its queue has no consumer──► away since t ──it has one──► present
//!   surplus  others whose queues still hold something: they get nothing more, and are forgotten when theirs is drained
//! ```
//!
//! A sticky pool has *members*: the wanted workers but those away for long. Their set changes only when no worker has
//! anything unfinished, so what a field's value had at one worker is done before more of it goes to another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::choice::{AHEAD, least, sticky};
use super::handle::Terms;
use crate::config::Balance;

/// A sticky pool waits so long for a worker that is away before its messages go to others: a keeper starts it again
/// within a second, unless it ends again and again.
const OUT: Duration = Duration::from_secs(3);

/// The workers.
pub(super) struct Crew {
    terms: Terms,
    /// By number, since when each is away, if it is.
    workers: BTreeMap<u32, Option<Instant>>,
    /// Those among whom a sticky pool deals, and those among whom it will.
    members: BTreeSet<u32>,
    next: BTreeSet<u32>,
    last: u32,
}

/// Who gets a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// This worker.
    Worker(u32),
    /// Nobody now.
    Wait(Room),
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Room {
    /// Whose room; nobody's: of those that are there nobody gets it.
    pub(super) workers: Vec<u32>,
    /// There is room where no more than this is unfinished.
    pub(super) most: u64,
    /// Whether all of them must have it, or any.
    pub(super) all: bool,
}

impl Crew {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, workers: BTreeMap::new(), members: BTreeSet::new(), next: BTreeSet::new(), last: 0 }
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Goes on by other terms; `found` are the workers that have queues. New ones count as away until they are seen.
    pub(super) fn set_terms(&mut self, terms: Terms, found: impl Iterator<Item = u32>, now: Instant) {
        self.terms = terms;
        for number in (1..=self.terms.workers).chain(found) {
            self.workers.entry(number).or_insert(Some(now));
        }
        self.look(now);
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.workers.keys().copied().collect()
    }

    fn is_wanted(&self, number: u32) -> bool {
        (1..=self.terms.workers).contains(&number)
    }

    /// Whether the task is no pool any more: what its workers have left goes back to its queue.
    pub(super) fn is_dissolved(&self) -> bool {
        self.terms.workers == 0
    }

    fn wanted(&self) -> impl Iterator<Item = (u32, Option<Instant>)> {
        self.workers.iter().map(|(number, away)| (*number, *away)).filter(|(number, _)| self.is_wanted(*number))
    }

    /// Whether a worker is to come, or to go.
    pub(super) fn is_changing(&self) -> bool {
        self.workers.iter().any(|(number, away)| away.is_some() || !self.is_wanted(*number))
    }

    /// Somebody consumes its queue, or nobody does; true if that is new.
    pub(super) fn note(&mut self, number: u32, present: bool, now: Instant) -> bool {
        let Some(away) = self.workers.get_mut(&number) else { return false };
        let before = away.is_none();
        *away = if present { None } else { away.or(Some(now)) };
        before != present
    }

    /// A surplus worker is gone, and its queue drained; true if it was one.
    pub(super) fn forget(&mut self, number: u32) -> bool {
        !self.is_wanted(number) && self.workers.remove(&number).is_some()
    }

    /// Whether what the worker has may be dealt to others, if its queue has no consumer.
    pub(super) fn may_be_relieved(&self, number: u32) -> bool {
        match &self.terms.balance {
            _ if !self.is_wanted(number) => true,
            Balance::Least => true,
            // Its messages wait for it as long as it may come back to them.
            Balance::Sticky(_) => !self.next.contains(&number),
        }
    }

    /// Who is a member from now on, or as soon as all is worked off.
    pub(super) fn look(&mut self, now: Instant) {
        let is_in = |away: Option<Instant>| away.is_none_or(|since| now.saturating_duration_since(since) < OUT);
        let next: BTreeSet<_> = self.wanted().filter(|(_, away)| is_in(*away)).map(|(number, _)| number).collect();
        self.next = if next.is_empty() { (1..=self.terms.workers).collect() } else { next };
    }

    /// Who gets a message, other than `from`, whose own it was. `load` says how much a worker has unfinished; `key` is
    /// what the message says of a field.
    pub(super) fn choose(
        &mut self,
        key: impl FnOnce(&str) -> String,
        from: Option<u32>,
        mut load: impl FnMut(u32) -> u64,
    ) -> Choice {
        let field = match &self.terms.balance {
            Balance::Least => return self.least(from, load),
            Balance::Sticky(field) => field,
        };
        if from.is_none() && self.members != self.next {
            let numbers = self.numbers();
            if numbers.iter().any(|number| load(*number) > 0) {
                return Choice::Wait(Room { workers: numbers, most: 0, all: true });
            }
            self.members.clone_from(&self.next);
        }
        let Some(chosen) = sticky(&key(field), self.next.iter().copied()) else {
            return Choice::Wait(Room::default());
        };
        match load(chosen) < AHEAD {
            true => Choice::Worker(chosen),
            // Others may have nothing to do meanwhile: the first room will do.
            false => Choice::Wait(Room { workers: vec![chosen], most: AHEAD - 1, all: false }),
        }
    }

    fn least(&self, from: Option<u32>, mut load: impl FnMut(u32) -> u64) -> Choice {
        let here = self.wanted().filter(|(number, away)| away.is_none() && Some(*number) != from);
        let here: Vec<_> = here.map(|(number, _)| number).collect();
        match least(here.iter().map(|number| (*number, load(*number))), self.last) {
            Some(chosen) => Choice::Worker(chosen),
            // All have work: it is worth coming back when one has half of it left.
            None => Choice::Wait(Room { workers: here, most: AHEAD / 2, all: false }),
        }
    }

    /// This worker has got one.
    pub(super) fn dealt(&mut self, number: u32) {
        self.last = number;
    }
}

impl Room {
    /// Whether it is there by now.
    pub(super) fn is_there(&self, mut load: impl FnMut(u32) -> u64) -> bool {
        let mut workers = self.workers.iter();
        match self.all {
            true => workers.all(|number| load(*number) <= self.most),
            false => workers.any(|number| load(*number) <= self.most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transit::Settings;

    fn terms(workers: u32, balance: Balance) -> Terms {
        Terms { workers, balance, settings: Settings::default() }
    }

    /// All workers of a new pool are there.
    fn crew(workers: u32, balance: Balance, now: Instant) -> Crew {
        let mut crew = Crew::new(terms(workers, balance.clone()));
        crew.set_terms(terms(workers, balance), std::iter::empty(), now);
        are(&mut crew, workers, true, now);
        crew.look(now);
        crew
    }

    /// All of so many workers are there, or away.
    fn are(crew: &mut Crew, workers: u32, present: bool, now: Instant) {
        for number in 1..=workers {
            crew.note(number, present, now);
        }
    }

    fn by_user() -> Balance {
        Balance::Sticky("user".to_owned())
    }

    fn choose(crew: &mut Crew, key: &str, from: Option<u32>, loads: &[u64]) -> Choice {
        crew.choose(|_| key.to_owned(), from, |number| loads[number as usize - 1])
    }

    #[test]
    fn a_message_goes_to_the_least_loaded_that_is_there_and_never_back_to_where_it_came_from() {
        let now = Instant::now();
        let mut crew = crew(3, Balance::Least, now);
        assert_eq!(choose(&mut crew, "", None, &[2, 1, 3]), Choice::Worker(2));
        assert_eq!(choose(&mut crew, "", Some(2), &[2, 1, 3]), Choice::Worker(1));
        assert!(crew.note(2, false, now) && !crew.note(2, false, now));
        assert_eq!(choose(&mut crew, "", None, &[2, 1, 3]), Choice::Worker(1));
        crew.dealt(1);
        assert_eq!(choose(&mut crew, "", None, &[3, 1, 3]), Choice::Worker(3));
    }

    #[test]
    fn where_all_have_enough_the_first_is_waited_for_that_has_half_of_it_left() {
        let (now, full) = (Instant::now(), AHEAD);
        let mut crew = crew(3, Balance::Least, now);
        let Choice::Wait(room) = choose(&mut crew, "", Some(3), &[full, full, 0]) else { panic!("nobody has room") };
        assert_eq!(room, Room { workers: vec![1, 2], most: AHEAD / 2, all: false });
        assert!(!room.is_there(|_| AHEAD / 2 + 1) && room.is_there(|number| u64::from(number) * (AHEAD / 2)));
        are(&mut crew, 3, false, now);
        let nobody = Room { workers: vec![], most: AHEAD / 2, all: false };
        assert_eq!(choose(&mut crew, "", None, &[0, 0, 0]), Choice::Wait(nobody.clone()));
        assert!(!nobody.is_there(|_| 0));
    }

    #[test]
    fn members_change_only_when_nothing_is_unfinished_and_who_is_away_keeps_its_own_for_a_while() {
        let now = Instant::now();
        let mut crew = crew(3, by_user(), now);
        let Choice::Worker(first) = choose(&mut crew, "anna", None, &[0, 0, 0]) else { panic!("nobody is busy") };
        let mut loads = [0; 3];
        loads[first as usize - 1] = AHEAD;
        let its_room = Room { workers: vec![first], most: AHEAD - 1, all: false };
        assert_eq!(choose(&mut crew, "anna", None, &loads), Choice::Wait(its_room));
        crew.note(first, false, now);
        crew.look(now + OUT / 2);
        assert_eq!(choose(&mut crew, "anna", None, &[0, 0, 0]), Choice::Worker(first));
        assert!(!crew.may_be_relieved(first));
        crew.look(now + OUT);
        assert!(crew.may_be_relieved(first));
        // Who relieves it deals by the new members; who deals new messages waits until nothing is unfinished.
        assert!(matches!(choose(&mut crew, "anna", Some(first), &[1, 1, 1]), Choice::Worker(other) if other != first));
        let all = Room { workers: vec![1, 2, 3], most: 0, all: true };
        assert_eq!(choose(&mut crew, "anna", None, &[0, 1, 0]), Choice::Wait(all.clone()));
        assert!(!all.is_there(|number| u64::from(number == 2)) && all.is_there(|_| 0));
        assert!(matches!(choose(&mut crew, "anna", None, &[0, 0, 0]), Choice::Worker(other) if other != first));
    }

    #[test]
    fn where_all_are_away_for_long_each_keeps_its_own() {
        let now = Instant::now();
        let mut crew = crew(2, by_user(), now);
        let first = choose(&mut crew, "anna", None, &[0, 0]);
        are(&mut crew, 2, false, now);
        crew.look(now + OUT * 2);
        assert_eq!(choose(&mut crew, "anna", None, &[0, 0]), first);
        assert!(!crew.may_be_relieved(1) && !crew.may_be_relieved(2));
    }

    #[test]
    fn a_surplus_worker_gets_nothing_and_is_forgotten_when_it_is_gone() {
        let now = Instant::now();
        let mut crew = crew(3, Balance::Least, now);
        assert!(!crew.is_changing() && !crew.forget(3));
        crew.set_terms(terms(2, Balance::Least), [3, 4].into_iter(), now);
        assert_eq!((crew.numbers(), crew.is_changing()), (vec![1, 2, 3, 4], true));
        assert_eq!(choose(&mut crew, "", None, &[5, 6, 0, 0]), Choice::Worker(1));
        assert!(crew.may_be_relieved(3) && crew.forget(3) && crew.forget(4) && !crew.forget(4));
        assert_eq!((crew.numbers(), crew.is_changing()), (vec![1, 2], false));
        crew.set_terms(terms(0, Balance::Least), std::iter::empty(), now);
        assert!(crew.is_dissolved() && crew.forget(1) && crew.forget(2));
    }
}
