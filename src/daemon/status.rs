//! How a daemon and its tasks are, for whoever asks.
//!
//! The daemon hands out what it knows in memory; queues are looked at on a thread that may block, so that ten thousand
//! of them do not hold up what happens meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::counting::MessageRates;
use super::places::workers;
use super::reports::{DaemonStatus, PlaceReport, QueueReport, Status, TaskState, TaskStatus, WaitReport, WorkerStatus};
use super::running::Daemon;
use crate::config::MAIN;
use crate::message::Stamp;
use crate::name::{QueueName, TaskName};
use crate::process::{Failsafe, HostFiles};
use crate::supervisor::{ProcessView, Standing, Views};
use crate::task::{Place, Placement};
use crate::transit::{QueueStatus, Transit};

/// A rate of a queue is over at least this long: below it, a handful of messages would look like a flood.
const SHORTEST: Duration = Duration::from_millis(500);

/// How many messages of each queue were finished at the status before: all that is known of a task whose host tells
/// nothing, for it is older than this program.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<TaskName, (Instant, u64)>>);

/// What the daemon knows in memory.
#[derive(Clone)]
pub(super) struct Known {
    daemon: DaemonStatus,
    tasks: Vec<TaskStatus>,
    /// Those of them whose hosts tell nothing of what they do.
    untold: HashSet<String>,
    /// Those that were taken out of their processes, and wait for a person.
    taken_out: BTreeSet<TaskName>,
    /// The processes of which it must be read why they are in failsafe.
    state_dir: PathBuf,
    transit: Transit,
    rates: Arc<Rates>,
}

impl Daemon {
    /// What is known of all tasks, or of `one`.
    pub(super) fn known(&self, one: Option<&TaskName>) -> Known {
        let views = self.supervisor.views();
        let mut waits = self.waits();
        let failed: BTreeSet<_> = self.node.failed().cloned().collect();
        let chosen = self.placement.by_task.iter().filter(|(name, _)| one.is_none_or(|one| one == *name));
        let untold = chosen.clone().map(|(name, _)| name).filter(|name| !self.watching.counting.knows(name));
        let tasks = chosen.map(|(name, placed)| {
            let mut status = self.task_status(name, &placed.place, &views);
            if placed.place == Place::Daemon && failed.contains(name) && status.state == TaskState::Running {
                status.state = TaskState::Ended;
            }
            status.waited_on_by = waits.remove(&name.queue()).unwrap_or_default();
            let MessageRates { handled, emitted } = self.watching.counting.rates(name);
            (status.rate_in, status.rate_out) = (handled, emitted);
            status
        });
        Known {
            untold: untold.map(ToString::to_string).collect(),
            tasks: tasks.collect(),
            taken_out: self.watching.stopped.clone(),
            daemon: self.daemon_status(),
            state_dir: self.state_dir.clone(),
            transit: self.transit.clone(),
            rates: self.rates.clone(),
        }
    }

