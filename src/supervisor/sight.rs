//! What there is to see of one process: its identity record, whether keeper and host live, whether it is parked.
//!
//! Invariant: a pid counts only with its boot and start time, and only through a pidfd that was opened and then
//! checked; so what is seen here cannot be somebody else's process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::life::Seen;
use crate::name::TaskName;
use crate::process::{
    HostFiles, HostRecord, Pidfd, PidfdError, ProcessIdentity, RecordError, RecordFault, is_no_host, is_no_keeper,
    read_record,
};

/// What is seen of one process.
pub(super) struct Sight {
    files: HostFiles,
    process: TaskName,
    record: Option<HostRecord>,
    keeper: Option<Pidfd>,
    host: Option<Pidfd>,
    /// Why the record cannot be used, said once.
    fault: Option<String>,
    /// A newer program wrote the record: nothing is decided by what is not understood.
    newer: bool,
    /// The newest record names processes that could not be looked at: no descriptor was to be had.
    blind: bool,
    open: Open,
}

/// How a handle to a process is opened.
type Open = fn(&ProcessIdentity) -> Result<Option<Pidfd>, PidfdError>;

impl Sight {
    pub(super) fn new(state_dir: &Path, process: TaskName) -> Self {
        let files = HostFiles::new(state_dir, &process);
        let (record, keeper, host, fault) = (None, None, None, None);
        Self { files, process, record, keeper, host, fault, newer: false, blind: false, open: Pidfd::open }
    }

    /// Whether nothing may be decided by the last look: what is there could not be seen, and is looked at again.
    pub(super) fn is_blind(&self) -> bool {
        self.blind
    }

    /// Looks. True beside it: the host is another one than before.
    pub(super) fn look(&mut self) -> (Seen, bool) {
        let changed = self.read();
        for pidfd in [&mut self.keeper, &mut self.host] {
            // What the kernel cannot tell now is looked at again.
            if pidfd.as_ref().is_some_and(|pidfd| pidfd.wait(Duration::ZERO).unwrap_or(false)) {
                *pidfd = None;
            }
        }
        let parked = self.newer || self.files.failsafe().exists();
        (Seen { keeper: self.keeper.is_some(), host: self.host.is_some(), parked }, changed)
    }

    fn read(&mut self) -> bool {
        let record = match read_record::<HostRecord>(&self.files.process()) {
            // Where somebody removed the record, what was seen before is still there.
            Ok(None) => {
                (self.fault, self.newer, self.blind) = (None, false, false);
                return false;
            }
            Ok(record) => record,
            Err(error) => {
                self.complain(&error);
                return false;
            }
        };
        if record == self.record {
            return false;
        }
        let before = self.record.as_ref().map(|record| record.host);
        if let Some(record) = &record {
            match self.open_both(record) {
                Ok(both) => (self.keeper, self.host) = both,
                Err(error) => {
                    self.blind = true;
                    self.say_once(error.to_string());
                    return false;
                }
            }
            self.dismiss_strangers(record);
        }
        (self.fault, self.newer, self.blind) = (None, false, false);
        self.record = record;
        before != self.record.as_ref().map(|record| record.host)
    }

    /// A process that cannot be what the record calls it is nobody's business here.
    fn dismiss_strangers(&mut self, record: &HostRecord) {
        let process = &self.process;
        let complain = |what: &str, pid: u32| {
            tracing::error!(
                task = process.as_str(),
                "{process}: its identity record lies: pid {pid} is another program's and not its {what}"
            );
        };
        if self.keeper.is_some() && is_no_keeper(record) {
            complain("keeper", record.keeper.pid);
            self.keeper = None;
        }
        if self.host.is_some() && is_no_host(record) {
            complain("host", record.host.pid);
            self.host = None;
        }
    }

    /// Whether its keeper or its host lived at the last look.
    pub(super) fn is_alive(&self) -> bool {
        self.keeper.is_some() || self.host.is_some()
    }

    /// Whether a newer program than this one wrote its record.
    pub(super) fn is_of_newer_program(&self) -> bool {
        self.newer
    }

    /// What keeps it parked, if something does.
    pub(super) fn parked_by(&self) -> PathBuf {
        if self.newer { self.files.process() } else { self.files.failsafe() }
    }

    fn open_both(&self, record: &HostRecord) -> Result<(Option<Pidfd>, Option<Pidfd>), PidfdError> {
        Ok(((self.open)(&record.keeper_identity())?, (self.open)(&record.host_identity())?))
    }

    fn complain(&mut self, error: &RecordError) {
        self.newer = matches!(error, RecordError::Unusable { fault: RecordFault::Newer { .. }, .. });
        self.say_once(format!("its identity record is not used: {error}"));
    }

    fn say_once(&mut self, text: String) {
        if self.fault.as_ref() != Some(&text) {
            tracing::error!(task = self.process.as_str(), "{}: {text}", self.process);
            self.fault = Some(text);
        }
    }

    /// The process is gone for good.
    pub(super) fn forget(&mut self) {
        self.record = None;
    }

    /// The newest record that could be read.
    pub(super) fn record(&self) -> Option<&HostRecord> {
        self.record.as_ref()
    }

    pub(super) fn keeper(&self) -> Option<&Pidfd> {
        self.keeper.as_ref()
    }

    pub(super) fn host(&self) -> Option<&Pidfd> {
        self.host.as_ref()
    }

    /// Waits until keeper or host ends; for ever where neither lives.
    pub(super) async fn some_end(&self) {
        let end = async |pidfd: &Option<Pidfd>| match pidfd {
            // Without a notice the next look tells.
            Some(pidfd) if pidfd.ended().await.is_ok() => {}
            _ => std::future::pending().await,
        };
        tokio::select! {
            () = end(&self.keeper) => {}
            () = end(&self.host) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::process::{NONCE_VARIABLE, Nonce, ProcessRef, write_record};

    static EXHAUSTED: AtomicBool = AtomicBool::new(true);

    fn open(identity: &ProcessIdentity) -> Result<Option<Pidfd>, PidfdError> {
        if EXHAUSTED.load(Ordering::Relaxed) {
            let source = io::Error::from_raw_os_error(libc::EMFILE);
            return Err(PidfdError::Open { pid: identity.pid, source });
        }
        Pidfd::open(identity)
    }

    #[test]
    fn a_process_that_could_not_be_looked_at_is_not_taken_for_ended_and_is_looked_at_again() {
        let place = tempfile::tempdir().unwrap();
        let (name, nonce) = (TaskName::new("Task").unwrap(), Nonce::fresh().unwrap());
        let mut child = Command::new("sleep").arg("600").env(NONCE_VARIABLE, nonce.to_string()).spawn().unwrap();
        let host = ProcessIdentity::of(child.id()).unwrap().unwrap();
        let record = HostRecord {
            boot: host.boot.clone(),
            pid_namespace: 1,
            keeper: ProcessRef { pid: 0, start_ticks: 0 },
            host: host.reference(),
            nonce,
            started_unix_ms: 1,
            starts: 1,
            program: String::new(),
        };
        write_record(&HostFiles::new(place.path(), &name).process(), &record).unwrap();
        let mut sight = Sight::new(place.path(), name);
        sight.open = open;
        sight.look();
        assert!(sight.is_blind());
        EXHAUSTED.store(false, Ordering::Relaxed);
        let (seen, another) = sight.look();
        assert!(seen.host && another && !sight.is_blind(), "{seen:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
