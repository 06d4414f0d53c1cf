//! What was sent before a stateless task moved, and is not handled yet.
//!
//! A stateless task writes by the lanes of the process in which it runs. From its new place it writes by others, and
//! the lanes of a queue are read in turn: so what it sent from its old place is waited for before it goes on, and
//! whoever hears it hears it in order. It costs those who wait for it nothing that they would not wait for anyway.
//!
//! ```text
//!   nowhere ──► receivers that move too are in their new places, and all that should run is being started
//!           ──► nobody reads its queue ──► what its receivers had then is handled ──► its new place
//! ```
//!
//! Each wait is bounded: a receiver that is far behind, or waits for that very task, does not hold up a reload. Who was
//! not waited for any longer is said.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::assembly::Assembly;
use super::error::DaemonError;
use super::places::Spread;
use super::running::Daemon;
use crate::name::{LaneName, QueueName, TaskName};
use crate::supervisor::Standing;
use crate::task::Place;
use crate::transit::{LaneId, QueueStatus, Transit};
use crate::value::Map;

/// How long a move waits for a host to be through with the task's old place. Its locks keep the task from running twice.
pub(super) const AWAY: Duration = Duration::from_secs(2);
/// The same where order rests on it: a host may need 2 s for what its memory holds, and 3 s for its outboxes.
pub(super) const AWAY_IN_ORDER: Duration = Duration::from_secs(5);
/// How long a move waits for receivers of which none finishes anything: three of the usual intervals in which they
/// commit what they have handled, and time for a process that was killed to be back. Who waits for that very task finishes
/// nothing.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long at the most: a receiver that is far behind does not hold up a reload for good.
const LONGEST: Duration = Duration::from_secs(30);
/// How long it waits for the old place to give the task's queue back: a process that does not answer and is not wanted
/// any more is ended by force within that.
const GIVEN_BACK: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);
/// How many lanes are named of those that are not waited for any longer.
const NAMED: usize = 4;

/// How far lanes were written at one moment, as far as they were not finished.
struct Sent(Vec<Lane>);

struct Lane {
    queue: QueueName,
    name: LaneName,
    id: LaneId,
    written: (u64, u64),
}

/// What was not waited for any longer.
struct Behind {
    lanes: Vec<Lane>,
    waited: Duration,
}

impl Daemon {
    /// Some of `moved` are nowhere: waits until stateless ones of them may be somewhere again.
    pub(super) async fn wait_for_receivers(
        &mut self,
        assembly: &Assembly,
        effective: &Map,
        moved: &BTreeSet<TaskName>,
    ) -> Result<(), DaemonError> {
        let stateless = stateless_of(assembly, moved);
        let Some(task) = stateless.first() else { return Ok(()) };
        if stateless.len() < moved.len() {
            let nowhere = stateless.union(&self.stopped).cloned().collect();
            self.spread(assembly, effective, nowhere, Spread::Home).await?;
        }
        // What ended while no daemon ran, too, is a receiver that nobody else starts.
        self.want(assembly, effective).await;
        self.wait_until_given_back(&stateless).await;
        // What waits for a task that is nowhere waits for us.
        let is_ours = |queue: &QueueName| {
            let task = queue.task();
            assembly.wanted.contains_key(&task) && !stateless.contains(&task) && !self.stopped.contains(&task)
        };
        let sent = Sent::now(&self.transit, assembly.table.queues().iter(), is_ours);
        if let Err(behind) = sent.handled(&self.transit).await {
            let held_up = self.described(&behind, assembly);
            tracing::error!(
                task = task.as_str(),
                "{task} moves, and what it sends from now on may overtake what it sent before: {held_up}"
            );
        }
        Ok(())
    }

    /// Waits until nobody reads the queues of these tasks.
    async fn wait_until_given_back(&self, stateless: &BTreeSet<TaskName>) {
        let until = Instant::now() + GIVEN_BACK;
        for task in stateless {
            let queue = task.queue();
            while let Some(reader) = self.transit.status(&queue).ok().flatten().and_then(|status| status.consumer) {
                if Instant::now() >= until {
                    tracing::error!(
                        task = task.as_str(),
                        "{task} moves, and its queue is still read by {reader}: what is sent from there may be overtaken"
                    );
                    break;
                }
                sleep(LOOK).await;
            }
        }
    }

