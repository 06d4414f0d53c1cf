//! What the node holds of an actor, and what the actor was given.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::delivery::Delivery;
use super::inlet::{Service, WINDOW};
use super::neighbour::Neighbour;
use super::office::Office;
use super::own_thread;
use super::pool;
use super::registry::TaskKind;
use super::seat::Seat;
use super::shell::{Shell, Source};
use super::succession::Succession;
use super::timed::Timed;
use super::work::Ended;
use crate::config::{self, Framework, QueueSettings};
use crate::mailbox::Mailbox;
use crate::name::TaskName;
use crate::task::{Counts, pool_of};
use crate::transit::{Bell, Fsync, Overflow, Settings};
use crate::value::Map;

/// Orders wait while an actor handles something: a changed config, however often it changes, a quiesce and a stop, and
/// words on its output.
const ORDERS: usize = 5;
/// The first three of these, which must find room however often somebody has asked for a word.
const COMMANDS: usize = 3;

/// What an actor is made of.
pub(super) struct Setup {
    pub(super) office: Arc<Office>,
    pub(super) bell: Arc<Bell>,
    /// This process in words, for whoever else wants one of its queues.
    pub(super) description: Arc<str>,
    pub(super) state_dir: Arc<Path>,
    /// What the task is called: a pool's worker is called as its pool.
    pub(super) name: TaskName,
    pub(super) kind: TaskKind,
    pub(super) own: Arc<Map>,
    pub(super) framework: Arc<Framework>,
    pub(super) role: Role,
}

/// What a process is to a task that runs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// The task's one place: it is started here, its timers tick, its queue is consumed.
    #[default]
    Home,
    /// One of the places of a stateless task: it handles messages of this process, from the first one on, and does
    /// nothing else. `start` and `stop` are not called, and it has no timers.
    Copy,
    /// A worker of a pool: as a home, and the task that it runs under the name `TASK.k` is called `TASK`.
    Worker,
    /// A pool of this many workers, which are other processes: here its queue is dealt out to them.
    Pool {
        /// How many.
        workers: u32,
    },
}

impl Role {
    /// Whether the task is started here, and consumes a queue.
    pub(super) fn is_home(self) -> bool {
        matches!(self, Self::Home | Self::Worker)
    }
}

/// What an actor is told.
pub(super) enum Order {
    /// The config has changed: see [`Changed`].
    Configure,
    /// Say when the output of now is in its queues, or that it is not: by dropping this.
    Append(oneshot::Sender<()>),
    /// End the timers, take nothing more from the transit.
    Quiesce,
    /// Work off what is in memory, save, end. What is left at `until` goes to the task's queue.
    Stop { until: Instant },
}

/// The newest config that an actor has not taken yet. An order to look here waits while there is one, so an actor
/// that is busy for long is told of many changes as of one, and whoever tells it never waits.
#[derive(Clone, Default)]
pub(super) struct Changed(Arc<Mutex<Option<Parts>>>);

/// A task's own part of the config, and the framework's.
type Parts = (Arc<Map>, Arc<Framework>);

impl Changed {
    /// Leaves a config; true when an order to look is due.
    fn put(&self, own: Arc<Map>, framework: Arc<Framework>) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace((own, framework)).is_none()
    }

    /// Takes the newest config.
    pub(super) fn take(&self) -> Option<Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What an actor counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Messages.
    pub(super) handled: AtomicU64,
    /// Starts, and ticks of timers.
    pub(super) ticks: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) emitted: AtomicU64,
    /// Nanoseconds for which it had its thread.
    pub(super) busy_ns: AtomicU64,
    /// Whether it waits for something to do.
    pub(super) idle: AtomicBool,
}

impl Counters {
    /// Adds to one of them. The actor alone does that, on whatever thread it is: a locked instruction would cost more
    /// than all else here.
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// What they say now.
    pub(super) fn counts(&self) -> Counts {
        let [handled, failed, emitted, busy_ns] =
            [&self.handled, &self.failed, &self.emitted, &self.busy_ns].map(|count| count.load(Ordering::Relaxed));
        Counts { handled, failed, emitted, busy: Duration::from_nanos(busy_ns), unmade: 0 }
    }
}

/// A running actor.
pub(super) struct Actor {
    pub(super) counters: Arc<Counters>,
    orders: mpsc::Sender<Order>,
    changed: Changed,
    join: JoinHandle<Ended>,
}

/// A task of this process, as its node holds it.
pub(super) struct Handle {
    pub(super) kind: TaskKind,
    pub(super) own: Arc<Map>,
    pub(super) framework: Arc<Framework>,
    pub(super) role: Role,
    /// What a stateless one is to those who send to it.
    pub(super) neighbour: Option<Arc<Neighbour>>,
    pub(super) seat: Arc<Seat>,
}

impl Setup {
    /// What the task's queue is told about its bound.
    pub(super) fn settings(&self) -> Settings {
        settings(&self.framework.queue)
    }
}

impl Handle {
    /// A task without an actor yet; `name` is that of its queue.
    pub(super) fn new(name: TaskName, setup: Setup) -> Self {
        let (kind, own, framework, role) = (setup.kind, setup.own.clone(), setup.framework.clone(), setup.role);
        let succession = Succession::new(&setup.office, setup.office.home_of(role).clone());
        let seat = Seat::new(setup);
        let neighbour = (!kind.stateful).then(|| Neighbour::new(name, seat.clone(), succession));
        Self { kind, own, framework, role, neighbour, seat }
    }

    /// Tells it that its config has changed.
    pub(super) fn configure(&mut self, own: Arc<Map>, framework: Arc<Framework>) {
        (self.own, self.framework) = (own.clone(), framework.clone());
        self.seat.configure(own, framework);
    }

