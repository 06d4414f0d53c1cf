//! What there is to see of one process: its identity record, whether keeper and host live, whether it is parked.
//!
//! Invariant: a pid counts only with its boot and start time, and only through a pidfd that was opened and then
//! checked; so what is seen here cannot be somebody else's process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::life::Seen;
use crate::name::TaskName;
use crate::process::{
    HostFiles, HostRecord, Pidfd, ProcessIdentity, RecordError, RecordFault, is_no_host, is_no_keeper, read_record,
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
}

impl Sight {
    pub(super) fn new(state_dir: &Path, process: TaskName) -> Self {
        let files = HostFiles::new(state_dir, &process);
        Self { files, process, record: None, keeper: None, host: None, fault: None, newer: false }
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
                (self.fault, self.newer) = (None, false);
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
        (self.fault, self.newer) = (None, false);
        let before = self.record.as_ref().map(|record| record.host);
        if let Some(record) = &record {
            self.keeper = self.open(&record.keeper_identity());
            self.host = self.open(&record.host_identity());
            self.dismiss_strangers(record);
        }
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

    fn open(&mut self, identity: &ProcessIdentity) -> Option<Pidfd> {
        Pidfd::open(identity).unwrap_or_else(|error| {
            tracing::error!(task = self.process.as_str(), "{}: {error}", self.process);
            None
        })
    }

    fn complain(&mut self, error: &RecordError) {
        self.newer = matches!(error, RecordError::Unusable { fault: RecordFault::Newer { .. }, .. });
        let text = error.to_string();
        if self.fault.as_ref() != Some(&text) {
            tracing::error!(task = self.process.as_str(), "{}: its identity record is not used: {text}", self.process);
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
