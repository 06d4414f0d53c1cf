//! What runs of the processes, as their watchers saw it last.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::sight::Sight;
use crate::name::TaskName;
use crate::process::ProcessRef;

/// What runs of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Running {
    /// Its keeper, if that lives.
    pub keeper: Option<ProcessRef>,
    /// Its host, if that lives.
    pub host: Option<ProcessRef>,
    /// How often its keeper was seen to start it again: nobody asked for that.
    pub starts: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct AllRunning(Mutex<BTreeMap<TaskName, Running>>);

impl AllRunning {
    /// Notes what is seen of a process; `another` host than before, of the same keeper, was started again.
    pub(super) fn note(&self, process: &TaskName, sight: &Sight, another: bool) {
        let record = sight.record();
        let keeper = record.filter(|_| sight.keeper().is_some()).map(|record| record.keeper);
        let host = record.filter(|_| sight.host().is_some()).map(|record| record.host);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(process.clone()).or_default();
        let again = another && keeper.is_some() && keeper == known.keeper;
        *known = Running { keeper, host, starts: known.starts + u64::from(again) };
    }

    /// Nobody watches it any more.
    pub(super) fn forget(&self, process: &TaskName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(process);
    }

    pub(super) fn list(&self) -> BTreeMap<TaskName, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
