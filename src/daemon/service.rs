//! The daemon as a service: what its manager hears of it.
//!
//! `Ready` after the first config, `Reloading` and `Ready` around each later one, `Stopping` at the end; the watchdog
//! is fed by the event loop alone (see `events`), so that a loop that is stuck is noticed.

use super::assembly::Assembly;
use super::error::DaemonError;
use super::places::workers;
use super::running::Daemon;
use crate::process::{Notice, ServiceManager};
use crate::value::Map;

/// The manager, and what it has heard.
#[derive(Debug, Default)]
pub(super) struct Service {
    manager: ServiceManager,
    is_ready: bool,
    /// The last failure was told; the next is told only after a success.
    told: bool,
}

impl Service {
    pub(super) fn of(manager: ServiceManager) -> Self {
        Self { manager, ..Self::default() }
    }

    fn tell(&mut self, notice: &Notice) {
        let outcome = self.manager.tell(notice);
        match &outcome {
            Err(error) if !self.told => tracing::error!("the service manager does not hear this daemon: {error}"),
            _ => {}
        }
        self.told = outcome.is_err();
    }
}

impl Daemon {
    /// Tells the service manager something, if there is one.
    pub(super) fn notify(&mut self, notice: &Notice) {
        self.service.tell(notice);
    }

    /// The daemon works, by the config that holds.
    pub(super) fn notify_ready(&mut self) {
        self.service.is_ready = true;
        let placement = &self.placement;
        let workers: usize = placement.by_task.keys().map(|task| workers(placement, task).len()).sum();
        let (tasks, processes) = (placement.by_task.len(), placement.processes.len() + workers);
        self.notify(&Notice::Ready(format!("tasks: {tasks}, processes beside the daemon: {processes}")));
    }

    /// [`Daemon::put_in_place`], heard by the service manager.
    pub(super) async fn put_in_place_aloud(&mut self, assembly: &Assembly, effective: Map) -> Result<(), DaemonError> {
        if !self.service.is_ready {
            return self.put_in_place(assembly, effective).await;
        }
        self.notify(&Notice::Reloading);
        let outcome = self.put_in_place(assembly, effective).await;
        // Also where it failed: what runs goes on.
        self.notify_ready();
        outcome
    }
}
