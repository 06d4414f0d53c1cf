//! The daemon while it runs: its config, by file and by message, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::assembly::{Assembly, Surroundings};
use super::caps::account_faults;
use super::config_file::ConfigFile;
use super::disk::Disk;
use super::error::DaemonError;
use super::owed::{Change, Owed};
use super::places::moved;
use super::reading::Glance;
use super::reports::PlanReport;
use super::saying::Saying;
use super::service::Service;
use super::start::DaemonOptions;
use super::status::Rates;
use super::watching::Watching;
use crate::channel::{ChannelHandle, QueueLine};
use crate::config::{Config, DAEMON, Document, OUT_OF_BAND, Overlay, PathFault, Plan, ROUTER};
use crate::monitor::Monitor;
use crate::name::{QueueName, TaskName};
use crate::runtime::{Node, Registry};
use crate::secret::keep_those_of;
use crate::supervisor::{Standings, Supervisor, What};
use crate::task::Placement;
use crate::transit::Transit;
use crate::usage::Lacking;
use crate::value::Map;

/// What becomes of external tasks when a daemon ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Externals {
    /// They go on.
    Stay,
    /// They end too.
    End,
}

/// Entries of a config that are no tasks.
const NO_TASKS: [&str; 3] = [DAEMON, OUT_OF_BAND, ROUTER];

/// A running daemon.
pub(super) struct Daemon {
    pub(super) node: Node,
    pub(super) supervisor: Supervisor,
    pub(super) standings: Standings,
    pub(super) registry: Registry,
    pub(super) transit: Transit,
    pub(super) prefixes: Vec<String>,
    pub(super) control_queue: QueueName,
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
    /// What the machine did not take, until it does.
    pub(super) owed: Owed,
    /// What was said of tasks without code, so that it is said once.
    pub(super) missing: BTreeMap<TaskName, String>,
    disk: Disk,
    /// What of the limits is not enforced here, as far as that was said.
    pub(super) lacking: BTreeSet<(String, String)>,
    /// What cannot be had of cgroups.
    pub(super) no_cgroups: Vec<Lacking>,
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
            unread: BTreeSet::new(),
            stopped: BTreeSet::new(),
            began: SystemTime::now(),
            since: BTreeMap::new(),
            rates: Arc::default(),
            by: None,
            owed: Owed::default(),
            missing: BTreeMap::new(),
            disk: Disk::default(),
            lacking: BTreeSet::new(),
            no_cgroups: Vec::new(),
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

    /// Writes into the history what happened, and by whom.
    pub(super) fn note(&self, task: Option<&TaskName>, what: What, how: &str) {
        self.supervisor.history().note(task, what, how, self.by.as_deref());
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
