//! What a watcher does to its process: starts it, finds out how it ended, ends it.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::life::{self, Phase};
use super::watcher::{Spec, Watcher};
use crate::link::remove_remains;
use crate::process::{
    EndRecord, Evidence, Failsafe, GRACE, HostFiles, How, Intent, ProcessRef, RecordError, end_marked, read_record,
    settle_end, settle_unseen_end, write_record,
};
use crate::restart::Decision;

/// How long until a start is tried again that something else of that name stands in the way of.
const REFUSED: Duration = Duration::from_secs(5);

impl Watcher {
    pub(super) fn files(&self) -> HostFiles {
        HostFiles::new(&self.shared.state_dir, &self.name)
    }

    /// Has a keeper made.
    pub(super) async fn start(&mut self) {
        let Some(spec) = self.wish.spec().cloned() else { return };
        tracing::debug!(task = self.name.as_str(), "{}: its process is started", self.name);
        let spec = Spec { caps: self.bounded(&spec.caps), ..spec };
        let error = match self.shared.start(self.name.clone(), spec).await {
            Ok(keeper) => {
                self.made = Some(keeper.reference());
                return;
            }
            Err(error) => error,
        };
        self.error(&format!("its process cannot be started: {error}"));
        if error.is_refusal() {
            // Nothing has ended. What stands in the way may go.
            self.phase = Phase::Waiting { until: Instant::now() + REFUSED };
        } else {
            self.unmade += 1;
            self.settle(None, How::NotStarted(error.to_string()));
        }
    }

    /// Finds out how it ended, and what its policy says.
    pub(super) async fn judge(&mut self) {
        match self.end_on_record() {
            // Not by this daemon, nor against what it wants.
            Some(end) if end.asked && self.wished.is_some_and(|since| since.elapsed() < life::END) => {
                tracing::info!(
                    task = self.name.as_str(),
                    "{}: its process has ended, as it was asked before this daemon came; it is started again",
                    self.name
                );
                self.phase = Phase::Gone;
            }
            // Its keeper saw it and wrote it down; as a rule it has counted it, too.
            Some(end) => {
                let Some(spec) = self.wish.spec() else { return };
                let decision = settle_end(&self.files(), &self.name, &spec.restart, &end);
                self.follow(&end.how.to_string(), decision);
            }
            None => {
                self.end_rest().await;
                self.settle(self.sight.record().map(|record| record.host), How::Unseen);
            }
        }
    }

    /// Ends what a host has left whose keeper is gone, as that would have done before anything follows.
    async fn end_rest(&self) {
        if let Some(ending) = self.end_all_marked(GRACE)
            && let Err(error) = ending.await
        {
            self.error(&format!("what it has left is not ended: {error}"));
        }
    }

    /// The end of the newest host, if its keeper saw it.
    pub(super) fn end_on_record(&self) -> Option<EndRecord> {
        let end = self.last_end()?;
        let host = self.sight.record().map(|record| record.host);
        (end.host.is_some() && end.host == host).then_some(end)
    }

    /// The newest end that was written down, of whichever host.
    pub(super) fn last_end(&self) -> Option<EndRecord> {
        read_record(&self.files().end()).ok().flatten()
    }

    /// Counts an end that no keeper saw, and says what follows.
    fn settle(&mut self, host: Option<ProcessRef>, how: How) {
        let text = how.to_string();
        self.renewal_failed(&text);
        let Some(spec) = self.wish.spec() else { return };
        let decision = settle_unseen_end(&self.files(), &self.name, &spec.restart, host, how);
        self.tell_unseen_end(host, &text);
        self.follow(&text, decision);
    }

    fn follow(&mut self, how: &str, decision: Result<Decision, RecordError>) {
        match decision {
            Ok(decision) => {
                self.error(&format!("its process has ended: {how}"));
                self.phase = life::judged(&decision, Instant::now());
            }
            Err(error) => self.error(&format!("its end cannot be counted: {error}")),
        }
    }

    /// Asks the keeper to end everything below it; without keeper, asks the host.
    pub(super) fn end(&mut self) {
        let asked = match (self.sight.keeper(), self.sight.host()) {
            (Some(keeper), _) => keeper.signal(Signal::SIGTERM).map(drop),
            (None, Some(_)) => {
                drop(self.end_all_marked(GRACE));
                Ok(())
            }
            (None, None) => Ok(()),
        };
        if let Err(error) = asked {
            self.error(&format!("its keeper cannot be told to end it: {error}"));
        }
    }

