//! The limits of one process beyond a start: its cgroup, where there are cgroups, and changed limits while it runs.

use super::watcher::Watcher;
use crate::process::{Argument, Caps, Intent, change_caps};
use crate::usage::{Bounds, Cgroup};

impl Watcher {
    /// The caps by which it starts: where there are cgroups it has one, whose bounds are set now.
    pub(super) fn bounded(&mut self, caps: &Caps) -> Caps {
        let Some(cgroups) = &self.shared.cgroups else { return caps.clone() };
        let bounds = Bounds { memory_bytes: caps.memory_bytes, processes: caps.processes };
        let made = cgroups.make(&self.name, &bounds).map_err(|error| error.to_string());
        let door = made.and_then(|made| Argument::new(made.door().into_os_string()).map_err(|error| error.to_string()));
        match door {
            Ok(door) => {
                self.no_cgroup = None;
                let processes_by_cgroup = cgroups.bounds_processes();
                Caps { cgroup: Some(door), processes_by_cgroup, ..caps.clone() }
            }
            Err(error) => {
                if self.no_cgroup.as_ref() != Some(&error) {
                    self.error(&format!("it has no cgroup, so its limits hold for each process alone: {error}"));
                    self.no_cgroup = Some(error);
                }
                caps.clone()
            }
        }
    }

    /// Gives it and all below it the caps `caps` instead of those that `intent` says, and says what came of it.
    pub(super) fn change_caps(&self, intent: &Intent, caps: &Caps) {
        let Some(record) = self.sight.record().filter(|_| self.sight.host().is_some()) else { return };
        match change_caps(record, &intent.caps, caps) {
            // That there is a cgroup is no change of its limits.
            Ok(later) if later.is_empty() && intent.caps.of_config() == caps.of_config() => {}
            Ok(later) if later.is_empty() => {
                tracing::info!(task = self.name.as_str(), "{}: its changed limits hold now", self.name);
            }
            Ok(later) => {
                self.error(&format!(
                    "its changed limits hold now, these only from its next start: {}",
                    later.join(", ")
                ));
            }
            Err(error) => self.error(&format!("its changed limits hold from its next start: {error}")),
        }
    }

    /// Kills whatever is in its cgroup, at once.
    pub(super) fn kill_cgroup(&self) {
        if let Some(Err(error)) = self.cgroup().map(|cgroup| cgroup.kill()) {
            self.error(&error.to_string());
        }
    }

    /// Removes its cgroup; false: what is left in it has just been killed.
    pub(super) fn remove_cgroup(&self) -> bool {
        match self.cgroup().map(|cgroup| cgroup.remove()) {
            Some(Ok(false)) => {
                self.kill_cgroup();
                false
            }
            Some(Err(error)) => {
                self.error(&error.to_string());
                true
            }
            Some(Ok(true)) | None => true,
        }
    }

    fn cgroup(&self) -> Option<Cgroup> {
        self.shared.cgroups.as_ref().map(|cgroups| cgroups.of(&self.name))
    }
}
