//! The end of many processes: TERM, a time of grace, KILL in rounds until nothing is left.
//!
//! Each is signalled through a handle that was opened and found to be of that very process. New ones that appear
//! under way get their TERM too; after the grace each gets KILL.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::family::{Look, processes_below, processes_marked};
use super::{FileError, HostRecord, Nonce, Pidfd, PidfdError, ProcessIdentity};

/// How long processes have between TERM and KILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long KILL is repeated: a process that does not end of it for so long waits for a device, or belongs to
/// another user; then it is left and told.
const KILLING: Duration = Duration::from_secs(10);

/// How long one look is waited upon before the next: new processes are found within it.
const ROUND: Duration = Duration::from_millis(50);

/// How many handles are held at once: few enough for the usual limit of 1024 descriptors.
const HANDLES: usize = 256;

/// What came of an end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ended {
    /// How many processes were sent TERM.
    pub terminated: usize,
    /// How many were sent KILL.
    pub killed: usize,
    /// Which do not end.
    pub left: Vec<ProcessIdentity>,
}

/// Ends everything below `root`, not itself. Blocks for at most `grace` and 10 s more.
///
/// # Errors
/// [`PidfdError`]: `/proc` does not tell, or there are no handles to be had.
pub fn end_below(root: &ProcessIdentity, grace: Duration) -> Result<Ended, PidfdError> {
    Ending::new(grace).run(|look| processes_below(root, look))
}

/// Ends the host of `record`, every process of our user that bears the mark of its start in its environment, and all
/// below them: for a host whose keeper is gone. Blocks for at most `grace` and 10 s more.
///
/// # Errors
/// [`PidfdError`]: `/proc` does not tell, or there are no handles to be had.
pub fn end_host(record: &HostRecord, grace: Duration) -> Result<Ended, PidfdError> {
    // By its identity too: until its program begins it has no mark.
    let host = record.host_identity();
    Ending::new(grace).run(|look| processes_marked(&record.nonce, Some(&host), look))
}

/// Ends every process of our user that bears the mark `nonce` in its environment, and all below them. Blocks for at
/// most `grace` and 10 s more.
///
/// # Errors
/// [`PidfdError`]: `/proc` does not tell, or there are no handles to be had.
pub fn end_marked(nonce: &Nonce, grace: Duration) -> Result<Ended, PidfdError> {
    Ending::new(grace).run(|look| processes_marked(nonce, None, look))
}

struct Ending {
    kill_at: Instant,
    leave_at: Instant,
    terminated: HashSet<ProcessIdentity>,
    killed: HashSet<ProcessIdentity>,
}

impl Ending {
    fn new(grace: Duration) -> Self {
        let kill_at = Instant::now() + grace;
        Self { kill_at, leave_at: kill_at + KILLING, terminated: HashSet::new(), killed: HashSet::new() }
    }

    fn run(mut self, find: impl Fn(Look) -> Result<Vec<ProcessIdentity>, FileError>) -> Result<Ended, PidfdError> {
        loop {
            let mut living = find(Look::Quick)?;
            if living.is_empty() {
                living = find(Look::Thorough)?;
            }
            if living.is_empty() || Instant::now() >= self.leave_at {
                return Ok(Ended { terminated: self.terminated.len(), killed: self.killed.len(), left: living });
            }
            self.round(&living)?;
        }
    }

    /// Signals each that is to be, then waits for those that were found.
    fn round(&mut self, living: &[ProcessIdentity]) -> Result<(), PidfdError> {
        let killing = Instant::now() >= self.kill_at;
        let mut handles = Vec::new();
        for process in living {
            let Some(handle) = Pidfd::open(process)? else { continue };
            self.signal(process, &handle, killing);
            if handles.len() < HANDLES {
                handles.push(handle);
            }
        }
        let round_end = Instant::now() + ROUND;
        let deadline = if killing { round_end } else { round_end.min(self.kill_at) };
        for handle in &handles {
            let waited = handle.wait_until(deadline);
            waited.map_err(|error| FileError::new("/proc", "wait for a process of", error))?;
        }
        Ok(())
    }

    fn signal(&mut self, process: &ProcessIdentity, handle: &Pidfd, killing: bool) {
        let (signal, sent) =
            if killing { (Signal::SIGKILL, &mut self.killed) } else { (Signal::SIGTERM, &mut self.terminated) };
        // A process that may not be signalled (it became another user's) is still found, and is told as left.
        if !sent.contains(process) && handle.signal(signal).unwrap_or(false) {
            sent.insert(process.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::super::nonce::NONCE_VARIABLE;
    use super::*;

    /// A shell that runs `script` and is ready when that has printed a line.
    fn shell(script: &str, nonce: &Nonce) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env(NONCE_VARIABLE, nonce.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        child
    }

    #[test]
    fn a_process_that_obeys_ends_of_term_and_one_that_does_not_of_kill() {
        for (script, killed) in [("echo; exec sleep 600", 0), ("trap '' TERM; echo; exec sleep 600", 1)] {
            let nonce = Nonce::fresh().unwrap();
            let mut child = shell(script, &nonce);
            let ended = end_marked(&nonce, Duration::from_millis(200)).unwrap();
            assert_eq!(ended, Ended { terminated: 1, killed, left: vec![] }, "{script}");
            child.wait().unwrap();
        }
    }

    #[test]
    fn what_is_below_a_process_ends_and_the_process_goes_on() {
        let nonce = Nonce::fresh().unwrap();
        let mut child = shell("sleep 600 & (trap '' TERM; echo; sleep 600; sleep 600) & wait; exec cat", &nonce);
        let root = ProcessIdentity::of(child.id()).unwrap().unwrap();
        let ended = end_below(&root, Duration::from_millis(200)).unwrap();
        assert!(ended.terminated >= 2 && ended.killed >= 1 && ended.left.is_empty(), "{ended:?}");
        assert!(root.exists().unwrap());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
