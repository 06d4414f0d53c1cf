//! All tasks of one process.
//!
//! The node compares what should run with what runs, and starts, configures and ends actors. It has one owner, who
//! calls it; it decides nothing by itself.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::appending;
use super::control::ControlInbox;
use super::dead;
use super::delivery::Delivery;
use super::handle::{Handle, Order, Role, Setup, settings};
use super::inlet::{InletHandle, Service, WINDOW};
use super::leaver::Leaver;
use super::office::Office;
use super::pool::{PoolHandle, Terms};
use super::process_lane::Way;
use super::registry::TaskKind;
use super::service::{Doorman, Watchman};
use super::switchboard::{Destination, Switchboard};
use super::usher::Usher;
use super::waits::Wait;
use crate::config::{Balance, Framework};
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::name::{LaneName, QueueName, TaskName};
use crate::router::RoutingTable;
use crate::store;
use crate::task::{Counts, pool_of};
use crate::transit::{Bell, Error, Settings, Transit};
use crate::usage::counts_writes;
use crate::value::Map;

/// How often the end looks whether everything is worked off.
const IDLE_LOOK: Duration = Duration::from_millis(2);

/// What a node needs.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// The transit that its tasks use.
    pub transit: Transit,
    /// Where its tasks' states lie.
    pub state_dir: PathBuf,
    /// The process's name in lanes: `process:NAME`, or `pool:NAME.3` where it is that of a worker.
    pub process: TaskName,
    /// The same of the daemon's process, where stateless tasks are at home that are copies here.
    pub daemon: TaskName,
    /// This process in words, for whoever else wants one of its queues.
    pub description: String,
    /// The queue that its owner reads, if it reads one.
    pub control_queue: Option<QueueName>,
}

/// How long a reload waits for the tasks that leave.
const LEAVING: Duration = Duration::from_secs(2);
/// After this long those that leave put what they have left into their queues, which takes a moment, too.
const WORKING_OFF: Duration = Duration::from_millis(1500);

/// A task that should run.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its code.
    pub kind: TaskKind,
    /// Its own part of the config.
    pub own: Arc<Map>,
    /// The framework's part.
    pub framework: Arc<Framework>,
    /// What this process is to it.
    pub role: Role,
}

/// The tasks of one process.
pub struct Node {
    office: Arc<Office>,
    bell: Arc<Bell>,
    description: Arc<str>,
    state_dir: Arc<Path>,
    inlet: InletHandle,
    actors: BTreeMap<TaskName, Handle>,
    pools: BTreeMap<TaskName, PoolHandle>,
    /// Doorman and usher.
    servants: [JoinHandle<()>; 2],
    _watchman: Watchman,
    /// Actors that were told to end by a reload and are not done yet.
    lingering: JoinSet<()>,
    /// Lines of channels that found no room in their queue.
    lost_lines: AtomicU64,
}

impl Node {
    /// A node without tasks, and the inbox of its control queue, if it has one. Must be called within a tokio runtime.
    pub async fn start(options: NodeOptions) -> Result<(Self, Option<ControlInbox>), Error> {
        let NodeOptions { transit, state_dir, process, daemon, description, control_queue } = options;
        let bell = Bell::open(&transit)?;
        dead::open(&transit).await?;
        let board = Switchboard::new(RoutingTable::default(), HashMap::new());
        let lane = match pool_of(&process) {
            Some((pool, worker)) => LaneName::Pool(pool, worker),
            None => LaneName::Process(process),
        };
        let office = Arc::new(Office::new(transit, board, lane, LaneName::Process(daemon)));
        let servants = [Doorman::start(bell.clone(), office.clone()), Usher::start(office.clone())];
        let watchman = Watchman::start(office.watch.clone());
        let inlet = InletHandle::start(office.clone(), bell.clone(), description.clone());
        let mut inbox = None;
        if let Some(control_queue) = control_queue {
            let mailbox = Arc::new(Mailbox::new());
            let service =
                Service { settings: Settings::default(), window: WINDOW, mailbox: mailbox.clone(), dealer: None };
            inlet.serve(control_queue, service).await;
            inbox = Some(ControlInbox::new(mailbox));
        }
        let node = Self {
            office,
            bell,
            description: description.into(),
            state_dir: state_dir.into(),
            inlet,
            actors: BTreeMap::new(),
            pools: BTreeMap::new(),
            servants,
            _watchman: watchman,
            lingering: JoinSet::new(),
            lost_lines: AtomicU64::new(0),
        };
        Ok((node, inbox))
    }

