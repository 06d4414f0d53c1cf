//! A state directory, a spawner, and orders for hosts that are shells.
//!
//! Invariant: when a world goes, so do its keepers and all that their hosts have started.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use multimodule::name::TaskName;
use multimodule::process::{
    Argument, Caps, EndRecord, HostFiles, HostRecord, KeeperOrder, Pidfd, ProcessIdentity, SpawnError, Spawner,
    end_host, read_record,
};
use multimodule::restart::{Backoff, Budget, Policy, When};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// What should come at once comes by then: generous, since machines are loaded.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn argument(text: impl AsRef<std::ffi::OsStr>) -> Argument {
    Argument::new(text).unwrap()
}

/// Starts again at once, at most `max` times.
pub(crate) fn policy(when: When, max: u32) -> Policy {
    Policy::new(when, Backoff { first_ms: 1, max_ms: 1 }, Budget { max, within_ms: 3_600_000 }).unwrap()
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        match ask() {
            Some(answer) => return answer,
            None => assert!(Instant::now() < deadline, "{what} does not come within {SOON:?}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) struct World {
    dir: TempDir,
    pub(crate) spawner: Spawner,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::with_prefix("multimodule-keeper-").unwrap(), spawner: new_spawner() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A host `T` that is a shell with `script`; `$DIR` is this world's directory.
    pub(crate) fn order(&self, script: &str, restart: Policy) -> KeeperOrder {
        let dir = format!("DIR={}", self.path().display());
        KeeperOrder {
            name: TaskName::new("T").unwrap(),
            state_dir: argument(self.path()),
            arguments: ["sh", "-c", script].map(argument).to_vec(),
            environment: vec![argument("PATH=/usr/bin:/bin"), argument(dir)],
            directory: argument(self.path()),
            restart,
            program_text: "a shell".to_owned(),
            caps: Caps::default(),
            entries: String::new(),
        }
    }

    pub(crate) fn spawn(&mut self, order: &KeeperOrder) -> Result<ProcessIdentity, SpawnError> {
        self.spawn_program(order, Path::new("/bin/sh"))
    }

    pub(crate) fn spawn_program(&mut self, order: &KeeperOrder, program: &Path) -> Result<ProcessIdentity, SpawnError> {
        self.spawner.spawn(order, File::open(program).unwrap().as_fd())
    }

    /// A keeper of a host with `script`.
    pub(crate) fn keep(&mut self, script: &str, restart: Policy) -> ProcessIdentity {
        let order = self.order(script, restart);
        self.spawn(&order).unwrap()
    }

    pub(crate) fn files(&self) -> HostFiles {
        HostFiles::new(self.path(), &TaskName::new("T").unwrap())
    }

    pub(crate) fn record(&self) -> HostRecord {
        read_record(&self.files().process()).unwrap().expect("a record")
    }

    pub(crate) fn end(&self) -> Option<EndRecord> {
        read_record(&self.files().end()).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.files().log()).unwrap_or_default()
    }

    /// What a host has written to `name`, whole lines only.
    pub(crate) fn lines(&self, name: &str, count: usize) -> Vec<String> {
        wait_for(&format!("{count} lines in {name}"), || {
            let text = std::fs::read_to_string(self.path().join(name)).ok()?;
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (text.ends_with('\n') && lines.len() >= count).then_some(lines)
        })
    }

    pub(crate) fn wait_for_log(&self, words: &str) {
        let there = || self.log().contains(words).then_some(());
        wait_for(&format!("{words:?} in the log"), there);
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Ok(Some(record)) = read_record::<HostRecord>(&self.files().process()) else { return };
        if let Ok(Some(keeper)) = Pidfd::open(&record.keeper_identity()) {
            keeper.signal(Signal::SIGTERM).unwrap();
            keeper.wait(SOON).unwrap();
        }
        if let Ok(Some(record)) = read_record::<HostRecord>(&self.files().process()) {
            end_host(&record, Duration::ZERO).unwrap();
        }
    }
}

pub(crate) fn new_spawner() -> Spawner {
    Spawner::start(Path::new(env!("CARGO_BIN_EXE_multimodule"))).unwrap()
}

/// Sends a signal to a process that lives.
pub(crate) fn signal(process: &ProcessIdentity, signal: Signal) {
    assert!(Pidfd::open(process).unwrap().expect("it lives").signal(signal).unwrap());
}

/// Waits for the end of a process.
pub(crate) fn ended(process: &ProcessIdentity) {
    if let Some(handle) = Pidfd::open(process).unwrap() {
        assert!(handle.wait(SOON).unwrap(), "{process:?} does not end");
    }
}

/// The process of that pid, which is written down somewhere.
pub(crate) fn process(pid: &str) -> Option<ProcessIdentity> {
    ProcessIdentity::of(pid.parse().unwrap()).unwrap()
}
