//! All external processes of one daemon: a watcher each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::history::History;
use super::launch::Launch;
use super::rolling::{Order, Rolling};
use super::shared::Shared;
use super::view::Views;
use super::watcher::{Request, Spec, Watcher};
use crate::name::TaskName;
use crate::process::processes_on_record;

/// Requests ahead of a watcher that is in the middle of a start.
const REQUESTS: usize = 16;
/// How long a change of the config waits for hosts to apply it: as long as for the daemon's own tasks. What moves has
/// locks that keep it from running twice; it only moves later.
const CONFIGURED: Duration = Duration::from_secs(2);
/// How long the end of all processes may take: their grace of 2 s, as long for their kills, twice.
const ENDED: Duration = Duration::from_secs(10);

/// Watches the external processes of one daemon. When it goes, they go on.
pub struct Supervisor {
    shared: Arc<Shared>,
    watchers: BTreeMap<TaskName, mpsc::Sender<Request>>,
    rolling: Rolling,
}

impl Supervisor {
    /// Begins to watch what is on record in `state_dir`. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(state_dir: PathBuf, launch: Launch) -> Self {
        let found = processes_on_record(&state_dir).unwrap_or_else(|error| {
            tracing::error!("what runs from before is not looked for: {error}");
            Vec::new()
        });
        let shared = Arc::new(Shared::new(state_dir, launch));
        let mut supervisor = Self { shared, watchers: BTreeMap::new(), rolling: Rolling::start() };
        for process in found {
            supervisor.watch(process);
        }
        supervisor
    }

    fn watch(&mut self, process: TaskName) {
        let (requests, rx) = mpsc::channel(REQUESTS);
        tokio::spawn(Watcher::new(self.shared.clone(), process.clone(), rx).run());
        self.watchers.insert(process, requests);
    }

    /// Makes the processes that run be those that are wanted, from now on.
    pub async fn want(&mut self, wanted: &BTreeMap<TaskName, Spec>) {
        for process in wanted.keys() {
            if !self.watchers.contains_key(process) {
                self.watch(process.clone());
            }
        }
        for (process, watcher) in &self.watchers {
            ask(watcher, Request::Want(wanted.get(process).cloned())).await;
        }
    }

    /// Tells all hosts that `running.conf` has changed; returns when those that can have applied it, or after 2 s. With
    /// `patience` those that are about to be started again are waited for as well.
    pub async fn configure(&self, generation: u64, patience: bool) {
        let told = self.ask_all(|done| Request::Configure { generation, patience, done }).await;
        all(told, CONFIGURED).await;
    }

    /// Tells all hosts that the debug level has changed.
    pub async fn set_level(&self, level: u32) {
        for watcher in self.watchers.values() {
            ask(watcher, Request::SetLevel(level)).await;
        }
    }

    /// Renews those of the `chosen` processes that run another program than this daemon, one after another until one
    /// fails. Returns at once; false: none is chosen.
    pub fn renew(&self, chosen: impl Fn(&TaskName) -> bool) -> bool {
        let chosen = self.watchers.iter().filter(|(process, _)| chosen(process));
        let order: Order = chosen.map(|(process, watcher)| (process.clone(), watcher.clone())).collect();
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

    /// Ends all processes and everything below them; false if something was left after 10 s.
    pub async fn end_all(&mut self) -> bool {
        self.want(&BTreeMap::new()).await;
        let gone = self.ask_all(Request::WhenGone).await;
        let ended = all(gone, ENDED).await;
        if !ended {
            tracing::error!("external tasks are left that could not be ended");
        }
        ended
    }

    async fn ask_all(&self, request: impl Fn(oneshot::Sender<()>) -> Request) -> Vec<oneshot::Receiver<()>> {
        let mut answers = Vec::new();
        for watcher in self.watchers.values() {
            let (done, answer) = oneshot::channel();
            ask(watcher, request(done)).await;
            answers.push(answer);
        }
        answers
    }
}

async fn ask(watcher: &mpsc::Sender<Request>, request: Request) {
    if watcher.send(request).await.is_err() {
        tracing::error!("a watcher of an external process has ended");
    }
}

/// Waits for all answers; a request that was dropped is answered too.
async fn all(answers: Vec<oneshot::Receiver<()>>, patience: Duration) -> bool {
    let answered = async {
        for answer in answers {
            answer.await.unwrap_or_default();
        }
    };
    tokio::time::timeout(patience, answered).await.is_ok()
}