    /// Makes what runs be what is wanted, and routes by `table` from now on. Tasks that are wanted as they are are
    /// not touched.
    pub async fn apply(&mut self, wanted: BTreeMap<TaskName, Wanted>, table: RoutingTable) {
        let is_pool = |task: &Wanted| matches!(task.role, Role::Pool { .. });
        let (pools, wanted): (BTreeMap<_, _>, BTreeMap<_, _>) = wanted.into_iter().partition(|(_, task)| is_pool(task));
        let pools: BTreeMap<_, _> = pools.into_iter().map(|(name, task)| (name, terms(&task))).collect();
        self.end_pools(|name, pool| pool.is_dissolved() || !pools.contains_key(name)).await;
        let leaving: Vec<_> = self.leaving(&wanted);
        let leavers: Vec<_> = leaving.iter().filter_map(|name| self.actors.remove_entry(name)).collect();
        let new = wanted.iter().filter(|(name, _)| !self.actors.contains_key(*name));
        let fresh: BTreeMap<_, _> =
            new.map(|(name, task)| (name.clone(), Handle::new(name.clone(), self.setup(name, task)))).collect();
        self.switch(table, &fresh);
        failpoint!("migration.table_switched");
        // Those who leave work off what they have; when they are done, their senders send elsewhere.
        let leaves_lanes = leavers.iter().any(|(_, handle)| handle.neighbour.is_some());
        self.end(leavers).await;
        if leaves_lanes {
            appending::append_outputs(self.actors.iter(), &self.office.waits).await;
        }
        failpoint!("migration.left");
        for (name, task) in wanted.iter().filter(|(name, _)| !fresh.contains_key(*name)) {
            self.configure(name, task);
        }
        for (name, handle) in fresh {
            self.begin(name, handle).await;
        }
        self.begin_pools(pools);
    }

    /// Gives back the queues of pools.
    async fn end_pools(&mut self, is_leaving: impl Fn(&TaskName, &PoolHandle) -> bool) {
        let leaving = self.pools.iter().filter(|(name, pool)| is_leaving(name, pool));
        let leaving: Vec<_> = leaving.map(|(name, _)| name.clone()).collect();
        for pool in leaving.iter().filter_map(|name| self.pools.remove(name)).collect::<Vec<_>>() {
            pool.stop().await;
        }
    }

    /// Puts what workers have left back into the queues of `tasks`, which are no pools any more: until the next
    /// [`Node::apply`], or until it is done.
    pub fn dissolve_pools(&mut self, tasks: impl Iterator<Item = TaskName>) {
        let none = Terms { workers: 0, balance: Balance::Least, settings: Settings::default() };
        self.begin_pools(tasks.map(|task| (task, none.clone())).collect());
    }

    fn begin_pools(&mut self, wanted: BTreeMap<TaskName, Terms>) {
        for (name, terms) in wanted {
            match self.pools.get(&name) {
                Some(pool) => pool.configure(terms),
                None => {
                    let pool = PoolHandle::start(&self.office, &self.bell, &self.description, &name, terms);
                    self.pools.insert(name, pool);
                }
            }
        }
    }

