//! The external processes of a world: found by their records, never signalled without a handle that was checked.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use multimodule::name::{QueueName, TaskName};
use multimodule::process::{
    EndRecord, HostFiles, HostRecord, Pidfd, ProcessIdentity, end_marked, processes_on_record, read_record,
};
use multimodule::transit::{QueueStatus, Transit};
use nix::sys::signal::Signal;

use crate::world::{SOON, World};

/// How often a file is looked at that another process will write.
const LOOK: Duration = Duration::from_millis(5);

impl World {
    /// The record of the process `name`, once both its keeper and its host live.
    pub(crate) fn process(&self, name: &str) -> HostRecord {
        let lives = |record: &HostRecord| lives(&record.host_identity()) && lives(&record.keeper_identity());
        self.wait_for(&format!("process {name} with its keeper"), || self.record(name).filter(lives))
    }

    /// The record of the process `name`, whether it lives or not.
    pub(crate) fn record(&self, name: &str) -> Option<HostRecord> {
        let name = TaskName::new(name).expect("a spec names processes well");
        read_record(&HostFiles::new(&self.state(), &name).process()).expect("a record is whole or not there")
    }

    /// How the last host of `name` ended, as far as that was seen.
    pub(crate) fn end(&self, name: &str) -> Option<EndRecord> {
        let name = TaskName::new(name).expect("a spec names processes well");
        read_record(&HostFiles::new(&self.state(), &name).end()).expect("a record is whole or not there")
    }

    /// How a queue of this world stands; nothing where there is none.
    pub(crate) fn queue(&self, name: &str) -> Option<QueueStatus> {
        let queue = QueueName::new(name).expect("a spec names queues well");
        let transit = Transit::open(&self.transit()).expect("the world's transit is there");
        transit.status(&queue).expect("a queue can be looked at")
    }

    /// Waits until none of `identities` lives.
    pub(crate) fn wait_ended(&self, identities: &[ProcessIdentity]) {
        self.wait_for("their end", || (!identities.iter().any(lives)).then_some(()));
    }

    /// Waits until `look` finds something.
    pub(crate) fn wait_for<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let end = Instant::now() + SOON;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < end, "there is no {what} after {SOON:?}; the logs:\n{}", self.logs());
            // Neither a record nor a log says to us that it has changed; nobody unparks this thread.
            std::thread::park_timeout(LOOK);
        }
    }

    /// What the hosts of this world have printed.
    pub(crate) fn logs(&self) -> String {
        let Ok(entries) = fs::read_dir(self.state().join("log")) else { return String::new() };
        let text = |path: &Path| format!("{}:\n{}", path.display(), fs::read_to_string(path).unwrap_or_default());
        entries.flatten().map(|entry| text(&entry.path())).collect()
    }

    /// What the host of this name has printed.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.state().join("log").join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Ends all external processes of this world, whatever became of their daemon.
    pub(crate) fn end_externals(&self) {
        let Ok(entries) = fs::read_dir(self.path()) else { return };
        for state_dir in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
            for name in processes_on_record(&state_dir).unwrap_or_default() {
                let Ok(Some(record)) = read_record::<HostRecord>(&HostFiles::new(&state_dir, &name).process()) else {
                    continue;
                };
                // Keepers first: they would start their hosts again.
                kill(&record.keeper_identity());
                kill(&record.host_identity());
                drop(end_marked(&record.nonce, Duration::ZERO));
            }
        }
    }
}

/// Whether that very process lives.
pub(crate) fn lives(identity: &ProcessIdentity) -> bool {
    let pidfd = Pidfd::open(identity).expect("the kernel has pidfds");
    pidfd.is_some_and(|pidfd| !pidfd.wait(Duration::ZERO).expect("a pidfd can be polled"))
}

/// SIGKILL to that very process, if it lives.
pub(crate) fn kill(identity: &ProcessIdentity) {
    signal(identity, Signal::SIGKILL);
}

/// A signal to that very process, if it lives.
pub(crate) fn signal(identity: &ProcessIdentity, signal: Signal) {
    if let Ok(Some(pidfd)) = Pidfd::open(identity) {
        pidfd.signal(signal).expect("our own process takes a signal");
    }
}

/// The parent of a process, its session, and its command line with spaces between the words.
pub(crate) fn parent_session_and_words(pid: u32) -> (u32, u32, String) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let words = fs::read(format!("/proc/{pid}/cmdline")).expect("the process lives");
    let words = String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned();
    (fields[1].parse().expect("a pid"), fields[3].parse().expect("a session"), words)
}
