//! What all watchers share: the spawner, the launch, the transit.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::launch::Launch;
use crate::name::TaskName;
use crate::process::{KeeperOrder, Spawner};
use crate::restart::Policy;

/// The shared part.
pub(super) struct Shared {
    pub(super) state_dir: PathBuf,
    pub(super) launch: Launch,
    /// Made at the first start, and anew when it is gone.
    spawner: Mutex<Option<Spawner>>,
}

impl Shared {
    pub(super) fn new(state_dir: PathBuf, launch: Launch) -> Self {
        Self { state_dir, launch, spawner: Mutex::new(None) }
    }

    /// Has a keeper made for `process`. It waits for the spawner's answer on a thread that may block.
    pub(super) async fn start(self: &Arc<Self>, process: TaskName, restart: Policy) -> io::Result<()> {
        let shared = self.clone();
        let started = tokio::task::spawn_blocking(move || shared.start_now(process, restart));
        started.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn start_now(&self, process: TaskName, restart: Policy) -> io::Result<()> {
        let order = KeeperOrder {
            arguments: (self.launch.arguments)(&process),
            environment: self.launch.whole_environment(),
            directory: std::env::current_dir()?,
            state_dir: self.state_dir.clone(),
            restart,
            program_text: self.launch.program.text.clone(),
            name: process,
        };
        let mut place = self.spawner.lock().unwrap_or_else(PoisonError::into_inner);
        // A spawner that was killed is known by its silence; a new one does.
        for _ in 0..2 {
            let spawner = match place.as_mut() {
                Some(spawner) => spawner,
                None => place.insert(Spawner::start(&self.launch.spawner)?),
            };
            match spawner.spawn(&order, &self.launch.program.file) {
                Ok(_keeper) => return Ok(()),
                Err(error) if error.is_gone() => *place = None,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Err(io::Error::other("the spawner of keepers ends again and again"))
    }
}