    fn daemon_status(&self) -> DaemonStatus {
        let used = self.watching.last.daemon;
        DaemonStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state_dir: self.state_dir.display().to_string(),
            transit_dir: self.transit.root().display().to_string(),
            config: self.file.as_ref().map(|file| file.path().display().to_string()),
            since: utc(self.began),
            cpu: self.watching.last.cores.get(MAIN).copied(),
            memory: used.map(|used| used.resident_bytes),
            files: used.and_then(|used| used.files),
            applying_since: None,
        }
    }

    /// Who waits for room, by queue.
    fn waits(&self) -> HashMap<QueueName, Vec<WaitReport>> {
        let mut waits: HashMap<_, Vec<_>> = HashMap::new();
        for wait in self.node.waits() {
            let report = WaitReport { task: wait.task.to_string(), since: utc(wait.since) };
            waits.entry(wait.queue).or_default().push(report);
        }
        waits
    }

    fn task_status(&self, name: &TaskName, place: &Place, views: &Views) -> TaskStatus {
        let stopped = self.stopped.contains(name);
        let mut status = TaskStatus {
            name: name.to_string(),
            place: PlaceReport::Internal,
            process: Some(MAIN.to_owned()),
            pid: Some(std::process::id()).filter(|_| !stopped),
            state: if stopped { TaskState::Stopped } else { TaskState::Running },
            since: self.since.get(name).filter(|_| !stopped).map(|since| utc(*since)),
            restarts: 0,
            rate_in: None,
            rate_out: None,
            queue: None,
            waited_on_by: Vec::new(),
            cpu: None,
            memory: None,
            files: None,
            failsafe: None,
            workers: Vec::new(),
        };
        stand(&mut status, name, &self.placement, views, stopped);
        // What was measured last may be of a process that is gone.
        if status.pid.is_some() || status.workers.iter().any(|worker| worker.pid.is_some()) {
            let measured = self.measured(name, place);
            (status.cpu, status.memory, status.files) = (measured.cpu, measured.memory, measured.files);
        }
        if self.watching.stopped.contains(name) {
            take_out(&mut status);
        }
        status
    }
}

/// Its process goes on without it.
fn take_out(status: &mut TaskStatus) {
    (status.state, status.pid, status.since) = (TaskState::Failsafe, None, None);
}

/// How the processes of a task stand, if it has any.
fn stand(status: &mut TaskStatus, name: &TaskName, placement: &Placement, views: &Views, stopped: bool) {
    match placement.by_task.get(name).map(|placed| &placed.place) {
        Some(Place::Daemon) | None => {}
        Some(Place::Process(process)) => {
            let worker = worker(process, views.get(process), stopped);
            status.place = PlaceReport::External;
            status.process = Some(worker.name);
            (status.pid, status.state, status.since) = (worker.pid, worker.state, worker.since);
            status.restarts = worker.restarts;
        }
        Some(Place::Pool { .. }) => {
            let names = workers(placement, name);
            let workers: Vec<_> = names.iter().map(|one| worker(one, views.get(one), stopped)).collect();
            status.place = PlaceReport::Pool;
            (status.process, status.pid, status.since) = (None, None, None);
            status.state = state_of_pool(&workers, stopped);
            status.restarts = workers.iter().map(|worker| worker.restarts).sum();
            status.workers = workers;
        }
    }
}

/// A pool is as well as its best worker.
fn state_of_pool(workers: &[WorkerStatus], stopped: bool) -> TaskState {
    let usual = [TaskState::Running, TaskState::Starting, TaskState::Waiting, TaskState::Ending, TaskState::Failsafe];
    let best = usual.into_iter().find(|state| workers.iter().any(|worker| worker.state == *state));
    if stopped { TaskState::Stopped } else { best.unwrap_or(TaskState::Ended) }
}

fn worker(name: &TaskName, view: Option<&ProcessView>, stopped: bool) -> WorkerStatus {
    // What nobody watches yet is about to be started.
    let standing = view.map_or(Standing::Starting, |view| view.standing);
    let state = match standing {
        _ if stopped => TaskState::Stopped,
        Standing::Running => TaskState::Running,
        Standing::Starting => TaskState::Starting,
        Standing::Waiting => TaskState::Waiting,
        Standing::Ending => TaskState::Ending,
        Standing::Ended => TaskState::Ended,
        Standing::Parked => TaskState::Failsafe,
    };
    let started = view.and_then(|view| view.started_unix_ms).filter(|_| !stopped);
    let started = started.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    WorkerStatus {
        name: name.to_string(),
        pid: view.and_then(|view| view.host).map(|host| host.pid).filter(|_| !stopped),
        state,
        since: started.map(|time| time.to_string()),
        restarts: view.map_or(0, |view| view.restarts),
        failsafe: None,
    }
}

