//! A process's log on the terminal: told by the kernel when the file changed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::log::{Log, Shown};
use crate::channel::{Terminal, terminal};
use crate::name::TaskName;
use crate::process::{FileError, HostFiles};

/// Wakes whoever follows a file of the log directory.
pub(super) struct LogBell {
    followers: Arc<Followers>,
    /// Kept for its effect. Without it logs are shown at each look, once a second.
    _watcher: Option<RecommendedWatcher>,
}

type Followers = Mutex<HashMap<OsString, Arc<Notify>>>;

impl LogBell {
    /// Watches `STATE/log`, which is made.
    pub(super) fn start(state_dir: &Path) -> Self {
        let followers = Arc::new(Followers::default());
        let watcher = watch(state_dir, followers.clone())
            .inspect_err(|error| tracing::error!("logs of external tasks are shown a second late: {error}"))
            .ok();
        Self { followers, _watcher: watcher }
    }

    fn follow(&self, file: OsString) -> Arc<Notify> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        // Of those who have gone only the table knows.
        followers.retain(|_, follower| Arc::strong_count(follower) > 1);
        followers.entry(file).or_default().clone()
    }

    /// How many files are followed, or were until lately.
    #[cfg(test)]
    pub(super) fn followers(&self) -> usize {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn watch(state_dir: &Path, followers: Arc<Followers>) -> Result<RecommendedWatcher, Box<dyn std::error::Error>> {
    let directory = state_dir.join("log");
    let make = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    make.map_err(FileError::of(&directory, "make directory"))?;
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let followers = followers.lock().unwrap_or_else(PoisonError::into_inner);
        // An event without paths, or an error, may concern everybody.
        let paths = event.map(|event| event.paths).unwrap_or_default();
        let named = paths.iter().filter_map(|path| followers.get(path.file_name()?));
        named.for_each(|follower| follower.notify_one());
        if paths.is_empty() {
            followers.values().for_each(|follower| follower.notify_one());
        }
    })?;
    watcher.watch(&directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Shows the log of one process.
pub(super) struct LogReader {
    log: Log,
    bell: Arc<Notify>,
    process: TaskName,
    terminal: Terminal,
    /// Why it cannot be shown, said once.
    fault: Option<String>,
}

impl LogReader {
    pub(super) fn follow(bell: &LogBell, state_dir: &Path, process: &TaskName) -> Self {
        let path = HostFiles::new(state_dir, process).log();
        let bell = bell.follow(path.file_name().unwrap_or_default().to_owned());
        Self { log: Log::follow(&path), bell, process: process.clone(), terminal: terminal(), fault: None }
    }

    /// Waits until there may be more to show.
    pub(super) async fn changed(&self) {
        self.bell.notified().await;
    }

    /// Shows what was written since, or a portion of it; then there is soon more to show.
    pub(super) fn show(&mut self) {
        let shown = self.log.show(&mut self.terminal);
        if matches!(shown, Ok(Shown::Part)) {
            self.bell.notify_one();
        }
        self.say(shown.map(drop));
    }

    /// Renames the file if it has grown large; then its host must open the name anew.
    pub(super) fn rotate_if_large(&mut self) -> bool {
        if !self.log.is_large() {
            return false;
        }
        let rotated = self.log.rotate();
        let done = rotated.is_ok();
        self.say(rotated);
        done
    }

    /// The host writes to the new file.
    pub(super) fn reopened(&mut self) {
        let shown = self.log.reopened(&mut self.terminal);
        self.say(shown);
    }

    fn say<E: std::fmt::Display>(&mut self, outcome: Result<(), E>) {
        let text = outcome.err().map(|error| error.to_string());
        if let Some(text) = &text
            && self.fault.as_ref() != Some(text)
        {
            tracing::error!(task = self.process.as_str(), "{}: its log is not shown: {text}", self.process);
        }
        self.fault = text;
    }
}
