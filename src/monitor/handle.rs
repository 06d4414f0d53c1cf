//! The monitor's thread.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::mpsc;

use super::facts::{Facts, Report};
use super::sampler::Sampler;
use crate::name::TaskName;
use crate::transit::Transit;

/// The monitor; its thread ends when this is dropped.
#[derive(Debug)]
pub struct Monitor {
    facts: SyncSender<Facts>,
}

impl Monitor {
    /// Begins; it tells of the process itself under the name `daemon`, and looks at queues of `transit`.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub fn start(daemon: TaskName, transit: Transit, reports: mpsc::Sender<Report>) -> io::Result<Self> {
        // One is being looked at, and one waits: more would be old when their turn comes.
        let (facts, rx) = sync_channel::<Facts>(1);
        std::thread::Builder::new().name("monitor".to_owned()).spawn(move || {
            let mut sampler = Sampler::new(daemon, transit);
            for facts in rx {
                if reports.blocking_send(sampler.look(&facts)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { facts })
    }

    /// Has these facts judged, unless it is still at work on earlier ones; false then.
    pub fn look(&self, facts: Facts) -> bool {
        let taken = self.facts.try_send(facts).is_ok();
        if !taken {
            tracing::debug!("the monitor is behind, and leaves out a second");
        }
        taken
    }
}
