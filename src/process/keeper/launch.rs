//! One start of the host: fork, write down which process it is, then let its program begin.
//!
//! ```text
//!   keeper                                child
//!   fork ────────────────────────────►    waits at the gate
//!   writes NAME.process
//!   opens the gate ──────────────────►    execveat(program)
//!   reads "failed: .." or the end   ◄──    the pipe is closed by exec
//! ```
//!
//! A child whose keeper dies in between finds the gate closed, and ends.
#![expect(unsafe_code, reason = "fork, and signals set back before exec")]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{AtFlags, OFlag};
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, Pid, execveat, fork, pipe2, setpgid};

use super::super::nonce::NONCE_VARIABLE;
use super::super::spawner_main::end;
use super::super::{Argument, Intent, Nonce, ProcessRef, start_ticks};

/// What a host's process ends with when its program never began: as shells have it.
const NOT_STARTED_CODE: i32 = 127;

/// How much of a reason the child tells.
const MAX_REASON_BYTES: u64 = 1024;

/// A child that waits at the gate.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) process: ProcessRef,
    gate: File,
    outcome: File,
}

/// Forks the child of a start of `program`.
pub(super) fn fork_host(
    program: &OwnedFd,
    intent: &Intent,
    environment: &[Argument],
    nonce: &Nonce,
) -> io::Result<Waiting> {
    let plan = Plan { program, intent, environment: with_nonce(environment, nonce)? };
    let (childs_gate, gate) = pipe2(OFlag::O_CLOEXEC)?;
    let (outcome, childs_outcome) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop((gate, outcome));
            plan.follow(File::from(childs_gate), File::from(childs_outcome))
        }
        ForkResult::Parent { child } => {
            drop((childs_gate, childs_outcome));
            let process = reference(child)?;
            Ok(Waiting { process, gate: File::from(gate), outcome: File::from(outcome) })
        }
    }
}

impl Waiting {
    /// Lets the program begin, and tells why it did not, if so. The child's end tells the rest.
    pub(super) fn open_gate(mut self) -> Option<String> {
        // Where the child was killed meanwhile nobody reads: its end tells how.
        drop(self.gate.write_all(b"."));
        drop(self.gate);
        let mut reason = Vec::new();
        match self.outcome.take(MAX_REASON_BYTES).read_to_end(&mut reason) {
            Ok(0) => None,
            Ok(_) => Some(String::from_utf8_lossy(&reason).into_owned()),
            Err(error) => Some(format!("cannot learn whether it began: {error}")),
        }
    }
}

/// A zombie has a start time too, so a child that was killed at once is no exception.
fn reference(child: Pid) -> io::Result<ProcessRef> {
    let pid = u32::try_from(child.as_raw()).unwrap_or(0);
    let ticks = start_ticks(pid).map_err(io::Error::other)?;
    let start_ticks = ticks.ok_or_else(|| io::Error::other("the forked process cannot be seen in /proc"))?;
    Ok(ProcessRef { pid, start_ticks })
}

fn with_nonce(environment: &[Argument], nonce: &Nonce) -> io::Result<Vec<CString>> {
    let is_nonce = |argument: &Argument| {
        let bytes = argument.as_os_str().as_encoded_bytes();
        bytes.strip_prefix(NONCE_VARIABLE.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
    };
    let others = environment.iter().filter(|argument| !is_nonce(argument));
    let mut all: Vec<CString> = others.map(|argument| argument.as_c_string().clone()).collect();
    all.push(CString::new(format!("{NONCE_VARIABLE}={nonce}")).map_err(io::Error::other)?);
    Ok(all)
}

/// What the child does.
struct Plan<'a> {
    program: &'a OwnedFd,
    intent: &'a Intent,
    environment: Vec<CString>,
}

impl Plan<'_> {
    fn follow(&self, mut gate: File, mut outcome: File) -> ! {
        let mut opened = [0];
        if !matches!(gate.read(&mut opened), Ok(1)) {
            // The keeper is gone before the record was written: there never was a host.
            end(NOT_STARTED_CODE);
        }
        failpoint!("keeper.gate_passed");
        let reason = self.exec();
        // If nobody reads it, the exit code is all there is.
        drop(outcome.write_all(reason.as_bytes()));
        end(NOT_STARTED_CODE)
    }

    /// Becomes the program; returns only why not.
    fn exec(&self) -> String {
        // A group of its own: a host that signals its group does not mean its keeper.
        if let Err(errno) = setpgid(Pid::from_raw(0), Pid::from_raw(0)) {
            return format!("cannot make a process group: {}", errno.desc());
        }
        let directory = self.intent.directory.as_path();
        if let Err(error) = std::env::set_current_dir(directory) {
            return format!("cannot run in {}: {error}", directory.display());
        }
        let mut caps = self.intent.caps.clone();
        if let Err(reason) = caps.enter_cgroup() {
            // A log that takes nothing is the only place to say so.
            let name = &self.intent.name;
            drop(writeln!(io::stderr(), "multimodule keeper {name}: {reason}; its limits hold for each process alone"));
            caps.processes_by_cgroup = false;
        }
        if let Err(reason) = caps.apply() {
            return reason;
        }
        if let Err(errno) = reset_signals() {
            return format!("cannot set signals back: {}", errno.desc());
        }
        let arguments: Vec<&CString> = self.intent.arguments.iter().map(Argument::as_c_string).collect();
        let flags = AtFlags::AT_EMPTY_PATH;
        match execveat(self.program.as_fd(), c"", &arguments, &self.environment, flags) {
            Err(errno) => format!("cannot execute its program: {}", errno.desc()),
            Ok(never) => match never {},
        }
    }
}

/// Sets every signal to its default and blocks none.
fn reset_signals() -> nix::Result<()> {
    // Numbers 1 to 64 are all there are; KILL, STOP and two of libc's own refuse, and need nothing.
    for number in 1..=64 {
        // SAFETY: the default action runs no code of ours.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    SigSet::empty().thread_set_mask()
}
