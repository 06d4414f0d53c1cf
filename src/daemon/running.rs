//! The daemon while it runs: what it knows, and what it does as a whole. How its config comes to hold is in `reload`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::config_file::ConfigFile;
use super::disk::Disk;
use super::owed::Owed;
use super::reading::Glance;
use super::service::Service;
use super::start::DaemonOptions;
use super::status::Rates;
use super::watching::Watching;
use crate::channel::{ChannelHandle, QueueLine};
use crate::config::{Config, Document, Overlay};
use crate::monitor::Monitor;
use crate::name::{QueueName, TaskName};
use crate::runtime::{Node, Registry};
use crate::supervisor::{Standings, Supervisor, What};
use crate::task::Placement;
use crate::transit::Transit;
use crate::usage::Lacking;

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
    pub(super) control_queue: QueueName,
    pub(super) state_dir: PathBuf,
    set_level: Arc<dyn Fn(u32) + Send + Sync>,
    pub(super) level: u32,
    pub(super) channels: ChannelHandle,
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
    pub(super) disk: Disk,
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

    /// Writes into the history what happened, and by whom.
    pub(super) fn note(&self, task: Option<&TaskName>, what: What, how: &str) {
        self.supervisor.history().note(task, what, how, self.by.as_deref());
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