    /// Who runs and is not wanted, or not in this form.
    fn leaving(&self, wanted: &BTreeMap<TaskName, Wanted>) -> Vec<TaskName> {
        let stays = |name: &TaskName, handle: &Handle| {
            wanted.get(name).is_some_and(|task| {
                let same_place = task.framework.blocking == handle.framework.blocking;
                let same_queue = task.framework.queue == handle.framework.queue;
                let changed = task.own != handle.own || task.framework != handle.framework;
                let same_role = task.role == handle.role;
                task.kind.path == handle.kind.path
                    && same_role
                    && same_place
                    && same_queue
                    && !(changed && handle.seat.has_ended())
            })
        };
        self.actors.iter().filter(|(name, handle)| !stays(name, handle)).map(|(name, _)| name.clone()).collect()
    }

    fn switch(&self, table: RoutingTable, fresh: &BTreeMap<TaskName, Handle>) {
        let all = self.actors.iter().chain(fresh);
        let neighbours = all.filter_map(|(name, handle)| Some((name.queue(), handle.neighbour.clone()?)));
        let switchboard = Switchboard::new(table, neighbours.collect());
        self.office.switchboard.store(Arc::new(switchboard));
    }

    fn setup(&self, name: &TaskName, task: &Wanted) -> Setup {
        Setup {
            office: self.office.clone(),
            bell: self.bell.clone(),
            description: self.description.clone(),
            state_dir: self.state_dir.clone(),
            name: pool_of(name).filter(|_| task.role == Role::Worker).map_or_else(|| name.clone(), |(pool, _)| pool),
            kind: task.kind,
            own: task.own.clone(),
            framework: task.framework.clone(),
            role: task.role,
        }
    }

    async fn begin(&mut self, name: TaskName, handle: Handle) {
        if handle.role.is_home() {
            if let Some(service) = handle.service(&name) {
                self.inlet.serve(name.queue(), service).await;
            }
            tracing::debug!(task = name.as_str(), "task {name} begins, by {}", handle.kind.path);
            handle.seat.start(handle.neighbour.as_ref());
        }
        self.actors.insert(name, handle);
    }

    fn configure(&mut self, name: &TaskName, task: &Wanted) {
        let Some(handle) = self.actors.get_mut(name) else { return };
        if handle.own == task.own && handle.framework.is_the_same_to_its_task(&task.framework) {
            handle.framework = task.framework.clone();
            return;
        }
        tracing::debug!(task = name.as_str(), "task {name} gets a changed config");
        handle.configure(task.own.clone(), task.framework.clone());
    }

    /// Ends actors: the inlet hands them nothing more, they work off what they have, their queues are finished.
    async fn end(&mut self, leavers: Vec<(TaskName, Handle)>) {
        let (until, deadline) = (Instant::now() + WORKING_OFF, Instant::now() + LEAVING);
        let mut leaving = Vec::new();
        for (name, handle) in leavers {
            tracing::debug!(task = name.as_str(), "task {name} ends");
            if handle.served().is_some() {
                self.inlet.pause(name.queue()).await;
            }
            let actor = handle.leave(&self.office, until);
            leaving.push(Leaver { served: handle.served().cloned(), name, actor, inlet: self.inlet.clone() });
        }
        for mut leaver in leaving {
            if tokio::time::timeout_at(deadline, leaver.leave()).await.is_ok() {
                continue;
            }
            // A full queue holds up the task that leaves, and nobody else.
            tracing::error!("{0} was told to end and is still busy; it ends when it can", leaver.name);
            self.lingering.spawn(async move { leaver.leave().await });
        }
    }

    /// Sends a line of a channel to `queue`: routed if that is the router's, else appended as it is. Where there is
    /// no room it is dropped: a line must not hold up what it tells about.
    pub fn send_line(&self, queue: &QueueName, line: Map) {
        let message = Message::new(line);
        let neighbour = match self.office.switchboard.load().named(queue) {
            Destination::Neighbour(neighbour) => Some(neighbour),
            Destination::Transit(_) => None,
        };
        match self.office.send(queue, neighbour.as_ref(), &message, &mut Vec::new()) {
            Ok(Way::Appended) => return,
            Ok(Way::Memory(there)) => {
                let delivery = Delivery { message, origin: None };
                let room = there.mailbox.status().open < crate::mailbox::CAPACITY;
                if room && there.mailbox.push_unbounded(delivery).is_ok() {
                    return;
                }
            }
            Err(refusal) => tracing::debug!("a line of a channel: {refusal}"),
        }
        self.lost_lines.fetch_add(1, Ordering::Relaxed);
    }

