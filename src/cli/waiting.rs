//! Waiting for messages, for an interrupt, and for the reader of our output to go: what `rtrans` does in between.

use std::io::Stdout;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::exit::{Exit, Failure};
use crate::transit::{Bell, Consumer};

/// The longest wait without a look: a sender may be killed between its message and its ring.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// SIGINT and SIGTERM, waited for like a file.
pub(super) struct Interrupts(SignalFd);

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// There may be a message.
    Look,
    /// The end is asked for.
    Interrupted,
    /// Nobody reads what we print.
    OutputClosed,
    /// The deadline has passed.
    TimedOut,
}

impl Interrupts {
    /// From now on both signals are kept until they are waited for. Call it before there are threads.
    pub(super) fn watch() -> Result<Self, Failure> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        let fail = |errno: Errno| Failure::new(Exit::IoError, format!("cannot wait for signals: {errno}"));
        signals.thread_block().map_err(fail)?;
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map(Self).map_err(fail)
    }

    /// Whether one of them has come.
    pub(super) fn came(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }
}

/// Waits until there may be something to do, or `deadline` has passed.
pub(super) fn wait(
    consumer: &mut Consumer,
    bell: &Arc<Bell>,
    interrupts: &Interrupts,
    output: &Stdout,
    deadline: Option<Instant>,
) -> Result<Event, Failure> {
    let fail = |error: std::io::Error| Failure::new(Exit::IoError, format!("cannot wait for messages: {error}"));
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left.is_zero()) {
        return Ok(Event::TimedOut);
    }
    consumer.check_replaced()?;
    if !consumer.prepare_sleep() {
        return Ok(if interrupts.came() { Event::Interrupted } else { Event::Look });
    }
    // Rounded up: a wait of 0 ms before the deadline would spin.
    let millis = left.map_or(LONGEST_WAIT, |left| left.min(LONGEST_WAIT)).as_micros().div_ceil(1000);
    let timeout = PollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX));
    let fifo = bell.fifo();
    let mut fds = [
        PollFd::new(fifo.as_fd(), PollFlags::POLLIN),
        PollFd::new(interrupts.0.as_fd(), PollFlags::POLLIN),
        // Asked for nothing, a pipe tells when its reader is gone.
        PollFd::new(output.as_fd(), PollFlags::empty()),
    ];
    match poll(&mut fds, timeout) {
        // The doorbell may have been removed.
        Ok(0) => drop(bell.mend().map_err(fail)?),
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(fail(errno.into())),
    }
    let closed = fds[2].revents().is_some_and(|came| came.intersects(PollFlags::POLLERR | PollFlags::POLLHUP));
    bell.ring_pending().map_err(fail)?;
    Ok(match (interrupts.came(), closed) {
        (true, _) => Event::Interrupted,
        (false, true) => Event::OutputClosed,
        (false, false) => Event::Look,
    })
}
