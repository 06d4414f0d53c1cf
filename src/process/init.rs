//! Process 1 of a container: whoever loses its parent becomes its child, and waits there to be reaped.
//!
//! ```text
//!   process 1 ──fork──► the program: all that it would have been
//!       └── passes signals on, reaps whatever ends, and ends as the program does (the kernel ends the rest)
//! ```
//!
//! Keepers have no parent of their own by design, nor has what a killed program leaves. The program itself cannot reap
//! them without taking the ends of children that something else in it waits for; so process 1 is one with no children
//! of its own but that one.
#![expect(unsafe_code, reason = "fork")]

use std::io;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};

/// What the code of a process that a signal ended begins at, as shells have it.
const SIGNALED_CODE: u8 = 128;
/// The `si_code` of a signal that the kernel itself sent, such as the terminal's: the program has got it too.
const FROM_KERNEL: i32 = 0x80;

/// Where this process is process 1, the rest of the program runs in a child: that one is told `None`, and this one the
/// exit code after the child's end. Everywhere else there is nothing to do: `None`.
///
/// To be called while there is one thread.
///
/// # Errors
/// The kernel refuses a process or a signal's descriptor.
pub fn stay_process_one() -> io::Result<Option<u8>> {
    if getpid() != Pid::from_raw(1) {
        return Ok(None);
    }
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    let signals = SignalFd::new(&SigSet::all())?;
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(signals);
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            Ok(None)
        }
        ForkResult::Parent { child } => attend(&signals, child).map(Some),
    }
}

/// The pid of the process that attends this one as process 1, if one does.
#[must_use]
pub fn our_process_one() -> Option<u32> {
    let program = |path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let is_ours = getppid() == Pid::from_raw(1) && program("/proc/1/exe") == program("/proc/self/exe");
    is_ours.then_some(1)
}

fn attend(signals: &SignalFd, program: Pid) -> io::Result<u8> {
    loop {
        match signals.read_signal() {
            Ok(Some(signal)) if i32::try_from(signal.ssi_signo) == Ok(libc::SIGCHLD) => {
                if let Some(code) = reap(program)? {
                    return Ok(code);
                }
            }
            Ok(Some(signal)) if signal.ssi_code != FROM_KERNEL => {
                let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
                // One that has just ended needs no signal: its end is the next thing that is read.
                Signal::try_from(number).and_then(|signal| kill(program, signal)).unwrap_or_default();
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Takes the ends of all who have ended: the code to end with, if the program is one of them.
fn reap(program: Pid) -> io::Result<Option<u8>> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, exited)) if pid == program => code = Some(u8::try_from(exited).unwrap_or(1)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                code = Some(SIGNALED_CODE.saturating_add(u8::try_from(signal as i32).unwrap_or(0)));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(code),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
