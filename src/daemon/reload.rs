//! How a config comes to hold: the file and messages, what they come to together, and how that is applied.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;

use super::assembly::{Assembly, Surroundings};
use super::caps::account_faults;
use super::config_file::ConfigFile;
use super::error::DaemonError;
use super::owed::Change;
use super::places::moved;
use super::reports::PlanReport;
use super::running::Daemon;
use super::saying::Saying;
use crate::config::{DAEMON, Document, OUT_OF_BAND, Overlay, PathFault, Plan, ROUTER};
use crate::name::TaskName;
use crate::secret::keep_those_of;
use crate::value::Map;

/// Entries of a config that are no tasks.
const NO_TASKS: [&str; 3] = [DAEMON, OUT_OF_BAND, ROUTER];

impl Daemon {
    /// Applies the config at start; here a fault ends the daemon.
    pub(super) async fn first(&mut self, document: Option<Document>) -> Result<(), DaemonError> {
        let overlay =
            document.as_ref().map_or(Overlay::new(), |document| self.overlay.by_file(document.root().clone()));
        (self.placement, self.on_their_way) = self.earlier_placement();
        self.tell_hosts_of_channels();
        let waits = document.is_none();
        self.try_apply(overlay, document).await?;
        self.suspect_queues(self.placement.by_task.clone().into_keys());
        if waits && std::io::stderr().is_terminal() {
            let queue = &self.control_queue;
            tracing::info!("no config was given (-c NAME); waiting for one on the control queue {queue}");
        } else {
            let from = self.file.as_ref().map_or("no file".to_owned(), |file| file.path().display().to_string());
            let (tasks, state) = (self.placement.by_task.len(), self.state_dir.display());
            tracing::info!("multimodule {} runs {tasks} tasks by {from}, state in {state}", env!("CARGO_PKG_VERSION"));
        }
        Ok(())
    }

    /// Writes down for hosts what the command line says of channels, and the level that holds.
    pub(super) fn tell_hosts_of_channels(&mut self) {
        match Saying::of(&self.channels, self.level).write(&self.state_dir) {
            Ok(is_new) => self.speaks_anew |= is_new,
            Err(error) => tracing::error!("external tasks go on handling lines as before: {error}"),
        }
    }

    /// Looks whether the config file has changed, and whether messages wait for a task that does not run yet.
    pub(super) async fn look(&mut self) {
        if self.file.as_ref().is_some_and(ConfigFile::has_changed) {
            self.reload().await;
        }
        self.try_again().await;
        let called = self.called_tasks();
        if !called.is_subset(&self.called) {
            self.called.extend(called);
            self.apply_again().await;
        }
        self.look_at_stopped().await;
        self.park_queues();
        self.disk.look(&self.state_dir);
    }

    async fn reload(&mut self) {
        let Some(file) = &mut self.file else { return };
        match file.read() {
            Ok(document) => self.say(Change::File(document)).await,
            Err(error) => self.file_refused(&error),
        }
    }

    /// The config that holds, entries by message over those of the file.
    pub(super) fn effective(&self) -> Map {
        self.overlay.effective()
    }

    /// What a config comes to, or all that is wrong with it; changes nothing.
    pub(super) fn assemble(&self, overlay: &Overlay, document: Option<&Document>) -> Result<Assembly, DaemonError> {
        self.assembled(overlay).map_err(|faults| DaemonError::Config(overlay.faults(document, faults)))
    }

    fn assembled(&self, overlay: &Overlay) -> Result<Assembly, Vec<PathFault>> {
        let queues = self.queues();
        let (registry, prefixes, called) = (&self.registry, &self.prefixes, &self.called);
        let around = Surroundings { registry, prefixes, queues: &queues, called, is_checked: false };
        let assembly = Assembly::of(&overlay.effective(), &around)?;
        let faults = account_faults(&assembly.wanted);
        if faults.is_empty() { Ok(assembly) } else { Err(faults) }
    }

