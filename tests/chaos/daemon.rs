//! The daemon, started again whenever it is gone, as systemd would.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use multimodule::process::{Pidfd, ProcessIdentity};
use nix::sys::signal::Signal;

use crate::place::Place;

/// The first word of this program when it is to be multimodule; hosts and keepers inherit it.
pub(crate) const MULTIMODULE: &str = "multimodule";
/// How often something is looked at that another process does.
pub(crate) const LOOK: Duration = Duration::from_millis(2);

/// A daemon in a place.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Option<Child>,
    /// How often it was started.
    pub(crate) starts: u64,
}

impl Daemon {
    pub(crate) fn start(place: &Place) -> Self {
        let mut daemon = Self { child: None, starts: 0 };
        daemon.start_if_gone(place);
        daemon
    }

    /// Starts it if it does not run; how the one before ended, if it did.
    pub(crate) fn start_if_gone(&mut self, place: &Place) -> Option<ExitStatus> {
        let ended = match &mut self.child {
            Some(child) => child.try_wait().unwrap(),
            None => None,
        };
        if self.child.is_none() || ended.is_some() {
            self.child = Some(command(place).spawn().unwrap());
            self.starts += 1;
        }
        ended
    }

    /// The running one, if it runs.
    pub(crate) fn identity(&mut self) -> Option<ProcessIdentity> {
        let child = self.child.as_mut()?;
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        // A child that nobody has waited for keeps its pid.
        ProcessIdentity::of(child.id()).unwrap()
    }

    /// Sends `signal`, if it runs.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if let Some(identity) = self.identity()
            && let Some(pidfd) = Pidfd::open(&identity).unwrap()
        {
            pidfd.signal(signal).unwrap();
        }
    }

    /// Waits for its end; none if it does not come in time.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + patience;
        let child = self.child.as_mut()?;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                self.child = None;
                return Some(status);
            }
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Kills it and waits.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(place: &Place) -> Command {
    let log = |path: &Path| File::options().append(true).create(true).open(path).unwrap();
    let mut command = Command::new(place.program());
    command.arg0(MULTIMODULE).current_dir(place.path()).stdin(Stdio::null());
    command.arg("-c").arg(place.config()).arg("-s").arg(place.state()).arg("-T").arg(place.transit_dir());
    command.env_remove("RUST_LOG").env_remove("MULTIMODULE_LOG").env_remove("NO_COLOR");
    for (name, value) in place.environment() {
        command.env(name, value);
    }
    command.stdout(log(&place.daemon_log())).stderr(log(&place.daemon_log()));
    command
}
