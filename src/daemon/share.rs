//! Which part of an assembly one process runs: pure.
//!
//! ```text
//!                       stateful            stateless               SINGLE, or at home elsewhere
//!   at home here        Home                Home                    Home
//!   at home elsewhere   -                   Copy (its home is       -
//!                                           the daemon)
//! ```
//!
//! A pool is a queue that the daemon deals out, and in each worker `TASK.k` a task of that name.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use super::assembly::Assembly;
use crate::config::Workers;
use crate::name::TaskName;
use crate::runtime::{Role, Wanted};
use crate::task::{Place, pool_of};

/// A process of a daemon: the daemon itself, or one of its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process<'a> {
    /// The daemon.
    Daemon,
    /// The host of this name.
    Host(&'a TaskName),
}

impl Assembly {
    /// The tasks that `process` runs. Those that are `nowhere` are on their way to another place.
    pub(crate) fn share(&self, process: Process<'_>, nowhere: &BTreeSet<TaskName>) -> BTreeMap<TaskName, Wanted> {
        let here = self.wanted.iter().filter(|(name, _)| !nowhere.contains(*name));
        let with_role = here.filter_map(|(name, task)| {
            let role = self.role(name, process)?;
            let name = match (role, process) {
                (Role::Worker, Process::Host(worker)) => worker,
                _ => name,
            };
            Some((name.clone(), Wanted { role, ..task.clone() }))
        });
        with_role.collect()
    }

    fn role(&self, name: &TaskName, process: Process<'_>) -> Option<Role> {
        match (&self.placement.by_task.get(name)?.place, process) {
            (Place::Daemon, Process::Daemon) => Some(Role::Home),
            (Place::Process(home), Process::Host(host)) if home == host => Some(Role::Home),
            (Place::Daemon, Process::Host(_)) if self.placement.is_copied(name) => Some(Role::Copy),
            (Place::Pool { workers }, Process::Daemon) => Some(Role::Pool { workers: workers.count(cpus()) }),
            (Place::Pool { workers }, Process::Host(host)) => {
                let (pool, worker) = pool_of(host)?;
                (pool == *name && is_one_of(worker, *workers)).then_some(Role::Worker)
            }
            _ => None,
        }
    }
}

/// How many processors there are for this process.
pub(super) fn cpus() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Whether a pool has a worker of this number. How many "cpus" are, the daemon says: by whom it starts.
fn is_one_of(worker: u32, workers: Workers) -> bool {
    match workers {
        Workers::Count(count) => worker <= count,
        Workers::Cpus => true,
    }
}
