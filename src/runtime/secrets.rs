//! A task waits for its secrets before anything else: what it is sent stays in its queue meanwhile.
//!
//! So a secret that comes late (a service manager that is just starting, a `chmod` that was forgotten) needs nobody to
//! start the task again.

use std::sync::atomic::Ordering;

use super::cell;
use super::handle::Order;
use super::patience::Patience;
use super::shell::Shell;
use super::work::Ended;
use crate::config::{self, PathFault};
use crate::sdk::Task;
use crate::secret;
use crate::value::Map;

/// The config of a task, with its secrets.
pub(super) fn config_of<T: Task>(own: &Map) -> Result<T::Config, Vec<PathFault>> {
    config::typed(&*secret::resolved(own)?)
}

impl Shell {
    /// Waits until the secrets that the config refers to can be read; says once why they cannot.
    pub(super) async fn wait_for_secrets(&mut self) -> Result<(), Ended> {
        let mut patience = Patience::default();
        loop {
            let Err(faults) = secret::resolved(self.own()).map(drop) else { return Ok(()) };
            self.fault(format!("waits for a secret: {}", cell::text_of(&faults)));
            self.counters.idle.store(true, Ordering::Release);
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Configure) => {
                        self.take_config();
                    }
                    // It has nothing yet.
                    Some(Order::Append(_)) => {}
                    Some(Order::Quiesce) => self.quiet = true,
                    Some(Order::Stop { .. }) | None => return Err(self.leave().await),
                },
                () = tokio::time::sleep(patience.pause()) => {}
            }
        }
    }
}
