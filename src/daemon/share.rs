//! Which part of an assembly one process runs: pure.
//!
//! ```text
//!                       stateful            stateless               SINGLE, or at home elsewhere
//!   at home here        Home                Home                    Home
//!   at home elsewhere   -                   Copy (its home is       -
//!                                           the daemon)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::assembly::Assembly;
use crate::name::TaskName;
use crate::runtime::{Role, Wanted};
use crate::task::Place;

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
            Some((name.clone(), Wanted { role, ..task.clone() }))
        });
        with_role.collect()
    }

    fn role(&self, name: &TaskName, process: Process<'_>) -> Option<Role> {
        match (&self.placement.by_task.get(name)?.place, process) {
            (Place::Daemon, Process::Daemon) => Some(Role::Home),
            (Place::Process(home), Process::Host(host)) if home == host => Some(Role::Home),
            (Place::Daemon, Process::Host(_)) if self.placement.is_copied(name) => Some(Role::Copy),
            _ => None,
        }
    }
}