    /// An external process is said to have begun or ended: the dispatcher of its pool, if it is a worker of one here,
    /// looks at it now rather than within a second.
    pub fn look_at_worker(&self, process: &TaskName) {
        if let Some((pool, number)) = pool_of(process)
            && let Some(pool) = self.pools.get(&pool)
        {
            pool.look_at(number);
        }
    }

    /// Which of its tasks wait for room, where, and since when; longest first.
    #[must_use]
    pub fn waits(&self) -> Vec<Wait> {
        self.office.waits.list()
    }

    /// What its tasks have done since they were made; of those that nobody has needed yet nothing.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<TaskName, Counts> {
        let counts = |(name, handle): (&TaskName, &Handle)| Some((name.clone(), handle.seat.counts()?));
        self.actors.iter().filter_map(counts).collect()
    }

    /// Bytes that the kernel counts as written by this process, and that are its queues' and states': a second old.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        let transit = &self.office.transit;
        let written = [(transit.root(), transit.written_bytes()), (&*self.state_dir, store::written_bytes())];
        written.into_iter().filter(|(path, _)| counts_writes(path)).map(|(_, bytes)| bytes).sum()
    }

    /// Which tasks run.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskName> {
        self.actors.keys()
    }

    /// Which of its tasks have ended by themselves, with a fault that was told.
    pub fn failed(&self) -> impl Iterator<Item = &TaskName> {
        self.actors.iter().filter(|(_, handle)| handle.seat.has_ended()).map(|(name, _)| name)
    }

    /// Ends everything in order: timers end, what is in mailboxes is delivered, states are saved. After `patience`
    /// what is left is given up and said; what came from the transit is still there. True: all ended orderly.
    pub async fn stop(mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        self.office.transit.spare_inputs();
        self.end_pools(|_, _| true).await;
        self.inlet.quiesce().await;
        for handle in self.actors.values() {
            handle.seat.order(Order::Quiesce);
        }
        self.worked_off(deadline).await;
        let actors = std::mem::take(&mut self.actors);
        let leaving: Vec<_> =
            actors.into_iter().map(|(name, handle)| (name, handle.leave(&self.office, deadline))).collect();
        self.office.give_up_at(deadline);
        let mut orderly = true;
        for (name, actor) in leaving {
            let Some(mut actor) = actor else { continue };
            // Each gets a moment even after the deadline: it may be just about to save.
            let until = deadline.max(Instant::now() + Duration::from_millis(100));
            match tokio::time::timeout_at(until, actor.join()).await {
                Ok(ended) => orderly &= ended == super::work::Ended::Orderly,
                Err(_) => {
                    tracing::error!("{name} did not end within {} s and is given up", patience.as_secs());
                    actor.abort();
                    orderly = false;
                }
            }
        }
        self.inlet.stop().await;
        let lost = self.lost_lines.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::error!("{lost} lines for queues of channels found no room and were dropped");
        }
        self.servants.iter().for_each(JoinHandle::abort);
        orderly
    }

    /// Waits until nobody has anything to do in memory.
    async fn worked_off(&self, deadline: Instant) {
        let mut last = None;
        while Instant::now() < deadline {
            let movement: u64 = self.actors.values().map(Handle::movement).sum();
            // Two looks with nothing moved in between: no message was on its way past the looks.
            let idle = self.actors.values().all(Handle::is_idle);
            if idle && last == Some(movement) {
                return;
            }
            last = idle.then_some(movement);
            tokio::time::sleep(IDLE_LOOK).await;
        }
    }
}

fn terms(pool: &Wanted) -> Terms {
    let workers = if let Role::Pool { workers } = pool.role { workers } else { 1 };
    let balance = pool.framework.balance.clone().unwrap_or(Balance::Least);
    Terms { workers, balance, settings: settings(&pool.framework.queue) }
}
