//! All external processes of one daemon: a watcher each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::history::History;
use super::launch::Launch;
use super::rolling::{Order, Rolling};
use super::shared::Shared;
use super::view::{Standings, Views};
use super::watcher::{Request, Spec, Watcher, Wish};
use crate::name::TaskName;
use crate::process::{Evidence, processes_on_record};
use crate::task::Counts;
use crate::usage::Cgroups;

/// Requests ahead of a watcher that is in the middle of a start.
const REQUESTS: usize = 16;
/// How long a change of the config waits for hosts to apply it: as long as for the daemon's own tasks. What moves has
/// locks that keep it from running twice; it only moves later.
const CONFIGURED: Duration = Duration::from_secs(2);
/// How long the end of all processes may take: their grace of 2 s, as long for their kills, twice.
const ENDED: Duration = Duration::from_secs(10);
/// How long a watcher that nobody needs may take to say that it goes: it has nothing else to do. One that does not is
/// asked again with the next config.
const LEFT: Duration = Duration::from_millis(100);

/// Watches the external processes of one daemon. When it goes, they go on.
pub struct Supervisor {
    shared: Arc<Shared>,
    watchers: BTreeMap<TaskName, Watched>,
    rolling: Rolling,
}

/// A process that has a watcher.
struct Watched {
    wish: watch::Sender<Wish>,
    requests: mpsc::Sender<Request>,
}

impl Supervisor {
    /// Begins to watch what is on record in `state_dir`. Must be called within a tokio runtime.
    ///
    /// `news` gets the name of each process that is seen to have begun, ended, been parked or answered, as far as it has
    /// room: who depends on it looks by itself, too. Where there are `cgroups` each process gets one.
    #[must_use]
    pub fn start(state_dir: PathBuf, launch: Launch, cgroups: Option<Cgroups>, news: mpsc::Sender<TaskName>) -> Self {
        let found = processes_on_record(&state_dir).unwrap_or_else(|error| {
            tracing::error!("what runs from before is not looked for: {error}");
            Vec::new()
        });
        let shared = Arc::new(Shared::new(state_dir, launch, cgroups, news, &found));
        let mut supervisor = Self { shared, watchers: BTreeMap::new(), rolling: Rolling::start() };
        for process in found {
            supervisor.watch(process);
        }
        supervisor
    }

    fn watch(&mut self, process: TaskName) {
        let (requests, rx) = mpsc::channel(REQUESTS);
        let (wish, wishes) = watch::channel(Wish::Unknown);
        tokio::spawn(Watcher::new(self.shared.clone(), process.clone(), wishes, rx).run());
        self.watchers.insert(process, Watched { wish, requests });
    }

    /// Makes the processes that run be those that are wanted, from now on; others end, asked by `by`.
    pub async fn want(&mut self, wanted: &BTreeMap<TaskName, Spec>, by: &str) {
        self.watchers.retain(|_, watched| !watched.requests.is_closed());
        for process in wanted.keys() {
            if !self.watchers.contains_key(process) {
                self.watch(process.clone());
            }
        }
        for (process, watched) in &self.watchers {
            watched.wish.send_if_modified(|wish| {
                *wish = match (wanted.get(process).cloned(), &*wish) {
                    (Some(spec), _) => Wish::Runs(spec),
                    // Who asked first is the one.
                    (None, Wish::Ended(_)) => return false,
                    (None, _) => Wish::Ended(by.to_owned()),
                };
                true
            });
        }
        self.let_go(wanted).await;
    }

    /// Ends the watch on what is not wanted and gone, so that not every name that ever was has a watcher.
    async fn let_go(&mut self, wanted: &BTreeMap<TaskName, Spec>) {
        let until = Instant::now() + LEFT;
        let unwanted: Vec<_> = self.watchers.keys().filter(|process| !wanted.contains_key(*process)).cloned().collect();
        let answers = self.ask(&unwanted, until, Request::Leave).await;
        for (process, answer) in unwanted.iter().zip(answers) {
            if let Ok(Ok(())) = timeout_at(until, answer).await {
                self.watchers.remove(process);
            }
        }
    }

