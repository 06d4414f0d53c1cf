//! Puts every task where the config wants it: in this process, in hosts, on the way from one to another.
//!
//! A task that moves is nowhere for a moment: first every process takes a config without it, and so has saved it,
//! worked off what its memory held for it, and given its locks back; then every process takes the config with it in
//! its new place. So what was sent before the move is handled before what was sent after it. What is sent in between
//! waits in the task's queue.
//!
//! A stateless task that moves also waits for those that it has sent to: see `draining`.
//!
//! A host that does not answer is not waited for long: its tasks' locks are what keeps them from running twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::assembly::{Assembly, Surroundings};
use super::caps::caps;
use super::draining::{AWAY, AWAY_IN_ORDER, say_silent, stateless_of};
use super::error::DaemonError;
use super::running::Daemon;
use super::running_conf::{RunningConfError, prepare_running_conf, read_running_conf};
use super::share::{Process, cpus};
use super::watching::entries_of;
use crate::config::{QueueSettings, RestartSettings, RestartWhen, RunningConfig};
use crate::name::{QueueName, TaskName};
use crate::process::Replacement;
use crate::restart::{Backoff, Budget, Policy, When};
use crate::router::RoutingTable;
use crate::runtime::{Wanted, queue_settings};
use crate::supervisor::Spec;
use crate::task::{Move, Place, Placed, Placement, pool_of, worker_name};
use crate::value::Map;

impl Daemon {
    /// Makes what runs, and where, be what `assembly` says; `effective` is the config that it was made of.
    pub(super) async fn put_in_place(&mut self, assembly: &Assembly, effective: Map) -> Result<(), DaemonError> {
        let mut moved = moved(&self.placement, &assembly.placement);
        moved.extend(self.on_their_way.iter().filter(|name| assembly.wanted.contains_key(*name)).cloned());
        self.bound_queues(assembly);
        self.tell_lacking(assembly);
        self.hold_taken_out(assembly);
        if !moved.is_empty() {
            let nowhere = moved.union(&self.stopped).cloned().collect();
            self.spread(assembly, &effective, nowhere, Spread::Away).await?;
            failpoint!("migration.nowhere");
            self.wait_for_receivers(assembly, &effective, &moved).await?;
            failpoint!("migration.waited");
        }
        self.spread(assembly, &effective, self.stopped.clone(), Spread::Home).await?;
        let left = self.left_by_workers(&assembly.placement);
        self.node.dissolve_pools(left.into_iter());
        failpoint!("migration.in_place");
        self.speaks_anew = false;
        self.want(assembly, &effective).await;
        failpoint!("migration.wanted");
        self.on_their_way.clear();
        self.removed(&assembly.placement);
        self.watching.unwritten.retain(|name, _| self.watching.stopped.contains(name));
        self.note_places(&assembly.placement);
        let nowhere = self.watching.stopped.union(&self.stopped).cloned().collect();
        self.watching.counting.placed(&assembly.placement, &nowhere, &assembly.missing);
        self.placement = assembly.placement.clone();
        Ok(())
    }

    /// Has the processes of this assembly run, and no others.
    pub(super) async fn want(&mut self, assembly: &Assembly, effective: &Map) {
        let by = self.by.as_deref().unwrap_or("the config");
        self.supervisor.want(&specs(assembly, effective, &self.stopped), by).await;
    }

    /// The tasks that are no pools any more, and whose workers have left something.
    fn left_by_workers(&self, placement: &Placement) -> BTreeSet<TaskName> {
        let holds = |queue: &QueueName| {
            let status = self.transit.status(queue).ok().flatten();
            status.is_some_and(|status| status.messages > 0)
        };
        let of_workers = self.transit.queues().unwrap_or_default().into_iter().filter_map(|queue| {
            let (task, _) = pool_of(&queue.task())?;
            let is_former = placement.by_task.contains_key(&task) && !placement.is_pool(&task);
            (is_former && holds(&queue)).then_some(task)
        });
        of_workers.collect()
    }

