//! The daemon while it runs: its config, by file and by message, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::assembly::{Assembly, Surroundings};
use super::config_file::ConfigFile;
use super::disk::Disk;
use super::error::DaemonError;
use super::places::{Spread, moved};
use super::reading::Glance;
use super::reports::PlanReport;
use super::saying::Saying;
use super::service::Service;
use super::start::DaemonOptions;
use super::status::Rates;
use super::watching::Watching;
use crate::channel::{ChannelHandle, QueueLine};
use crate::config::{Config, Document, Overlay, Plan};
use crate::monitor::Monitor;
use crate::name::{QueueName, TaskName};
use crate::runtime::{Node, Registry};
use crate::secret::keep_those_of;
use crate::supervisor::{Standings, Supervisor, What};
use crate::task::Placement;
use crate::transit::Transit;
use crate::value::Map;

/// What becomes of external tasks when a daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Externals {
    /// They go on.
    Stay,
    /// They end too.
    End,
}

/// A running daemon.
pub(super) struct Daemon {
    pub(super) node: Node,
    pub(super) supervisor: Supervisor,
    pub(super) standings: Standings,
    pub(super) registry: Registry,
    pub(super) transit: Transit,
    pub(super) prefixes: Vec<String>,
    control_queue: QueueName,
    pub(super) state_dir: PathBuf,
    set_level: Arc<dyn Fn(u32) + Send + Sync>,
    pub(super) level: u32,
    channels: ChannelHandle,
    pub(super) file: Option<ConfigFile>,
    /// The file's text as it was applied last, for the places of faults.
    pub(super) document: Option<Document>,
    pub(super) overlay: Overlay,
    /// What holds now.
    pub(super) config: Config,
    pub(super) called: BTreeSet<TaskName>,
    /// Where the tasks are.
    pub(super) placement: Placement,
    /// Tasks that an earlier daemon had taken from their places and not brought to new ones.
    pub(super) on_their_way: BTreeSet<TaskName>,
    /// Tasks that the config had and has no more.
    pub(super) gone: BTreeSet<TaskName>,
    /// Tasks whose queues nobody reads, as far as their queues were told.
    pub(super) unread: BTreeSet<TaskName>,
    /// Tasks that a person has stopped, until they are started or the daemon is.
    pub(super) stopped: BTreeSet<TaskName>,
    /// Since when the daemon runs.
    pub(super) began: SystemTime,
    /// Since when tasks run that run in this process.
    pub(super) since: BTreeMap<TaskName, SystemTime>,
    /// What the status before has seen.
    pub(super) rates: Arc<Rates>,
    /// Who asked for what is being done.
    pub(super) by: Option<String>,
    /// A config that the disk did not take, until it does: what every process should run by, and where it stands.
    owed: Option<(Overlay, Option<Document>)>,
    /// What was said of tasks without code, so that it is said once.
    missing: BTreeMap<TaskName, String>,
    disk: Disk,
    /// What of the limits is not enforced here, as far as that was said.
    pub(super) lacking: BTreeSet<(TaskName, String)>,
    pub(super) watching: Watching,
    pub(super) service: Service,
    /// The hosts have not heard what the command line says of channels.
    pub(super) speaks_anew: bool,
    /// What others see while a config is being applied.
    pub(super) shown: watch::Sender<Option<Arc<Glance>>>,
}

impl Daemon {
    pub(super) fn new(
        node: Node,
        supervisor: Supervisor,
        registry: Registry,
        transit: Transit,
        options: DaemonOptions,
        file: Option<ConfigFile>,
        monitor: Monitor,
    ) -> Self {
        let DaemonOptions { control_queue, prefixes, state_dir, set_level, level, channels, service_manager, .. } =
            options;
        let watching = Watching::by(monitor, [transit.root(), &state_dir]);
        Self {
            node,
            standings: supervisor.standings(),
            supervisor,
            registry,
            transit,
            prefixes,
            control_queue,
            state_dir,
            set_level,
            level,
            channels,
            file,
            document: None,
            overlay: Overlay::new(),
            config: Config::default(),
            called: BTreeSet::new(),
            placement: Placement::default(),
            on_their_way: BTreeSet::new(),
            gone: BTreeSet::new(),
            unread: BTreeSet::new(),
            stopped: BTreeSet::new(),
            began: SystemTime::now(),
            since: BTreeMap::new(),
            rates: Arc::default(),
            by: None,
            owed: None,
            missing: BTreeMap::new(),
            disk: Disk::default(),
            lacking: BTreeSet::new(),
            watching,
            service: Service::of(service_manager),
            speaks_anew: false,
            shown: watch::Sender::new(None),
        }
    }

    /// Applies the config at start; here a fault ends the daemon.
    pub(super) async fn first(&mut self, document: Option<Document>) -> Result<(), DaemonError> {
        let overlay =
            document.as_ref().map_or(Overlay::new(), |document| self.overlay.by_file(document.root().clone()));
        (self.placement, self.on_their_way) = self.earlier_placement();
        self.tell_hosts_of_channels();
        let waits = document.is_none();
        self.try_apply(overlay, document).await?;
        self.suspect_queues();
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
    fn tell_hosts_of_channels(&mut self) {
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
            self.say(self.overlay.clone(), self.document.clone()).await;
        }
        self.look_at_stopped().await;
        self.park_queues();
        self.disk.look(&self.state_dir);
    }