    /// Who does not get on, with what, and how he is.
    fn described(&self, behind: &Behind, assembly: &Assembly) -> String {
        let mut text = format!("after {:.1} s", behind.waited.as_secs_f64());
        for lane in behind.lanes.iter().take(NAMED) {
            let Lane { queue, name, .. } = lane;
            let status = self.transit.status(queue).ok().flatten();
            let reader = status.and_then(|status| status.consumer).map_or_else(
                || format!("which nobody reads: {}", self.whereabouts_of(&queue.task(), assembly)),
                |reader| format!("read by {reader}"),
            );
            let messages = lane.left(&self.transit).1;
            // Writing to a text does not fail.
            let _never = write!(text, ", {messages} of lane {name} wait in queue {queue}, {reader}");
        }
        if behind.lanes.len() > NAMED {
            let _never = write!(text, ", and {} more lanes are behind", behind.lanes.len() - NAMED);
        }
        for wait in
            self.node.waits().iter().filter(|wait| behind.lanes.iter().any(|lane| lane.queue.task() == wait.task))
        {
            let _never = write!(text, "; {} waits for room in queue {}", wait.task, wait.queue);
        }
        text
    }

    fn whereabouts_of(&self, task: &TaskName, assembly: &Assembly) -> String {
        let process = match assembly.placement.by_task.get(task).map(|placed| &placed.place) {
            None => return "no task of this config has it".to_owned(),
            Some(Place::Daemon) if self.node.failed().any(|failed| failed == task) => {
                return format!("{task} has ended in the daemon");
            }
            Some(Place::Daemon) => return format!("{task} is being opened in the daemon"),
            Some(Place::Pool { .. }) => return format!("its pool {task} is not there"),
            Some(Place::Process(process)) => process,
        };
        let doing = match self.supervisor.views().get(process).map(|view| view.standing) {
            Some(Standing::Running) => "runs, and does not read it yet",
            Some(Standing::Waiting) => "has ended, and is started again after a pause",
            Some(Standing::Ending) => "is being ended",
            Some(Standing::Ended) => "has ended",
            Some(Standing::Parked) => "is in failsafe",
            Some(Standing::Starting) | None => "is being started",
        };
        format!("its process {process} {doing}")
    }
}

/// Those of `tasks` that are wanted and have no state.
pub(super) fn stateless_of(assembly: &Assembly, tasks: &BTreeSet<TaskName>) -> BTreeSet<TaskName> {
    let is_stateless = |name: &&TaskName| assembly.wanted.get(*name).is_some_and(|task| !task.kind.stateful);
    tasks.iter().filter(is_stateless).cloned().collect()
}

/// Says which processes were not waited for any longer, where the order behind a `stateless` task rests on them.
pub(super) fn say_silent(silent: &[TaskName], stateless: Option<&TaskName>) {
    for (process, task) in silent.iter().zip(stateless.into_iter().cycle()) {
        tracing::error!(
            task = process.as_str(),
            "{process} has not taken the config within {} s, and {task} moves without it: what {process} has sent to \
             {task} through memory may be overtaken by what it sends later",
            AWAY_IN_ORDER.as_secs()
        );
    }
}

impl Sent {
    /// What waits in `queues` now. Those that nobody reads count only where `is_ours` says that somebody will soon: a
    /// process that was killed is back in a moment.
    fn now<'a>(
        transit: &Transit,
        queues: impl Iterator<Item = &'a QueueName>,
        is_ours: impl Fn(&QueueName) -> bool,
    ) -> Self {
        let status = |queue| transit.status(queue).ok().flatten();
        let is_read = |status: &QueueStatus| status.consumer.is_some() || !status.parked && is_ours(&status.queue);
        let read = queues.filter_map(status).filter(is_read);
        let lanes = read.flat_map(|status| {
            let open = status.lanes.into_iter().filter(|lane| !lane.is_finished());
            let lanes = open.map(|lane| Lane {
                queue: status.queue.clone(),
                name: lane.name,
                id: lane.id,
                written: lane.written,
            });
            lanes.collect::<Vec<_>>()
        });
        Self(lanes.collect())
    }

    /// Waits until all of it is handled, or that takes too long.
    async fn handled(mut self, transit: &Transit) -> Result<(), Behind> {
        let (begin, mut moved, mut last) = (Instant::now(), Instant::now(), u64::MAX);
        loop {
            self.0.retain(|lane| lane.left(transit).0 > 0);
            let left = self.0.iter().map(|lane| lane.left(transit).0).sum();
            let now = Instant::now();
            if left < last {
                (last, moved) = (left, now);
            }
            if self.0.is_empty() {
                return Ok(());
            }
            if now >= moved + PATIENCE || now >= begin + LONGEST {
                return Err(Behind { lanes: self.0, waited: begin.elapsed() });
            }
            sleep(LOOK).await;
        }
    }
}

impl Lane {
    /// How many bytes and messages up to where it was written are not finished. A queue or a lane that is gone holds
    /// nothing.
    fn left(&self, transit: &Transit) -> (u64, u64) {
        let Ok(found) = transit.lane_counts(&self.queue, &self.name) else { return self.written };
        let found = found.filter(|found| found.id == self.id);
        let left = |finished: (u64, u64)| {
            (self.written.0.saturating_sub(finished.0), self.written.1.saturating_sub(finished.1))
        };
        found.map_or((0, 0), |found| left(found.finished))
    }
}