    /// Has all processes run their shares of `assembly`, without the tasks that are `nowhere`.
    pub(super) async fn spread(
        &mut self,
        assembly: &Assembly,
        effective: &Map,
        nowhere: BTreeSet<TaskName>,
        spread: Spread,
    ) -> Result<(), DaemonError> {
        // Who waits for a person runs as little as who is on its way.
        let nowhere: BTreeSet<_> = nowhere.into_iter().chain(self.watching.stopped.iter().cloned()).collect();
        let share = assembly.share(Process::Daemon, &nowhere);
        let stateless = stateless_of(assembly, &nowhere);
        let next = self.prepare(effective, nowhere)?;
        // It was compiled without faults before.
        let table = RoutingTable::compile(&assembly.config.router).unwrap_or_default();
        if spread == Spread::Away {
            // A task's home in this process is gone before anybody else sends to its queue what would overtake there what
            // is on its way through memory. A process that starts meanwhile goes by the config before.
            self.node.apply(share, table).await;
            let generation = next.publish()?;
            // What a task that moves has sent from its old place may still be in the hands of a host that was killed.
            let patience = if stateless.is_empty() { AWAY } else { AWAY_IN_ORDER };
            let silent = self.supervisor.configure(generation, Some(patience)).await;
            say_silent(&silent, stateless.first());
        } else {
            let generation = next.publish()?;
            tokio::join!(self.supervisor.configure(generation, None), self.node.apply(share, table));
        }
        Ok(())
    }

    /// Tells the queues of external tasks their bounds: a process that never gets as far as opening its queue would
    /// leave it with the usual ones.
    pub(super) fn bound_queues(&self, assembly: &Assembly) {
        let external = assembly.wanted.iter().filter(|(name, _)| {
            let placed = assembly.placement.by_task.get(*name);
            placed.is_some_and(|placed| placed.place != Place::Daemon)
        });
        for (name, task) in external.filter(|(_, task)| task.framework.queue != QueueSettings::default()) {
            if let Err(error) = self.transit.set_settings(&name.queue(), &queue_settings(&task.framework.queue)) {
                tracing::error!("{error}");
            }
        }
    }

    /// Writes the config for the hosts; one that says the same keeps its number.
    fn prepare(&self, effective: &Map, nowhere: BTreeSet<TaskName>) -> Result<Next, DaemonError> {
        // What cannot be read is written anew.
        let earlier = read_running_conf(&self.state_dir).ok().flatten().unwrap_or_default();
        let (called, level, config) = (self.called.clone(), self.level, effective.clone());
        let running = RunningConfig { generation: earlier.generation, level, called, nowhere, config };
        if running == earlier && !self.speaks_anew {
            return Ok(Next { generation: running.generation, file: None });
        }
        let running = RunningConfig { generation: next_generation(earlier.generation), ..running };
        let file = prepare_running_conf(&self.state_dir, &running)?;
        Ok(Next { generation: running.generation, file: Some(file) })
    }

    /// Where an earlier daemon of this state directory had put the tasks, and which were on their way when it ended.
    pub(super) fn earlier_placement(&self) -> (Placement, BTreeSet<TaskName>) {
        let Ok(Some(running)) = read_running_conf(&self.state_dir) else { return Default::default() };
        let queues = BTreeSet::new();
        let (registry, prefixes) = (&self.registry, &self.prefixes);
        let around = Surroundings { registry, prefixes, queues: &queues, called: &running.called, is_checked: true };
        let placement = Assembly::of(&running.config, &around).map(|assembly| assembly.placement);
        (placement.unwrap_or_default(), running.nowhere)
    }
}

/// What a spread is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spread {
    /// To take tasks from their places.
    Away,
    /// To put tasks in their places.
    Home,
}