    /// Tells all hosts that `running.conf` has changed; returns when those that can have applied it, or after 2 s. With
    /// `patience`, which is for how long, those that are about to be started again are waited for as well. Returns those
    /// that were waited for in vain.
    pub async fn configure(&self, generation: u64, patience: Option<Duration>) -> Vec<TaskName> {
        let until = Instant::now() + patience.unwrap_or(CONFIGURED);
        let patience = patience.is_some();
        let told = self.ask_all(until, |done| Request::Configure { generation, patience, done }).await;
        let mut silent = Vec::new();
        for (process, answer) in self.watchers.keys().zip(told) {
            if timeout_at(until, answer).await.is_err() {
                silent.push(process.clone());
            }
        }
        silent
    }

    /// Tells all hosts that the debug level has changed.
    pub async fn set_level(&self, level: u32) {
        let told = self.ask_all(Instant::now() + CONFIGURED, |_done| Request::SetLevel(level)).await;
        // Nobody answers that.
        drop(told);
    }

    /// Has all hosts open their logs, and the files of their channels, anew.
    pub async fn reopen_logs(&self) {
        let told = self.ask_all(Instant::now() + CONFIGURED, |_done| Request::ReopenLog).await;
        // Nobody answers that.
        drop(told);
    }

    /// Renews those of the `chosen` processes that run another program than this daemon, one after another until one
    /// fails. Returns at once; false: none is chosen.
    pub fn renew(&self, chosen: impl Fn(&TaskName) -> bool) -> bool {
        let chosen = self.watchers.iter().filter(|(process, _)| chosen(process));
        let order: Order = chosen.map(|(process, watched)| (process.clone(), watched.requests.clone())).collect();
        if order.is_empty() {
            return false;
        }
        if !self.rolling.order(order) {
            tracing::error!("external processes are being renewed, and too many orders to do so wait already");
        }
        true
    }

    /// The processes that run another program than this daemon.
    #[must_use]
    pub fn outdated(&self) -> BTreeSet<TaskName> {
        self.shared.outdated()
    }

    /// How the processes stand, as far as their watchers have looked.
    #[must_use]
    pub fn views(&self) -> Views {
        self.shared.views()
    }

    /// What tasks have done in their processes since this was last called, as far as hosts have told, each by the name
    /// that it has there: a pool's worker is `TASK.k`. A task that does nothing is in it with zeros, once.
    #[must_use]
    pub fn take_counts(&self) -> BTreeMap<TaskName, Counts> {
        self.shared.take_counts()
    }

    /// How the processes stand and what happened to them, to be asked without this.
    #[must_use]
    pub fn standings(&self) -> Standings {
        Standings(self.shared.clone())
    }

