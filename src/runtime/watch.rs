//! Watches for tasks that block their thread.
//!
//! Each thread that runs tasks has a slot: whose turn it is, and a count that moves with every turn. A look at
//! the slots that finds the same turn as a second ago has found a task that blocks. The path of a message pays
//! two relaxed stores and reads no clock.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::name::TaskName;

/// A turn that lasts longer is reported: a second is long after any reasonable computation, and soon enough that
/// the line stands near its cause.
pub(super) const BLOCKED_AFTER: Duration = Duration::from_secs(1);

/// All threads that run tasks, and the tasks by number.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    tasks: Mutex<Tasks>,
    slots: Mutex<Vec<Arc<Slot>>>,
}

/// Tasks by number, from 1 on.
#[derive(Debug, Default)]
struct Tasks {
    watched: Vec<Option<Watched>>,
    /// The numbers of tasks that are gone, with the count of their last turn: who gets one goes on from there, so that
    /// its turns are no others'.
    free: Vec<(u64, u64)>,
}

#[derive(Debug, Clone)]
struct Watched {
    name: TaskName,
    /// A task with a thread of its own may block it.
    may_block: Arc<AtomicBool>,
}

/// One thread's turn: the task's number above, the count below; 0 between turns.
#[derive(Debug, Default)]
struct Slot(AtomicU64);

/// Bits of the count within a slot's word.
const COUNT_BITS: u32 = 40;

/// A task's right to take turns; its number is another's when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    watch: Watch,
    number: u64,
    may_block: Arc<AtomicBool>,
    count: AtomicU64,
}

/// A turn under way on this thread; it ends when this is dropped.
pub(super) struct TurnGuard(PhantomData<*const Slot>);

/// A task that has blocked its thread for `blocked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocked {
    pub(super) task: TaskName,
    pub(super) blocked: Duration,
}

thread_local! {
    /// This thread's slot, and the watch it belongs to.
    static SLOT: RefCell<Option<(Watch, Arc<Slot>)>> = const { RefCell::new(None) };
}

impl Watch {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Gives a task its number.
    pub(super) fn register(&self, name: TaskName) -> Turn {
        let may_block = Arc::new(AtomicBool::new(false));
        let watched = Some(Watched { name, may_block: may_block.clone() });
        let mut tasks = self.tasks();
        let (number, count) = match tasks.free.pop() {
            Some((number, count)) => {
                tasks.watched[index(number)] = watched;
                (number, count)
            }
            None => {
                tasks.watched.push(watched);
                (tasks.watched.len() as u64, 0)
            }
        };
        Turn { watch: self.clone(), number, may_block, count: AtomicU64::new(count) }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores into this thread's slot.
    fn store(&self, word: u64) {
        SLOT.with_borrow_mut(|mine| match mine {
            Some((watch, slot)) if Arc::ptr_eq(&watch.0, &self.0) => slot.0.store(word, Ordering::Relaxed),
            _ => {
                let slot = Arc::new(Slot(AtomicU64::new(word)));
                self.0.slots.lock().unwrap_or_else(PoisonError::into_inner).push(slot.clone());
                *mine = Some((self.clone(), slot));
            }
        });
    }

    fn words(&self) -> Vec<u64> {
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // A slot that only this table holds belonged to a thread that ended.
        slots.retain(|slot| Arc::strong_count(slot) > 1);
        slots.iter().map(|slot| slot.0.load(Ordering::Relaxed)).collect()
    }

    fn name(&self, number: u64) -> Option<TaskName> {
        let tasks = self.tasks();
        let task = tasks.watched.get(index(number))?.as_ref()?;
        (!task.may_block.load(Ordering::Relaxed)).then(|| task.name.clone())
    }
}

/// Where a task stands; 0 is no task's number.
fn index(number: u64) -> usize {
    usize::try_from(number).ok().and_then(|number| number.checked_sub(1)).unwrap_or(usize::MAX)
}

impl Turn {
    /// Whether this task may block the thread it runs on.
    pub(super) fn set_may_block(&self, may_block: bool) {
        self.may_block.store(may_block, Ordering::Relaxed);
    }

