//! What the daemon is told of one external process, without asking its watcher.

use std::sync::Arc;

use super::history::History;
use super::life::Phase;
use super::shared::Shared;
use super::watcher::Watcher;
use crate::name::TaskName;
use crate::process::ProcessRef;

/// How one process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessView {
    /// Its keeper, while that lives.
    pub keeper: Option<ProcessRef>,
    /// Its host, while that lives.
    pub host: Option<ProcessRef>,
    /// What it does.
    pub standing: Standing,
    /// When the host was started: milliseconds since 1970.
    pub started_unix_ms: Option<i64>,
    /// How often its keeper has started it again.
    pub restarts: u64,
    /// How often, since this daemon watches it, its program never began, or its host refused a config.
    pub unmade: u64,
    /// Bytes that its host wrote to queues and states since that began; none where no host has said.
    pub own_written_bytes: Option<u64>,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Running,
    /// It is being started.
    Starting,
    /// It is started again in a moment.
    Waiting,
    /// It is being ended.
    Ending,
    /// It ended, and stays so.
    Ended,
    /// It is parked until a person clears it.
    Parked,
}

/// How the processes of a supervisor stand, for whoever asks while that is busy. Clones are the same.
#[derive(Clone)]
pub struct Standings(pub(super) Arc<Shared>);

impl Standings {
    /// How the processes stand, as far as their watchers have looked.
    #[must_use]
    pub fn views(&self) -> Views {
        self.0.views()
    }

    /// What happened to the processes, and what others have noted there.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.0.history
    }
}

impl Watcher {
    /// Tells the others how its process stands, if that has changed.
    pub(super) fn show(&mut self, alive: bool) {
        let standing = match self.phase {
            Phase::Ending { .. } => Standing::Ending,
            Phase::Parked => Standing::Parked,
            _ if alive => Standing::Running,
            Phase::Waiting { .. } => Standing::Waiting,
            Phase::Stays | Phase::Gone => Standing::Ended,
            // Its keeper is about to start it again.
            Phase::Up | Phase::Starting { .. } => Standing::Starting,
        };
        let record = self.sight.record();
        let view = ProcessView {
            keeper: record.filter(|_| self.sight.keeper().is_some()).map(|record| record.keeper),
            host: record.filter(|_| alive).map(|record| record.host),
            standing,
            started_unix_ms: record.filter(|_| alive).map(|record| record.started_unix_ms),
            restarts: record.map_or(0, |record| record.starts.saturating_sub(1)),
            unmade: self.unmade,
            own_written_bytes: self.counted.written_bytes,
        };
        if self.shown.as_ref() != Some(&view) {
            self.shared.show(&self.name, view.clone());
            self.shown = Some(view);
        }
    }
}

/// The processes that are watched, with how they stand.
pub type Views = std::collections::BTreeMap<TaskName, ProcessView>;
