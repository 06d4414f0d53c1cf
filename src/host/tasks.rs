//! The tasks of a host: what `running.conf` gives it, and how that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::channel::ChannelHandle;
use crate::config::RunningConfig;
use crate::daemon::{Assembly, Process, Saying, Surroundings};
use crate::name::{QueueName, TaskName};
use crate::runtime::{Node, Registry};
use crate::task::Counts;
use crate::value::Map;

/// What a host runs.
pub(super) struct Tasks {
    process: TaskName,
    prefixes: Vec<String>,
    registry: Registry,
    node: Node,
    channels: ChannelHandle,
    /// The config that it runs by; 0: none yet.
    generation: u64,
}

impl Tasks {
    pub(super) fn new(
        process: TaskName,
        prefixes: Vec<String>,
        registry: Registry,
        node: Node,
        channels: ChannelHandle,
    ) -> Self {
        Self { process, prefixes, registry, node, channels, generation: 0 }
    }

    /// Runs what `running` gives this process; what is wrong with it, one line each, changes nothing.
    pub(super) async fn apply(&mut self, running: &RunningConfig) -> Vec<String> {
        if running.generation == self.generation {
            return Vec::new();
        }
        let assembly = match assemble(running, &self.registry, &self.prefixes) {
            Ok(assembly) => assembly,
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("{}: the changed config is refused, what runs goes on: {fault}", self.process);
                }
                return faults;
            }
        };
        // First: what tasks say when they start is theirs already.
        drop(self.channels.configure(assembly.channels.clone()));
        let share = assembly.share(Process::Host(&self.process), &running.nowhere);
        self.node.apply(share, assembly.table).await;
        self.generation = running.generation;
        Vec::new()
    }

    /// The config that holds.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// What the tasks have done, and how much of what this process wrote is its queues' and states'.
    pub(super) fn counts(&self) -> (BTreeMap<TaskName, Counts>, u64) {
        (self.node.counts(), self.node.written_bytes())
    }

    /// Handles lines as the newest daemon does, if one has said how.
    pub(super) fn follow_daemon(&self, state_dir: &Path) {
        match Saying::read(state_dir) {
            Ok(saying) => saying.iter().for_each(|saying| saying.hold(&self.channels)),
            Err(error) => tracing::error!("{}: lines are handled as before: {error}", self.process),
        }
    }

    /// Opens the files of the channels anew.
    pub(super) fn reopen_channels(&self) {
        self.channels.reopen();
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

/// Whether `running` knows a process of this name.
pub(super) fn is_known(process: &TaskName, running: &RunningConfig, registry: &Registry, prefixes: &[String]) -> bool {
    assemble(running, registry, prefixes).is_ok_and(|assembly| !assembly.placement.tasks_of(process).is_empty())
}

/// What a config that the daemon has taken means here.
fn assemble(running: &RunningConfig, registry: &Registry, prefixes: &[String]) -> Result<Assembly, Vec<String>> {
    let queues = BTreeSet::new();
    let around = Surroundings { registry, prefixes, queues: &queues, called: &running.called, is_checked: true };
    Assembly::of(&running.config, &around)
        .map_err(|faults| faults.iter().map(|fault| format!("{}: {}", fault.path, fault.reason)).collect())
}