    /// Begins a turn on this thread.
    pub(super) fn begin(&self) -> TurnGuard {
        let count = self.count.load(Ordering::Relaxed).wrapping_add(1) & ((1 << COUNT_BITS) - 1);
        self.count.store(count, Ordering::Relaxed);
        self.watch.store((self.number << COUNT_BITS) | count);
        TurnGuard(PhantomData)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut tasks = self.watch.tasks();
        tasks.watched[index(self.number)] = None;
        tasks.free.push((self.number, self.count.load(Ordering::Relaxed)));
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        // The slot is the one that the turn began in: a guard does not leave its thread.
        SLOT.with_borrow(|mine| mine.iter().for_each(|(_, slot)| slot.0.store(0, Ordering::Relaxed)));
    }
}

/// What the last looks saw.
#[derive(Debug, Default)]
pub(super) struct Looks(Vec<Look>);

#[derive(Debug, Clone, Copy)]
struct Look {
    word: u64,
    since: Instant,
    /// An earlier look has seen the same turn.
    lasts: bool,
    reported: bool,
}

impl Looks {
    /// Looks at every slot; returns the turns that have now lasted too long, each once.
    pub(super) fn look(&mut self, watch: &Watch, now: Instant) -> Vec<Blocked> {
        let before = std::mem::take(&mut self.0);
        let mut blocked = Vec::new();
        for word in watch.words().into_iter().filter(|word| *word != 0) {
            let seen = before.iter().find(|look| look.word == word);
            let new = Look { word, since: now, lasts: false, reported: false };
            let mut look = seen.map_or(new, |look| Look { lasts: true, ..*look });
            let lasted = now.saturating_duration_since(look.since);
            if !look.reported && lasted >= BLOCKED_AFTER {
                look.reported = true;
                blocked.extend(watch.name(word >> COUNT_BITS).map(|task| Blocked { task, blocked: lasted }));
            }
            self.0.push(look);
        }
        blocked
    }

    /// Whether some turn has lasted from one look to the next.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.iter().any(|look| look.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_lasts_is_reported_once_and_a_new_one_is_not() {
        let (watch, mut looks, start) = (Watch::new(), Looks::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let name = TaskName::new("sleeper").unwrap();
        let turn = watch.register(name.clone());
        let guard = turn.begin();
        assert_eq!(looks.look(&watch, start), []);
        assert!(!looks.is_blocked());
        assert_eq!(looks.look(&watch, at(2)), [Blocked { task: name, blocked: Duration::from_secs(2) }]);
        assert_eq!(looks.look(&watch, at(4)), []);
        assert!(looks.is_blocked());
        drop(guard);
        let _guard = turn.begin();
        assert_eq!(looks.look(&watch, at(6)), []);
        assert!(!looks.is_blocked());
    }

    #[test]
    fn tasks_that_come_and_go_leave_nothing_and_their_turns_are_no_others() {
        let (watch, mut looks, start) = (Watch::new(), Looks::default(), Instant::now());
        for second in 0..9 {
            let turn = watch.register(TaskName::new(format!("task{second}")).unwrap());
            let _guard = turn.begin();
            assert_eq!(looks.look(&watch, start + Duration::from_secs(second)), []);
        }
        assert_eq!(watch.tasks().watched.len(), 1);
        assert_eq!(watch.name(1), None);
    }

    #[test]
    fn a_task_with_a_thread_of_its_own_may_block_it() {
        let (watch, mut looks, start) = (Watch::new(), Looks::default(), Instant::now());
        let turn = watch.register(TaskName::new("sleeper").unwrap());
        turn.set_may_block(true);
        let _guard = turn.begin();
        looks.look(&watch, start);
        assert_eq!(looks.look(&watch, start + Duration::from_secs(9)), []);
    }
}
