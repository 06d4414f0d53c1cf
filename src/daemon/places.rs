//! Puts every task where the config wants it: in this process, in hosts, on the way from one to another.
//!
//! A task that moves is nowhere for a moment: first every process takes a config without it, and so has saved it,
//! worked off what its memory held for it, and given its locks back; then every process takes the config with it in
//! its new place. So what was sent before the move is handled before what was sent after it. What is sent in between
//! waits in the task's queue.
//!
//! A host that does not answer is not waited for long: its tasks' locks are what keeps them from running twice.

use std::collections::{BTreeMap, BTreeSet};

use super::assembly::{Assembly, Surroundings};
use super::error::DaemonError;
use super::reload::Daemon;
use super::running_conf::RunningConf;
use super::share::Process;
use crate::name::TaskName;
use crate::router::RoutingTable;
use crate::supervisor::Spec;
use crate::task::Placement;
use crate::value::Map;

impl Daemon {
    /// Makes what runs, and where, be what `assembly` says; `effective` is the config that it was made of.
    pub(super) async fn put_in_place(&mut self, assembly: &Assembly, effective: Map) -> Result<(), DaemonError> {
        let moved = self.placement.moved(&assembly.placement);
        if !moved.is_empty() {
            self.spread(assembly, &effective, moved).await?;
        }
        self.spread(assembly, &effective, BTreeSet::new()).await?;
        self.supervisor.want(&self.specs(assembly)).await;
        self.placement = assembly.placement.clone();
        Ok(())
    }

    /// Has all processes run their shares of `assembly`, without the tasks that are `nowhere`.
    async fn spread(
        &mut self,
        assembly: &Assembly,
        effective: &Map,
        nowhere: BTreeSet<TaskName>,
    ) -> Result<(), DaemonError> {
        let share = assembly.share(Process::Daemon, &nowhere);
        let conf = RunningConf::new(effective.clone(), self.called.clone(), nowhere);
        conf.write(&self.state_dir)?;
        // It was compiled without faults before.
        let table = RoutingTable::compile(&assembly.config.router).unwrap_or_default();
        let hosts = self.supervisor.configure(conf.generation);
        tokio::join!(hosts, self.node.apply(share, table));
        Ok(())
    }

    fn specs(&self, assembly: &Assembly) -> BTreeMap<TaskName, Spec> {
        let restart = |tasks: &BTreeSet<TaskName>| {
            let settings = tasks.iter().filter_map(|task| assembly.config.tasks.get(task));
            settings.map(|entry| entry.framework.restart.clone()).next().unwrap_or_default()
        };
        let spec = |tasks| Spec { restart: restart(tasks).into() };
        assembly.placement.processes.iter().map(|(process, tasks)| (process.clone(), spec(tasks))).collect()
    }

    /// Where an earlier daemon of this state directory had put the tasks.
    pub(super) fn earlier_placement(&self) -> Placement {
        let Ok(conf) = RunningConf::read(&self.state_dir) else { return Placement::default() };
        let queues = BTreeSet::new();
        let (registry, prefixes) = (&self.registry, &self.prefixes);
        let around = Surroundings { registry, prefixes, queues: &queues, called: &conf.called, is_checked: true };
        Assembly::of(&conf.config, &around).map(|assembly| assembly.placement).unwrap_or_default()
    }
}
