//! What all watchers share: the spawner, the launch, the transit.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::adoption::Adoptions;
use super::history::History;
use super::launch::Launch;
use super::log_reader::LogBell;
use super::view::{ProcessView, Views};
use super::watcher::Spec;
use crate::name::TaskName;
use crate::process::{Argument, ArgumentError, KeeperOrder, ProcessIdentity, SpawnError, Spawner};
use crate::task::Counts;
use crate::usage::Cgroups;

/// Why a process was not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// No keeper came of it.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A word of its command line or its environment cannot be passed on.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The daemon's own directory is gone.
    #[error("the daemon's current directory: {0}")]
    Directory(io::Error),
    /// The daemon is ending.
    #[error("the daemon is ending")]
    Interrupted,
}

impl StartError {
    /// Whether something else of that name runs, or it is parked: no start was tried then.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Spawn(SpawnError::Busy(_) | SpawnError::Parked(_) | SpawnError::HostRuns { .. }))
    }
}

/// The shared part.
pub(super) struct Shared {
    pub(super) state_dir: PathBuf,
    pub(super) launch: Launch,
    /// The part of the cgroup tree that is ours, if there is one.
    pub(super) cgroups: Option<Cgroups>,
    pub(super) log_bell: LogBell,
    news: mpsc::Sender<TaskName>,
    pub(super) adoptions: Adoptions,
    /// The processes that are parked now.
    parked: Mutex<BTreeSet<TaskName>>,
    /// Those that run another program than this daemon.
    outdated: Mutex<BTreeSet<TaskName>>,
    /// How the processes stand.
    views: Mutex<Views>,
    /// What tasks have done in the processes since somebody took that last.
    counts: Mutex<BTreeMap<TaskName, Counts>>,
    pub(super) history: History,
    /// Made at the first start, and anew when it is gone.
    spawner: Mutex<Option<Spawner>>,
}

impl Shared {
    /// `found` are the processes that an earlier daemon has left.
    pub(super) fn new(
        state_dir: PathBuf,
        launch: Launch,
        cgroups: Option<Cgroups>,
        news: mpsc::Sender<TaskName>,
        found: &[TaskName],
    ) -> Self {
        let log_bell = LogBell::start(&state_dir);
        Self {
            state_dir,
            launch,
            cgroups,
            log_bell,
            news,
            adoptions: Adoptions::begin(found),
            parked: Mutex::default(),
            outdated: Mutex::default(),
            views: Mutex::default(),
            counts: Mutex::default(),
            history: History::default(),
            spawner: Mutex::new(None),
        }
    }

    /// Something about `process` is not as it was. Where nobody has listened for long it is not told.
    pub(super) fn tell_news(&self, process: &TaskName) {
        if let Err(error) = self.news.try_send(process.clone()) {
            tracing::debug!("news of {process}: {error}");
        }
    }

    /// The processes that are parked now.
    pub(super) fn parked(&self) -> BTreeSet<TaskName> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes whether `process` is parked; true if that is new.
    pub(super) fn note_parked(&self, process: &TaskName, parked: bool) -> bool {
        let mut all = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if parked { all.insert(process.clone()) } else { all.remove(process) }
    }

    /// The processes that run another program than this daemon.
    pub(super) fn outdated(&self) -> BTreeSet<TaskName> {
        self.outdated.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes whether `process` runs another program than this daemon.
    pub(super) fn note_outdated(&self, process: &TaskName, outdated: bool) {
        let mut all = self.outdated.lock().unwrap_or_else(PoisonError::into_inner);
        let _known = if outdated { all.insert(process.clone()) } else { all.remove(process) };
    }

    /// How the processes stand.
    pub(super) fn views(&self) -> Views {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how `process` stands.
    pub(super) fn show(&self, process: &TaskName, view: ProcessView) {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).insert(process.clone(), view);
    }

    /// What tasks have done since this was last called, each by its name.
    pub(super) fn take_counts(&self) -> BTreeMap<TaskName, Counts> {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A host has told what its tasks have done.
    pub(super) fn count(&self, tasks: impl Iterator<Item = (TaskName, Counts)>) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.for_each(|(name, counts)| *all.entry(name).or_default() += counts);
    }

    /// Nobody watches `process` any more.
    pub(super) fn hide(&self, process: &TaskName) {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).remove(process);
    }

    /// Has a keeper made for `process`. It waits for the spawner's answer on a thread that may block.
    pub(super) async fn start(self: &Arc<Self>, process: TaskName, spec: Spec) -> Result<ProcessIdentity, StartError> {
        let shared = self.clone();
        let started = tokio::task::spawn_blocking(move || shared.start_now(process, spec));
        started.await.unwrap_or(Err(StartError::Interrupted))
    }

    fn start_now(&self, process: TaskName, spec: Spec) -> Result<ProcessIdentity, StartError> {
        let order = self.order(process, spec)?;
        let mut place = self.spawner.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (spawner, fresh) = match place.as_mut() {
                Some(spawner) => (spawner, false),
                None => (place.insert(Spawner::start(&self.launch.spawner)?), true),
            };
            match spawner.spawn(&order, self.launch.program.file.as_fd()) {
                Ok(keeper) => return Ok(keeper),
                // One that was killed is known by its silence; a new one does.
                Err(SpawnError::Gone(_)) if !fresh => *place = None,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn order(&self, name: TaskName, spec: Spec) -> Result<KeeperOrder, StartError> {
        let environment = self.launch.whole_environment();
        let directory = std::env::current_dir().map_err(StartError::Directory)?;
        Ok(KeeperOrder {
            arguments: (self.launch.arguments)(&name).into_iter().map(Argument::new).collect::<Result<_, _>>()?,
            environment: environment.into_iter().map(Argument::new).collect::<Result<_, _>>()?,
            directory: Argument::new(directory.into_os_string())?,
            state_dir: Argument::new(self.state_dir.clone().into_os_string())?,
            program_text: self.launch.program_text.clone(),
            restart: spec.restart,
            caps: spec.caps,
            entries: spec.entries,
            name,
        })
    }
}
