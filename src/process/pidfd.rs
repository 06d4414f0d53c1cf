//! A handle to one process, which never comes to mean another: `pidfd_open(2)`, Linux 5.3.
//!
//! Invariant: a [`Pidfd`] is of the process that its identity names. The kernel's handle is opened first and the
//! identity is read after: if it fits, the pid cannot have passed to another process in between.
#![expect(unsafe_code, reason = "pidfds are reached by system calls that libc does not wrap")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{FileError, ProcessIdentity};

/// A process that was alive, or a zombie, when this was opened.
#[derive(Debug)]
pub struct Pidfd {
    fd: OwnedFd,
}

/// Why a process cannot be handled.
#[derive(Debug, thiserror::Error)]
pub enum PidfdError {
    /// The kernel gives no handle: no more descriptors, or a kernel before 5.3.
    #[error("cannot open a handle to process {pid}: {source}")]
    Open {
        /// The pid.
        pid: u32,
        /// The system's reason.
        source: io::Error,
    },
    /// `/proc` does not tell whether it is that process.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Pidfd {
    /// A handle to the process of that identity; none when it is gone, also when another has its pid now.
    ///
    /// # Errors
    /// [`PidfdError`]: there is no handle to be had, or `/proc` does not tell.
    pub fn open(identity: &ProcessIdentity) -> Result<Option<Self>, PidfdError> {
        let Some(fd) = open(identity.pid).map_err(|source| PidfdError::Open { pid: identity.pid, source })? else {
            return Ok(None);
        };
        Ok(identity.exists()?.then_some(Self { fd }))
    }

    /// Sends `signal`; false when the process is gone. A zombie takes it without effect.
    ///
    /// # Errors
    /// The system's reason: it belongs to another user.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let (fd, number) = (self.fd.as_raw_fd(), signal as libc::c_int);
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the arguments are numbers and a null pointer, which asks for the plain form of the signal; the
        // descriptor is open for as long as `self` is borrowed.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, number, info, 0) };
        match Errno::result(result) {
            Ok(_) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until the process has ended (nobody need have waited for it yet).
    ///
    /// # Errors
    /// The runtime takes no further descriptor.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O.
    pub async fn ended(&self) -> io::Result<()> {
        // A descriptor of its own: the runtime's poll takes each one once, and several may wait for one process.
        let own = self.fd.try_clone()?;
        // SAFETY: the descriptor is open, and is owned by what is registered: it is closed with it and not before.
        let fd = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }?;
        fd.readable().await?.retain_ready();
        Ok(())
    }

    /// Waits at most `timeout` for the end of the process, blocking this thread; true when it has ended.
    ///
    /// # Errors
    /// The system's reason: the kernel is out of memory.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        self.wait_until(Instant::now() + timeout)
    }

    /// As [`Pidfd::wait`], until a moment.
    pub(super) fn wait_until(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            let mut polled = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, poll_timeout(deadline)) {
                Ok(0) if Instant::now() < deadline => {}
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What is left until `deadline`, rounded up to whole milliseconds, so that a wait does not end early and spin.
pub(super) fn poll_timeout(deadline: Instant) -> PollTimeout {
    let left = deadline.saturating_duration_since(Instant::now());
    let rounded = left + Duration::from_micros(999);
    PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
}

/// The kernel's handle; it is closed by exec. None where no process (or only a thread) has that pid.
fn open(pid: u32) -> io::Result<Option<OwnedFd>> {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return Ok(None) };
    // SAFETY: the arguments are numbers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match Errno::result(result) {
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows of it.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(libc::c_int::try_from(fd).unwrap_or(-1)) })),
        Err(Errno::ESRCH) => Ok(None),
        // No such process: a pid of 0, or that of a thread which is not its process's first.
        Err(Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Stays until a signal or the end of its standard input.
    fn child() -> Child {
        Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn identity(child: &Child) -> ProcessIdentity {
        ProcessIdentity::of(child.id()).unwrap().unwrap()
    }

    #[test]
    fn a_process_is_signalled_and_its_end_is_seen() {
        let mut child = child();
        let pidfd = Pidfd::open(&identity(&child)).unwrap().unwrap();
        assert!(!pidfd.wait(Duration::from_millis(1)).unwrap());
        assert!(pidfd.signal(Signal::SIGTERM).unwrap());
        assert!(pidfd.wait(Duration::from_secs(10)).unwrap());
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
        assert!(!pidfd.signal(Signal::SIGTERM).unwrap());
        assert!(pidfd.wait(Duration::ZERO).unwrap());
    }

    #[test]
    fn a_stranger_with_the_pid_of_another_is_never_opened() {
        let mut child = child();
        let own = identity(&child);
        let other_start = ProcessIdentity { start_ticks: own.start_ticks + 1, ..own.clone() };
        let other_boot = ProcessIdentity { boot: "another".to_owned().into(), ..own.clone() };
        for stranger in [other_start, other_boot] {
            assert!(Pidfd::open(&stranger).unwrap().is_none(), "{stranger:?}");
        }
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(Pidfd::open(&own).unwrap().is_none());
        assert!(Pidfd::open(&ProcessIdentity { pid: 0, ..own.clone() }).unwrap().is_none());
        assert!(Pidfd::open(&ProcessIdentity { pid: u32::MAX, ..own }).unwrap().is_none());
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_awaited_without_a_thread() {
        let mut child = child();
        let pidfd = Pidfd::open(&identity(&child)).unwrap().unwrap();
        let early = tokio::time::timeout(Duration::from_millis(1), pidfd.ended()).await;
        assert!(early.is_err(), "it has not ended yet");
        drop(child.stdin.take());
        let both = async { tokio::join!(pidfd.ended(), pidfd.ended()) };
        let (one, other) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        one.and(other).unwrap();
        pidfd.ended().await.unwrap();
        child.wait().unwrap();
    }
}
