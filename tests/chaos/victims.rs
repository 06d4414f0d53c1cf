//! Who can be killed: found by records, known by boot, pid and start time, signalled through a handle.
//!
//! Invariant: no signal goes to a process that is not of the run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use multimodule::process::{HostFiles, HostRecord, Pidfd, ProcessIdentity, processes_on_record, read_record};
use nix::sys::signal::Signal;

/// What the spawner of keepers is called.
const SPAWNER: &str = "multimodule spawner";

/// The records of external processes in a state directory, in a fixed order.
pub(crate) fn records(state_dir: &Path) -> Vec<HostRecord> {
    let names = processes_on_record(state_dir).unwrap_or_default();
    names.iter().filter_map(|name| read_record(&HostFiles::new(state_dir, name).process()).ok().flatten()).collect()
}

/// The spawner of a daemon: its child of that name.
pub(crate) fn spawner(daemon: &ProcessIdentity) -> Option<ProcessIdentity> {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid)).ok()?;
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = lists.flat_map(|list| pids(&list)).collect();
    children.into_iter().find_map(|pid| {
        let identity = ProcessIdentity::of(pid).ok()??;
        // The words belong to that identity if it still holds after they were read.
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let named = words.starts_with(SPAWNER.as_bytes());
        (named && identity.exists().ok()?).then_some(identity)
    })
}

fn pids(list: &str) -> Vec<u32> {
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether that very process lives.
pub(crate) fn lives(identity: &ProcessIdentity) -> bool {
    Pidfd::open(identity).unwrap().is_some_and(|pidfd| !pidfd.wait(Duration::ZERO).unwrap())
}

/// SIGKILL to that very process; whether it lived.
pub(crate) fn kill(identity: &ProcessIdentity) -> bool {
    let Some(pidfd) = Pidfd::open(identity).unwrap() else { return false };
    !pidfd.wait(Duration::ZERO).unwrap() && pidfd.signal(Signal::SIGKILL).unwrap()
}

/// Every living process that has to do with `dir`, ourselves excepted, with the reason in words: it stands in its
/// command line or its environment, or it has a file open there.
pub(crate) fn all_of(dir: &Path) -> Vec<(ProcessIdentity, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        let Ok(Some(identity)) = ProcessIdentity::of(pid) else { continue };
        let Some(reason) = reason(&entry.path(), dir) else { continue };
        if lives(&identity) {
            found.push((identity, reason));
        }
    }
    found
}

fn reason(process: &Path, dir: &Path) -> Option<String> {
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&words).replace('\0', " ");
    let dir_text = dir.to_str().unwrap();
    let named = ["cmdline", "environ"].into_iter().any(|file| {
        let bytes = fs::read(process.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(dir_text)
    });
    let open = || {
        let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.starts_with(dir))
    };
    (named || open()).then(|| text.trim_end().to_owned())
}

/// Ends everything that has to do with `dir`, until nothing is found any more: whatever became of the run.
pub(crate) fn clean_up(dir: &Path) {
    let mut calm = 0;
    // A keeper that is missed once starts its host again and is found next time; two looks without any are the end.
    for _ in 0..100 {
        let found = all_of(dir);
        calm = if found.is_empty() { calm + 1 } else { 0 };
        if calm == 2 {
            return;
        }
        // Keepers first: they would start their hosts again.
        let (keepers, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, words)| words.contains("keeper"));
        for (identity, _) in keepers.iter().chain(&others) {
            kill(identity);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("there is still something left of {}", dir.display());
}

/// Who was seen: counts what started.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    hosts: BTreeSet<(u32, u64)>,
    keepers: BTreeSet<(u32, u64)>,
}

impl Seen {
    pub(crate) fn look(&mut self, records: &[HostRecord]) {
        self.hosts.extend(records.iter().map(|record| (record.host.pid, record.host.start_ticks)));
        self.keepers.extend(records.iter().map(|record| (record.keeper.pid, record.keeper.start_ticks)));
    }

    /// Hosts and keepers.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.hosts.len(), self.keepers.len())
    }
}