    /// How its queue is served, if it has one here and is not asked for it itself.
    pub(super) fn service(&self, name: &TaskName) -> Option<Service> {
        let (mailbox, settings) = (self.served()?.clone(), settings(&self.framework.queue));
        let pool = pool_of(name).filter(|_| self.role == Role::Worker).map(|(pool, _)| pool);
        let (settings, window) = match &pool {
            // Half of what a dispatcher hands out ahead is as much as it waits for.
            Some(_) => (pool::of_worker(settings), pool::AHEAD as usize),
            None => (settings, WINDOW),
        };
        // Also what was left by the workers of a former pool has been dealt to this queue.
        let dealer = Some(pool::lane(pool.as_ref().unwrap_or(name)));
        Some(Service { settings, window, mailbox, dealer })
    }

    /// The mailbox that the inlet fills.
    pub(super) fn served(&self) -> Option<&Arc<Mailbox<Delivery>>> {
        let neighbour = self.neighbour.as_ref().filter(|_| self.role.is_home())?;
        Some(&neighbour.mailbox)
    }

    /// Tells it to end, and to work off what it has until `until`; an actor that was never made has nothing.
    pub(super) fn leave(&self, office: &Office, until: Instant) -> Option<Actor> {
        let actor = self.seat.leave();
        match (&actor, &self.neighbour) {
            (Some(actor), _) => actor.order(Order::Stop { until }),
            (None, Some(neighbour)) => office.leave(neighbour),
            (None, None) => {}
        }
        actor
    }

    /// Whether it has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        let open = self.neighbour.as_ref().map_or(0, |neighbour| neighbour.mailbox.status().open);
        self.seat.has_ended() || (open == 0 && self.seat.is_idle())
    }

    /// A number that moves whenever something happens here.
    pub(super) fn movement(&self) -> u64 {
        let pushed = self.neighbour.as_ref().map_or(0, |neighbour| neighbour.mailbox.status().pushed);
        pushed + self.seat.handled()
    }
}

impl Actor {
    /// Starts an actor that reads `source`.
    pub(super) fn start(setup: Setup, source: Source) -> Self {
        let (orders, rx) = mpsc::channel(ORDERS);
        let counters = Arc::new(Counters::default());
        let (blocking, name, run) = (setup.framework.blocking, setup.name.clone(), setup.kind.run);
        let changed = Changed::default();
        let actor = run(Box::new(Shell::new(setup, rx, changed.clone(), source, counters.clone())));
        let actor = Box::pin(Timed::new(actor, counters.clone()));
        let join = if blocking { own_thread::run(&name, actor) } else { tokio::spawn(actor) };
        Self { counters, orders, changed, join }
    }

    /// Tells the actor something, once each but for `configure`. One that has ended is told nothing. It never waits:
    /// an actor that is held up must not hold up its node.
    pub(super) fn order(&self, order: Order) {
        if matches!(order, Order::Append(_)) && self.orders.capacity() <= COMMANDS {
            tracing::debug!("an actor that is busy for long is not asked for its output again");
            return;
        }
        if self.orders.try_send(order).is_err() {
            tracing::debug!("an actor that has ended was given an order");
        }
    }

    /// Tells the actor that its config has changed.
    pub(super) fn configure(&self, own: Arc<Map>, framework: Arc<Framework>) {
        if self.changed.put(own, framework) {
            self.order(Order::Configure);
        }
    }

    /// Whether the actor has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.join.is_finished()
    }

    /// Waits for the end.
    pub(super) async fn join(&mut self) -> Ended {
        (&mut self.join).await.unwrap_or(Ended::Failed)
    }

    /// Ends the actor where it stands.
    pub(super) fn abort(&self) {
        self.join.abort();
    }
}

/// What a config says of a queue, in the transit's terms; the usual where it says nothing.
#[must_use]
pub fn settings(queue: &QueueSettings) -> Settings {
    let usual = Settings::default();
    let overflow = queue.overflow.map_or(usual.overflow, |overflow| match overflow {
        config::Overflow::Block => Overflow::Block,
        config::Overflow::DropOldest => Overflow::DropOldest,
        config::Overflow::DropNewest => Overflow::DropNewest,
        config::Overflow::DeadLetter => Overflow::DeadLetter,
    });
    let fsync = queue.fsync.map_or(usual.fsync, |fsync| match fsync {
        config::Fsync::Never => Fsync::Never,
        config::Fsync::Interval => Fsync::Interval,
        config::Fsync::Always => Fsync::Always,
    });
    Settings {
        max_bytes: queue.max_bytes.unwrap_or(usual.max_bytes),
        max_messages: queue.max_messages.unwrap_or(usual.max_messages),
        overflow,
        block_timeout: queue.block_timeout.unwrap_or(usual.block_timeout),
        fsync,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_actor_that_is_busy_for_long_is_told_to_end_however_often_it_was_asked_for_its_output() {
        let (orders, mut rx) = mpsc::channel(ORDERS);
        let (counters, changed) = (Arc::default(), Changed::default());
        let actor = Actor { counters, orders, changed, join: tokio::spawn(std::future::pending()) };
        for _ in 0..2 * ORDERS {
            let (appended, _nobody) = oneshot::channel();
            actor.order(Order::Append(appended));
        }
        actor.order(Order::Configure);
        actor.order(Order::Quiesce);
        actor.order(Order::Stop { until: Instant::now() });
        let told: Vec<_> = std::iter::from_fn(|| rx.try_recv().ok()).collect();
        assert!(
            matches!(told[..], [.., Order::Configure, Order::Quiesce, Order::Stop { .. }]),
            "{} orders",
            told.len()
        );
    }
}