    async fn reload(&mut self) {
        let Some(file) = &mut self.file else { return };
        match file.read() {
            Ok(document) => {
                let overlay = self.overlay.by_file(document.root().clone());
                self.say(overlay, Some(document)).await;
            }
            Err(error) => self.refused(&error),
        }
    }

    /// Lays a config by message over the file's.
    pub(super) async fn configure(&mut self, entries: Map) {
        self.say(self.overlay.by_message(entries), self.document.clone()).await;
    }

    /// The config that holds, entries by message over those of the file.
    pub(super) fn effective(&self) -> Map {
        self.overlay.effective()
    }

    /// Applies what holds once more: something else than the config has changed.
    pub(super) async fn apply_again(&mut self) {
        self.say(self.overlay.clone(), self.document.clone()).await;
    }

    /// Applies a config and says what came of it.
    async fn say(&mut self, overlay: Overlay, document: Option<Document>) {
        if let Err(error) = self.replace(overlay, document).await {
            self.refused(&error);
        }
    }

    /// Applies a config whole. What fails while it is applied is put back as it was, and tried again each second
    /// until the disk takes it.
    pub(super) async fn replace(
        &mut self,
        overlay: Overlay,
        document: Option<Document>,
    ) -> Result<PlanReport, DaemonError> {
        let owed = (overlay.clone(), document.clone());
        match self.try_apply(overlay, document).await {
            Ok(plan) => Ok(self.applied(plan)),
            Err(error) => {
                if matches!(error, DaemonError::RunningConf(_)) {
                    self.put_back().await;
                    self.owed = Some(owed);
                }
                Err(error)
            }
        }
    }

    /// Has everything run again by the config that holds: where nothing of the other one was written, the disk is not
    /// needed for that.
    async fn put_back(&mut self) {
        let Ok(assembly) = self.assemble(&self.overlay, self.document.as_ref()) else { return };
        let effective = self.overlay.effective();
        if let Err(error) = self.spread(&assembly, &effective, self.stopped.clone(), Spread::Home).await {
            tracing::error!("what ran before cannot be put back yet: {error}");
        }
    }

    fn applied(&mut self, (plan, report): (Plan, PlanReport)) -> PlanReport {
        self.owed = None;
        if !plan.is_empty() {
            tracing::info!("the changed config is applied: {plan}");
            self.note(None, What::Applied, &report.to_string());
        }
        report
    }

    /// A config that is not applied: what runs goes on.
    pub(super) fn refused(&self, error: &DaemonError) {
        tracing::error!("the changed config is refused, what runs goes on:\n{error}");
        let what = if matches!(error, DaemonError::RunningConf(_)) { What::RolledBack } else { What::Refused };
        self.note(None, what, &error.to_string());
    }

    /// Writes into the history what happened, and by whom.
    pub(super) fn note(&self, task: Option<&TaskName>, what: What, how: &str) {
        self.supervisor.history().note(task, what, how, self.by.as_deref());
    }

    /// Tries again what the disk did not take; that was said.
    async fn try_again(&mut self) {
        let Some((overlay, document)) = self.owed.clone() else { return };
        match self.replace(overlay, document).await {
            Ok(_) => {}
            Err(error) => tracing::debug!("the changed config is still refused: {error}"),
        }
    }

    /// What a config comes to, or all that is wrong with it; changes nothing.
    pub(super) fn assemble(&self, overlay: &Overlay, document: Option<&Document>) -> Result<Assembly, DaemonError> {
        let queues = self.queues();
        let (registry, prefixes, called) = (&self.registry, &self.prefixes, &self.called);
        let around = Surroundings { registry, prefixes, queues: &queues, called, is_checked: false };
        Assembly::of(&overlay.effective(), &around)
            .map_err(|faults| DaemonError::Config(overlay.faults(document, faults)))
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
        let assembly = self.assemble(&overlay, document.as_ref())?;
        let plan = self.plan(&assembly);
        for (task, reason) in &assembly.missing {
            if self.missing.get(task) != Some(reason) {
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

    pub(super) async fn set_level(&mut self, level: u32) {
        (self.set_level)(level);
        self.level = level;
        self.tell_hosts_of_channels();
        self.supervisor.set_level(level).await;
        tracing::info!("the debug level is {level} now");
    }

    /// Opens the files of the channels anew, here and in the hosts, and has the hosts open their logs anew: somebody may
    /// have renamed them.
    pub(super) async fn reopen_logs(&self) {
        self.channels.reopen();
        self.supervisor.reopen_logs().await;
        tracing::info!("the files of lines are opened anew");
    }

    /// Sends a line of a channel to a queue.
    pub(super) fn send_line(&self, (queue, line): QueueLine) {
        self.node.send_line(&queue, line);
    }

    /// Ends all tasks of this process in order, and those of the others too if `externals`; true if nothing was
    /// given up.
    pub(super) async fn stop(mut self, patience: Duration, externals: Externals) -> bool {
        // The end of the others may take long, and a second signal cut it short.
        self.transit.spare_inputs();
        let ended = match externals {
            Externals::End => self.supervisor.end_all().await,
            Externals::Stay => {
                self.supervisor.leave().await;
                true
            }
        };
        self.node.stop(patience).await && ended
    }
}
