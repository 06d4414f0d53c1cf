//! The doorbell inside tokio.
#![expect(unsafe_code, reason = "registering a descriptor with tokio's reactor")]

use std::io;
use std::sync::Arc;

use tokio::io::unix::AsyncFd;

use super::bell::Bell;

/// A [`Bell`] that a tokio task waits on. One task of a process does, for all its consumers.
#[derive(Debug)]
pub struct AsyncBell {
    bell: AsyncFd<Arc<Bell>>,
}

impl AsyncBell {
    /// Registers the bell with the runtime in which this is called.
    pub fn new(bell: Arc<Bell>) -> io::Result<Self> {
        // SAFETY: a bell's FIFO stays open, under the same descriptor, until the last `Arc` of the bell goes; the
        // one given here goes with this registration.
        let bell = unsafe { AsyncFd::register(bell) }?;
        Ok(Self { bell })
    }

    /// Waits until a sender of another process rings, then calls the wakers of the queues rung for
    /// ([`Bell::ring_pending`]). May be cancelled at any time: no ring is lost.
    pub async fn rung(&self) -> io::Result<usize> {
        let mut ready = self.bell.readable().await?;
        let count = ready.get_inner().ring_pending()?;
        // A ring since then has made the FIFO readable anew, which this leaves as it is.
        ready.clear_ready();
        Ok(count)
    }
}