impl Known {
    /// While a config is being applied, since then.
    pub(super) fn while_applying(mut self, since: SystemTime) -> Self {
        self.daemon.applying_since = Some(utc(since));
        self
    }

    /// Of all tasks, or of `one`, with their processes as they stand now.
    pub(super) fn of_now(
        mut self,
        one: Option<&TaskName>,
        placement: &Placement,
        views: &Views,
        stopped: &BTreeSet<TaskName>,
    ) -> Self {
        self.tasks.retain(|status| one.is_none_or(|one| one.as_str() == status.name));
        for status in &mut self.tasks {
            let Ok(name) = TaskName::new(&status.name) else { continue };
            stand(status, &name, placement, views, stopped.contains(&name));
            if self.taken_out.contains(&name) {
                take_out(status);
            }
        }
        self
    }

    /// Looks at the queues and the failsafe files. Blocks for some microseconds a task.
    pub(super) fn look(mut self) -> Status {
        let now = Instant::now();
        for status in &mut self.tasks {
            self.rates.fill(status, self.untold.contains(&status.name), &self.transit, now);
            let why = |process: &str| why(&self.state_dir, process);
            if status.state == TaskState::Failsafe {
                // One that was taken out of its process has a file of its own.
                status.failsafe = why(&status.name).or_else(|| status.process.as_deref().and_then(why));
            }
            for worker in status.workers.iter_mut().filter(|worker| worker.state == TaskState::Failsafe) {
                worker.failsafe = why(&worker.name);
            }
        }
        if self.tasks.len() > 1 {
            self.rates.forget(now);
        }
        Status { daemon: self.daemon, tasks: self.tasks }
    }
}

fn why(state_dir: &std::path::Path, process: &str) -> Option<String> {
    let file = HostFiles::new(state_dir, &TaskName::new(process).ok()?).failsafe();
    Some(match Failsafe::read(&file) {
        Ok(failsafe) => failsafe?.reason,
        Err(error) => error.to_string(),
    })
}

impl Rates {
    fn fill(&self, status: &mut TaskStatus, is_untold: bool, transit: &Transit, now: Instant) {
        let Ok(name) = TaskName::new(&status.name) else { return };
        // A queue that refuses to be looked at says so to those who use it.
        let Ok(Some(found)) = transit.status(&name.queue()) else { return };
        if is_untold {
            (status.rate_in, status.rate_out) = (self.rate(name, found.finished(), now), None);
        }
        status.queue = Some(queue_report(&found));
    }

    fn rate(&self, task: TaskName, count: u64, now: Instant) -> Option<f64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((when, before)) = seen.get(&task).copied() else {
            seen.insert(task, (now, count));
            return None;
        };
        let passed = now.saturating_duration_since(when);
        if passed >= SHORTEST {
            seen.insert(task, (now, count));
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate for people, and 53 bits of it")]
        let more = count.checked_sub(before)? as f64;
        (passed >= SHORTEST).then(|| more / passed.as_secs_f64())
    }

    /// Forgets the tasks that a status of all has not seen.
    fn forget(&self, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, (when, _)| now.saturating_duration_since(*when) < Duration::from_secs(600));
    }
}

fn queue_report(found: &QueueStatus) -> QueueReport {
    let now_ns = Stamp::now().time_ns;
    QueueReport {
        messages: found.messages,
        bytes: found.bytes,
        percent: found.percent(),
        oldest_age_ms: found.oldest_ns.map(|made| now_ns.saturating_sub(made) / 1_000_000),
    }
}

