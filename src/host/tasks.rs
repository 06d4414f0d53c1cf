//! The tasks of a host: what `running.conf` gives it, and how that changes.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::daemon::{Assembly, Process, RunningConf, Surroundings};
use crate::name::{QueueName, TaskName};
use crate::runtime::{Node, Registry};
use crate::value::Map;

/// What a host runs.
pub(super) struct Tasks {
    process: TaskName,
    prefixes: Vec<String>,
    registry: Registry,
    node: Node,
    /// The config that it runs by; 0: none yet.
    generation: u64,
}

impl Tasks {
    pub(super) fn new(process: TaskName, prefixes: Vec<String>, registry: Registry, node: Node) -> Self {
        Self { process, prefixes, registry, node, generation: 0 }
    }

    /// Runs what `conf` gives this process; what is wrong with it, one line each, changes nothing.
    pub(super) async fn apply(&mut self, conf: &RunningConf) -> Vec<String> {
        if conf.generation == self.generation {
            return Vec::new();
        }
        let assembly = match assemble(conf, &self.registry, &self.prefixes) {
            Ok(assembly) => assembly,
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("{}: the changed config is refused, what runs goes on: {fault}", self.process);
                }
                return faults;
            }
        };
        let share = assembly.share(Process::Host(&self.process), &conf.nowhere);
        self.node.apply(share, assembly.table).await;
        self.generation = conf.generation;
        Vec::new()
    }

    /// The config that holds.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Sends a line of a channel to a queue.
    pub(super) fn send_line(&self, queue: &QueueName, line: Map) {
        self.node.send_line(queue, line);
    }

    /// Ends all tasks in order; true if nothing was given up.
    pub(super) async fn stop(self, patience: Duration) -> bool {
        self.node.stop(patience).await
    }
}

/// Whether `conf` knows a process of this name.
pub(super) fn is_known(process: &TaskName, conf: &RunningConf, registry: &Registry, prefixes: &[String]) -> bool {
    assemble(conf, registry, prefixes).is_ok_and(|assembly| assembly.placement.processes.contains_key(process))
}

/// What a config that the daemon has taken means here.
fn assemble(conf: &RunningConf, registry: &Registry, prefixes: &[String]) -> Result<Assembly, Vec<String>> {
    let queues = BTreeSet::new();
    let around = Surroundings { registry, prefixes, queues: &queues, called: &conf.called, is_checked: true };
    Assembly::of(&conf.config, &around).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}