    /// What a config comes to that is to be applied. Where it is refused for what it says of some tasks, those could
    /// not be made, and that is counted.
    pub(super) fn assemble_counted(
        &mut self,
        overlay: &Overlay,
        document: Option<&Document>,
    ) -> Result<Assembly, DaemonError> {
        self.assembled(overlay).map_err(|faults| {
            let entries: BTreeSet<_> = faults.iter().filter_map(|fault| fault.path.entry()).collect();
            let tasks = entries.into_iter().filter(|entry| !NO_TASKS.contains(entry)).map(TaskName::new);
            tasks.flatten().for_each(|task| self.watching.counting.unmade(&task));
            DaemonError::Config(overlay.faults(document, faults))
        })
    }

    /// What an assembly changes.
    pub(super) fn plan(&self, assembly: &Assembly) -> (Plan, PlanReport) {
        let plan = Plan::between(&self.config, &assembly.config);
        let report = PlanReport::of(&plan, &moved(&self.placement, &assembly.placement));
        (plan, report)
    }

    /// Applies a config whole, or changes nothing; tells what changed.
    pub(super) async fn try_apply(
        &mut self,
        overlay: Overlay,
        document: Option<Document>,
    ) -> Result<(Plan, PlanReport), DaemonError> {
        let assembly = self.assemble_counted(&overlay, document.as_ref())?;
        self.adopt(assembly, overlay, document).await
    }

    /// Applies what a config comes to, or changes nothing.
    pub(super) async fn adopt(
        &mut self,
        assembly: Assembly,
        overlay: Overlay,
        document: Option<Document>,
    ) -> Result<(Plan, PlanReport), DaemonError> {
        let plan = self.plan(&assembly);
        for (task, reason) in &assembly.missing {
            if self.missing.get(task) != Some(reason) {
                self.watching.counting.unmade(task);
                tracing::error!(task = task.as_str(), "{reason}; the others run");
            }
        }
        self.watching.hold_to(&assembly.config.monitoring);
        assembly.wanted.values().for_each(|task| keep_those_of(&task.own));
        // First: what tasks say when they start is theirs already.
        let before = self.channels.configure(assembly.channels.clone());
        self.shown.send_replace(Some(Arc::new(self.glance())));
        let outcome = self.put_in_place_aloud(&assembly, overlay.effective()).await;
        self.shown.send_replace(None);
        if let Err(error) = outcome {
            drop(self.channels.configure(before));
            self.watching.hold_to(&self.config.monitoring);
            // It was said and counted, and is not with each try.
            self.missing.extend(assembly.missing);
            return Err(error);
        }
        self.missing = assembly.missing;
        (self.config, self.overlay, self.document) = (assembly.config, overlay, document);
        Ok(plan)
    }

    fn queues(&self) -> BTreeSet<String> {
        let queues = self.transit.queues().unwrap_or_else(|error| {
            tracing::error!("{error}");
            Vec::new()
        });
        queues.iter().map(|queue| queue.as_str().to_owned()).collect()
    }

    /// Stateless tasks that have code and do not run, and whose queue holds messages: a message loads them.
    fn called_tasks(&self) -> BTreeSet<TaskName> {
        let running: BTreeSet<_> = self.node.tasks().chain(self.placement.by_task.keys()).collect();
        let candidates = self.queues().into_iter().filter_map(|queue| TaskName::new(queue).ok());
        let sleeping = candidates.filter(|name| !running.contains(name));
        let has_code = |name: &TaskName| {
            let kind = self.registry.resolve(name, &self.prefixes);
            kind.is_some_and(|kind| kind.runs_without_config())
        };
        let called = |name: &TaskName| {
            let status = self.transit.status(&name.queue()).ok().flatten();
            status.is_some_and(|status| status.messages > 0 && status.consumer.is_none())
        };
        sleeping.filter(has_code).filter(called).collect()
    }
}