/// A moment as it stands in reports; one that no calendar holds is the beginning of time.
pub(super) fn utc(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

impl Daemon {
    /// Notes since when tasks run in this process, and which have moved.
    pub(super) fn note_places(&mut self, new: &Placement) {
        use crate::supervisor::What;
        let changes: BTreeMap<_, _> = self.placement.changes(new).moved;
        let is_daemon =
            |placed: &Option<crate::task::Placed>| placed.as_ref().is_some_and(|placed| placed.place == Place::Daemon);
        for (task, way) in &changes {
            match (&way.from, &way.to) {
                (Some(from), Some(to)) if from.place != to.place => {
                    self.note(Some(task), What::Moved, &format!("from {} to {}", from.place, to.place));
                }
                (None, Some(to)) if to.place == Place::Daemon => self.note(Some(task), What::Started, "in the daemon"),
                (Some(from), None) if from.place == Place::Daemon => {
                    self.note(Some(task), What::Ended, "it was removed from the config");
                }
                _ => {}
            }
            self.since.remove(task);
            if is_daemon(&way.to) {
                self.since.insert(task.clone(), SystemTime::now());
            }
        }
        // After a start the placement before is that of the earlier daemon: what is the same place begins anew too.
        for (task, _) in new.by_task.iter().filter(|(_, placed)| placed.place == Place::Daemon) {
            self.since.entry(task.clone()).or_insert_with(SystemTime::now);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::process::ProcessRef;
    use crate::task::{Nature, Placed};

    #[test]
    fn a_rate_is_told_from_the_second_look_on_and_over_some_time() {
        let (rates, start, task) = (Rates::default(), Instant::now(), TaskName::new("A").unwrap());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let check = |count, ms, expected| assert_eq!(rates.rate(task.clone(), count, at(ms)), expected);
        check(10, 0, None);
        check(20, 100, None);
        check(30, 1000, Some(20.0));
        check(20, 3000, None);
        check(30, 5000, Some(5.0));
    }

    #[test]
    fn a_task_that_was_taken_out_of_its_process_is_so_too_while_a_config_is_applied() {
        let directory = tempfile::tempdir().unwrap();
        let (task, process) = (TaskName::new("A").unwrap(), TaskName::new("P").unwrap());
        let status = json!({ "name": "A", "place": "external", "state": "failsafe", "restarts": 0, "waited_on_by": [], "workers": [] });
        let daemon = json!({ "pid": 1, "version": "", "state_dir": "", "transit_dir": "", "since": "" });
        let known = Known {
            daemon: serde_json::from_value(daemon).unwrap(),
            tasks: vec![serde_json::from_value(status).unwrap()],
            untold: HashSet::new(),
            taken_out: BTreeSet::from([task.clone()]),
            state_dir: directory.path().to_owned(),
            transit: Transit::open(directory.path()).unwrap(),
            rates: Arc::default(),
        };
        let placed =
            Placed { place: Place::Process(process.clone()), nature: Nature { stateful: false, single: false } };
        let placement = Placement { by_task: BTreeMap::from([(task, placed)]), ..Placement::default() };
        let known = known.of_now(None, &placement, &Views::from([(process, running())]), &BTreeSet::new());
        assert_eq!((known.tasks[0].state, known.tasks[0].pid), (TaskState::Failsafe, None));
    }

    fn running() -> ProcessView {
        ProcessView {
            keeper: None,
            host: Some(ProcessRef { pid: 7, start_ticks: 1 }),
            standing: Standing::Running,
            started_unix_ms: None,
            restarts: 1,
            unmade: 0,
            own_written_bytes: None,
        }
    }

    #[test]
    fn a_pool_is_as_well_as_its_best_worker() {
        let worker = |standing| {
            let view = ProcessView { standing, ..running() };
            worker(&TaskName::new("P.1").unwrap(), Some(&view), false)
        };
        let state = |standings: &[Standing]| {
            state_of_pool(&standings.iter().map(|standing| worker(*standing)).collect::<Vec<_>>(), false)
        };
        assert_eq!(state(&[Standing::Parked, Standing::Running]), TaskState::Running);
        assert_eq!(state(&[Standing::Parked, Standing::Ended]), TaskState::Failsafe);
        assert_eq!(state(&[Standing::Ended]), TaskState::Ended);
    }
}