    /// It broke a limit: it is written down why, and all of it is ended at once. Only a person lets it run again.
    pub(super) fn failsafe(&mut self, evidence: Evidence) {
        let (files, log) = (self.files(), self.files().log());
        let path = files.failsafe();
        self.error(&format!("failsafe: {}", evidence.reason));
        match Failsafe::of(&self.name, evidence, &path, &log).write(&path) {
            Ok(()) => self.note_failsafe(),
            Err(error) => self.error(&format!(
                "it is ended, and will be started again, for why it should not cannot be kept: {error}"
            )),
        }
        if let Some(host) = self.sight.record().map(|record| record.host).filter(|_| self.sight.is_alive()) {
            self.tell_unseen_end(Some(host), "killed, with all that it had started");
        }
        self.phase = life::ending(Instant::now());
        self.kill();
    }

    /// Ends keeper and host, and all that bears the mark of this start, by force.
    pub(super) fn force(&mut self) {
        self.error("its process has not ended in time and is killed");
        self.kill();
    }

    fn kill(&self) {
        if let Some(Err(error)) = self.sight.keeper().map(|keeper| keeper.signal(Signal::SIGKILL)) {
            self.error(&format!("its keeper cannot be killed: {error}"));
        }
        self.kill_cgroup();
        drop(self.end_all_marked(Duration::ZERO));
    }

    /// Ends what the nonce of this start marks, also what has forked itself away; on a thread that may block.
    fn end_all_marked(&self, grace: Duration) -> Option<JoinHandle<()>> {
        let nonce = self.sight.record().map(|record| record.nonce)?;
        let name = self.name.clone();
        Some(tokio::task::spawn_blocking(move || match end_marked(&nonce, grace) {
            Ok(ended) if ended.left.is_empty() => {}
            Ok(ended) => tracing::error!(task = name.as_str(), "{name}: {} processes do not end", ended.left.len()),
            Err(error) => tracing::error!(task = name.as_str(), "{name}: {error}"),
        }))
    }

    /// Says that it is parked, or no longer.
    pub(super) fn tell_parked(&self) {
        if self.phase == Phase::Parked {
            let file = self.sight.parked_by();
            self.note_failsafe();
            let (name, file) = (&self.name, file.display());
            self.error(&format!(
                "parked: its process is not started again until {file} is removed: `multimodule failsafe clear {name}`"
            ));
        } else {
            self.note_cleared();
            tracing::info!(task = self.name.as_str(), "{}: no longer parked", self.name);
        }
    }

    /// Leaves the changed policy, caps and entries for the keeper, which looks before it starts its host again; the one
    /// that runs gets the caps now.
    pub(super) fn tell_keeper(&mut self) {
        let (Some(spec), path) = (self.wish.spec().cloned(), self.files().intent()) else { return };
        // Without one there is no keeper yet; it gets its policy with its order.
        let Ok(Some(before)) = read_record::<Intent>(&path) else { return };
        let caps = self.bounded(&spec.caps);
        if (before.restart, &before.caps, &before.entries) != (spec.restart, &caps, &spec.entries) {
            let Spec { restart, entries, .. } = spec;
            let intent = Intent { restart, caps, entries, ..before.clone() };
            if let Err(error) = write_record(&path, &intent) {
                return self.error(&format!("its keeper goes on by the old policy and caps: {error}"));
            }
            if before.caps != intent.caps {
                // It may have begun by the old ones since the last look.
                self.look();
                self.change_caps(&before, &intent.caps);
            }
        }
    }

    /// Removes what says that it runs: it does not, and nobody wants it.
    pub(super) fn forget(&mut self) {
        let files = self.files();
        for path in [files.process(), files.intent()] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    self.error(&format!("cannot remove {}: {error}", path.display()));
                }
                _ => {}
            }
        }
        if let Err(error) = remove_remains(&self.shared.state_dir, &self.name) {
            self.error(&error.to_string());
        }
        self.sight.forget();
    }

    pub(super) fn error(&self, text: &str) {
        tracing::error!(task = self.name.as_str(), "{}: {text}", self.name);
    }
}
