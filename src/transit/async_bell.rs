//! The doorbell inside tokio.
#![expect(unsafe_code, reason = "registering a descriptor with tokio's reactor")]

use std::io;
use std::sync::Arc;

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use tokio::io::unix::AsyncFd;

use super::bell::Bell;

/// A [`Bell`] that a tokio task waits on. One task of a process does, for all its consumers.
#[derive(Debug)]
pub struct AsyncBell {
    bell: Arc<Bell>,
    fifo: AsyncFd<Fifo>,
}

/// The FIFO as of the registration.
#[derive(Debug)]
struct Fifo(Arc<File>);

impl AsRawFd for Fifo {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsyncBell {
    /// Registers the bell with the runtime in which this is called.
    pub fn new(bell: Arc<Bell>) -> io::Result<Self> {
        // SAFETY: the file stays open, under the same descriptor, until its last `Arc` goes; the one given here goes
        // with this registration.
        let fifo = unsafe { AsyncFd::register(Fifo(bell.fifo())) }?;
        Ok(Self { bell, fifo })
    }

    /// Once a second: makes the FIFO anew where it was removed ([`Bell::mend`]).
    pub fn mend(&mut self) -> io::Result<()> {
        if self.bell.mend()? {
            *self = Self::new(self.bell.clone())?;
        }
        Ok(())
    }

    /// Waits until a sender of another process rings, then calls the wakers of the queues rung for
    /// ([`Bell::ring_pending`]). May be cancelled at any time: no ring is lost.
    pub async fn rung(&self) -> io::Result<usize> {
        let mut ready = self.fifo.readable().await?;
        let count = self.bell.ring_pending()?;
        // A ring since then has made the FIFO readable anew, which this leaves as it is.
        ready.clear_ready();
        Ok(count)
    }
}