    /// What happened to the processes, and what others note there.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.shared.history
    }

    /// Leaves all processes as they are; what is being renewed runs again first.
    pub async fn leave(&mut self) {
        self.rolling.leave().await;
    }

    /// The processes that ended too often, and wait for a person.
    #[must_use]
    pub fn parked(&self) -> BTreeSet<TaskName> {
        self.shared.parked()
    }

    /// Stops a process that broke a limit: all of it is ended by force, and it is not started again until a person
    /// clears that. False where there is no such process, or what watches it is stuck.
    pub fn failsafe(&self, process: &TaskName, evidence: Evidence) -> bool {
        let watched = self.watchers.get(process);
        watched.is_some_and(|watched| watched.requests.try_send(Request::Failsafe(Box::new(evidence))).is_ok())
    }

    /// Ends all processes and everything below them; false if something was left after 10 s.
    pub async fn end_all(&mut self) -> bool {
        let until = Instant::now() + ENDED;
        self.want(&BTreeMap::new(), "the end of all").await;
        let gone = self.ask_all(until, Request::WhenGone).await;
        let ended = all(gone, until).await;
        if !ended {
            tracing::error!("external tasks are left that could not be ended");
        }
        ended
    }

    async fn ask_all(
        &self,
        until: Instant,
        request: impl Fn(oneshot::Sender<()>) -> Request,
    ) -> Vec<oneshot::Receiver<()>> {
        let all: Vec<_> = self.watchers.keys().cloned().collect();
        self.ask(&all, until, request).await
    }

    /// Asks each of `processes`; the answers come in their order. A watcher that is stuck holds up nobody beyond `until`: it is not asked then.
    async fn ask(
        &self,
        processes: &[TaskName],
        until: Instant,
        request: impl Fn(oneshot::Sender<()>) -> Request,
    ) -> Vec<oneshot::Receiver<()>> {
        let (mut answers, mut late) = (Vec::new(), Vec::new());
        for (process, watched) in processes.iter().filter_map(|process| self.watchers.get_key_value(process)) {
            let (done, answer) = oneshot::channel();
            answers.push(answer);
            // One that has left has nothing to be asked about.
            if let Err(TrySendError::Full(request)) = watched.requests.try_send(request(done)) {
                late.push((process, watched, request));
            }
        }
        for (process, watched, request) in late {
            if timeout_at(until, watched.requests.send(request)).await.is_err() {
                tracing::error!(task = process.as_str(), "{process}: what watches it is stuck and is not told a thing");
            }
        }
        answers
    }
}

/// Waits for all answers; a request that was dropped is answered too.
async fn all(answers: Vec<oneshot::Receiver<()>>, until: Instant) -> bool {
    let answered = async {
        for answer in answers {
            answer.await.unwrap_or_default();
        }
    };
    timeout_at(until, answered).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Program;

    fn supervisor(state_dir: &std::path::Path) -> Supervisor {
        let own = std::path::PathBuf::from("/proc/self/exe");
        let launch = Launch {
            program: Program::open(&own).unwrap(),
            spawner: own,
            arguments: Arc::new(|_| Vec::new()),
            program_text: "this program".to_owned(),
            environment: Vec::new(),
        };
        Supervisor::start(state_dir.to_owned(), launch, None, tokio::sync::mpsc::channel(1).0)
    }

    fn name(text: &str) -> TaskName {
        TaskName::new(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_that_is_stuck_holds_up_no_change_beyond_its_bound() {
        let place = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor(place.path());
        let (requests, _never_read) = mpsc::channel(1);
        let (wish, wishes) = watch::channel(Wish::Unknown);
        supervisor.watchers.insert(name("Stuck"), Watched { wish, requests });
        let (restart, caps) = (crate::restart::Policy::default(), crate::process::Caps::default());
        let spec = Spec { restart, caps, entries: String::new() };
        for generation in 1..=3 {
            let begin = Instant::now();
            supervisor.configure(generation, Some(CONFIGURED)).await;
            supervisor.set_level(0).await;
            supervisor.want(&BTreeMap::from([(name("Stuck"), spec.clone())]), "a test").await;
            supervisor.want(&BTreeMap::new(), "a test").await;
            assert!(begin.elapsed() <= 3 * CONFIGURED, "{:?}", begin.elapsed());
        }
        assert!(supervisor.watchers.contains_key(&name("Stuck")));
        // What is wanted reaches it all the same, once it looks.
        assert_eq!(*wishes.borrow(), Wish::Ended("a test".to_owned()));
    }

    #[tokio::test]
    async fn a_process_that_is_gone_and_not_wanted_has_no_watcher_any_more() {
        let place = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor(place.path());
        for number in 0..20 {
            let process = name(&format!("Task{number}"));
            supervisor.watch(process.clone());
            while supervisor.watchers.contains_key(&process) {
                supervisor.want(&BTreeMap::new(), "a test").await;
            }
        }
        supervisor.watch(name("Last"));
        assert_eq!(supervisor.watchers.len(), 1);
        assert!(supervisor.shared.log_bell.followers() <= 2, "{}", supervisor.shared.log_bell.followers());
    }
}
