//! Where the actor of a task sits: it may be there, or come when somebody needs it.
//!
//! ```text
//!   Waiting ──start, or the first message for a copy──► Taken ──leave──► Left
//!      └───────────────────────────────leave──────────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handle::{Actor, Counters, Order, Role, Setup};
use super::neighbour::Neighbour;
use super::shell::Source;
use crate::config::Framework;
use crate::task::Counts;
use crate::value::Map;

/// A task's seat.
pub(super) struct Seat(Mutex<State>);

enum State {
    Waiting(Box<Setup>),
    Taken(Actor),
    Left,
}

impl Seat {
    /// An actor that can be made of `setup`.
    pub(super) fn new(setup: Setup) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::Waiting(Box::new(setup)))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the actor, unless it is there or was told to leave; a stateless one reads the mailbox of `neighbour`.
    pub(super) fn start(&self, neighbour: Option<&Arc<Neighbour>>) {
        take(&mut self.lock(), neighbour);
    }

    /// There is a message: makes the actor of a copy. True when somebody will read it.
    pub(super) fn wake(&self, neighbour: &Arc<Neighbour>) -> bool {
        let mut state = self.lock();
        if matches!(&*state, State::Waiting(setup) if setup.role == Role::Copy) {
            take(&mut state, Some(neighbour));
        }
        !matches!(*state, State::Left)
    }

    /// The actor, if it was ever made, so that it can be told to end; none is made from now on.
    pub(super) fn leave(&self) -> Option<Actor> {
        match std::mem::replace(&mut *self.lock(), State::Left) {
            State::Taken(actor) => Some(actor),
            State::Waiting(_) | State::Left => None,
        }
    }

    /// Tells the actor something. One that is not there needs to be told nothing.
    pub(super) fn order(&self, order: Order) {
        if let State::Taken(actor) = &*self.lock() {
            actor.order(order);
        }
    }

    /// The config has changed.
    pub(super) fn configure(&self, own: Arc<Map>, framework: Arc<Framework>) {
        match &mut *self.lock() {
            State::Waiting(setup) => (setup.own, setup.framework) = (own, framework),
            State::Taken(actor) => actor.configure(own, framework),
            State::Left => {}
        }
    }

    /// Whether the actor has ended.
    pub(super) fn has_ended(&self) -> bool {
        match &*self.lock() {
            State::Waiting(_) => false,
            State::Taken(actor) => actor.has_ended(),
            State::Left => true,
        }
    }

    /// Whether the actor waits for something to do.
    pub(super) fn is_idle(&self) -> bool {
        match &*self.lock() {
            State::Taken(actor) => actor.has_ended() || actor.counters.idle.load(Ordering::Acquire),
            State::Waiting(_) | State::Left => true,
        }
    }

    /// What the actor has done; nothing where there is none.
    pub(super) fn counts(&self) -> Option<Counts> {
        match &*self.lock() {
            State::Taken(actor) => Some(Counts { unmade: actor.has_ended().into(), ..actor.counters.counts() }),
            State::Waiting(_) | State::Left => None,
        }
    }

    /// How many activations it has handled.
    pub(super) fn handled(&self) -> u64 {
        match &*self.lock() {
            State::Taken(actor) => {
                let Counters { handled, ticks, .. } = &*actor.counters;
                handled.load(Ordering::Acquire) + ticks.load(Ordering::Acquire)
            }
            State::Waiting(_) | State::Left => 0,
        }
    }
}

fn take(state: &mut State, neighbour: Option<&Arc<Neighbour>>) {
    match std::mem::replace(state, State::Left) {
        State::Waiting(setup) => {
            let source = match neighbour {
                Some(neighbour) => Source::Mailbox(neighbour.clone(), VecDeque::new()),
                None => Source::Durable(None),
            };
            *state = State::Taken(Actor::start(*setup, source));
        }
        other => *state = other,
    }
}
