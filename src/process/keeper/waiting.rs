//! What a keeper waits for: its signals, and the ends of its children.
#![expect(unsafe_code, reason = "wait4, which tells the use of resources too, has no safe interface")]

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::super::How;
use super::super::pidfd::poll_timeout;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeeperEvent {
    /// A child may have ended.
    Child,
    /// The process with this pid asks for the end.
    Asked,
    /// The moment has come.
    TimedOut,
}

/// SIGTERM and SIGCHLD, as events. All signals are blocked in a keeper; the others are never taken.
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

impl Signals {
    pub(super) fn open() -> io::Result<Self> {
        let mask: SigSet = [Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect();
        Ok(Self(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The next event, at `deadline` at the latest; without one it is waited for.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> io::Result<KeeperEvent> {
        loop {
            if let Some(signal) = self.0.read_signal()? {
                let asked = i32::try_from(signal.ssi_signo) == Ok(libc::SIGTERM);
                return Ok(if asked { KeeperEvent::Asked } else { KeeperEvent::Child });
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(KeeperEvent::TimedOut);
            }
            let timeout = deadline.map_or(PollTimeout::NONE, poll_timeout);
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// A child that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reaped {
    pub(super) pid: u32,
    pub(super) how: How,
    pub(super) user_cpu_ms: u64,
    pub(super) system_cpu_ms: u64,
    pub(super) max_rss_kib: u64,
}

/// Takes the end of one child, our own or one that became ours; none when none has ended.
pub(super) fn reap() -> Option<Reaped> {
    let mut status = 0;
    // SAFETY: a `rusage` is numbers, for which all zeros are values.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places are ours and are written before the call returns.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let max_rss_kib = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    let [user_cpu_ms, system_cpu_ms] = [usage.ru_utime, usage.ru_stime].map(milliseconds);
    Some(Reaped { pid, how: how(status), user_cpu_ms, system_cpu_ms, max_rss_kib })
}

fn how(status: libc::c_int) -> How {
    if libc::WIFSIGNALED(status) {
        return How::Signaled { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) };
    }
    How::Exited(libc::WEXITSTATUS(status))
}

fn milliseconds(time: libc::timeval) -> u64 {
    let milliseconds = time.tv_sec.saturating_mul(1000).saturating_add(time.tv_usec / 1000);
    u64::try_from(milliseconds).unwrap_or(0)
}
