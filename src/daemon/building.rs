//! What a config needs that a check of its text cannot know: queues that can be opened, files that take lines.
//!
//! It is made, or looked for, before anything of the config runs. What is there already is not looked at again: a config
//! is not to fail for what runs by the one before. A start does not look either: then as much runs as can, and the rest
//! waits until it can.

use std::collections::BTreeSet;

use super::assembly::Assembly;
use super::error::DaemonError;
use super::running::Daemon;
use crate::name::QueueName;
use crate::router::RoutingTable;
use crate::runtime::queue_settings;
use crate::transit::Error;

impl Daemon {
    /// Makes the queues of the tasks that are new, and looks whether what else is new can be opened; all that cannot.
    pub(super) fn build(&self, assembly: &Assembly) -> Result<(), DaemonError> {
        let mut faults = self.queues_made(assembly);
        let mut queues = BTreeSet::new();
        if assembly.config.router != self.config.router {
            // It was compiled without faults before.
            let before = RoutingTable::compile(&self.config.router).unwrap_or_default();
            queues
                .extend(assembly.table.queues().iter().filter(|queue| before.queue(queue.as_str()).is_none()).cloned());
        }
        if assembly.config.out_of_band != self.config.out_of_band {
            queues.extend(assembly.channels.queues());
            faults.extend(assembly.channels.unusable_files().iter().map(ToString::to_string));
        }
        faults.extend(queues.iter().filter_map(|queue| fault(queue, self.transit.status(queue))));
        faults.sort_unstable();
        faults.dedup();
        if faults.is_empty() { Ok(()) } else { Err(DaemonError::CannotBuild(faults)) }
    }

    /// Makes the queues of tasks that no place was found for before.
    fn queues_made(&self, assembly: &Assembly) -> Vec<String> {
        let new = assembly.wanted.iter().filter(|(name, _)| !self.placement.by_task.contains_key(*name));
        // Whose queue holds messages has one.
        let new = new.filter(|(name, _)| !self.called.contains(*name));
        let made = new.filter_map(|(name, task)| {
            let queue = name.queue();
            let made = self.transit.settings(&queue).and_then(|found| match found {
                Some(_) => Ok(()),
                None => self.transit.set_settings(&queue, &queue_settings(&task.framework.queue)),
            });
            fault(&queue, made)
        });
        made.collect()
    }
}

fn fault<T>(queue: &QueueName, outcome: Result<T, Error>) -> Option<String> {
    outcome.err().map(|error| format!("queue {queue} cannot be opened: {error}"))
}