/// A config for the hosts that is written and not theirs yet.
struct Next {
    generation: u64,
    /// None where it is the one that they have.
    file: Option<Replacement>,
}

impl Next {
    /// Makes it theirs; returns its number.
    fn publish(self) -> Result<u64, RunningConfError> {
        if let Some(file) = self.file {
            file.put().map_err(RunningConfError::from)?;
            failpoint!("migration.config_published");
        }
        Ok(self.generation)
    }
}

/// Above the earlier one, and also above those of a file that was lost: hosts may still run by them.
fn next_generation(earlier: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_ms = now.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    now_ms.max(earlier + 1)
}

/// The tasks that run in another place than before.
pub(super) fn moved(old: &Placement, new: &Placement) -> BTreeSet<TaskName> {
    let moves = old.changes(new).moved;
    let is_pool = |placed: &Option<Placed>| matches!(placed, Some(Placed { place: Place::Pool { .. }, .. }));
    // A pool with another number of workers stays what it is; see `runtime::pool`.
    let is_move = |way: &Move| way.from.is_some() && way.to.is_some() && !(is_pool(&way.from) && is_pool(&way.to));
    moves.into_iter().filter(|(_, way)| is_move(way)).map(|(name, _)| name).collect()
}

/// The processes that should run: not those of which all tasks are stopped.
fn specs(assembly: &Assembly, effective: &Map, stopped: &BTreeSet<TaskName>) -> BTreeMap<TaskName, Spec> {
    let processes = assembly.placement.processes.iter().filter(|(_, process)| !process.tasks.is_subset(stopped));
    let processes = processes.map(|(name, process)| {
        let entries = entries_of(name, effective, &assembly.placement);
        (name.clone(), Spec { restart: policy(&process.restart), caps: caps(&process.limits), entries })
    });
    let pools = assembly.wanted.iter().filter(|(name, _)| !stopped.contains(*name));
    processes.chain(pools.flat_map(|(name, task)| worker_specs(assembly, effective, name, task))).collect()
}

/// The processes of a pool's workers.
fn worker_specs(assembly: &Assembly, effective: &Map, name: &TaskName, task: &Wanted) -> Vec<(TaskName, Spec)> {
    let restart = policy(&task.framework.restart);
    let workers = workers(&assembly.placement, name).into_iter();
    let caps = caps(&task.framework.limits);
    let entries = entries_of(name, effective, &assembly.placement);
    workers.map(|worker| (worker, Spec { restart, caps: caps.clone(), entries: entries.clone() })).collect()
}

/// The names of the workers of a pool; of another task there are none.
pub(super) fn workers(placement: &Placement, task: &TaskName) -> Vec<TaskName> {
    let count = match placement.by_task.get(task).map(|placed| &placed.place) {
        Some(Place::Pool { workers }) => workers.count(cpus()),
        _ => 0,
    };
    // The name of a pool with a place leaves room for this.
    (1..=count).filter_map(|worker| worker_name(task, worker).ok()).collect()
}

/// What a task says about its restarts, with the usual for what it does not say.
fn policy(settings: &RestartSettings) -> Policy {
    let when = settings.when.map(|when| match when {
        RestartWhen::Always => When::Always,
        RestartWhen::OnFailure => When::OnFailure,
        RestartWhen::Never => When::Never,
    });
    let ms = |time: Option<Duration>, usual: u64| {
        time.map_or(usual, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let (usual, backoff) = (Budget::default(), Backoff::default());
    let budget = Budget { max: settings.max.unwrap_or(usual.max), within_ms: ms(settings.within, usual.within_ms) };
    let first_ms = ms(settings.backoff, backoff.first_ms);
    // One of the two may be said alone.
    let max_ms = ms(settings.max_backoff, backoff.max_ms.max(first_ms));
    let backoff = Backoff { first_ms: first_ms.min(max_ms), max_ms };
    Policy::new(when.unwrap_or_default(), backoff, budget).unwrap_or_default()
}
