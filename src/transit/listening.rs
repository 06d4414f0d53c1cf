//! A bell as tokio's event loop sees it.
#![expect(unsafe_code, reason = "the event loop asks for a promise that the compiler cannot check")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use tokio::io::unix::AsyncFd;

use super::bell::Bell;

/// Waits for rings within a tokio runtime.
pub struct Listening(AsyncFd<Kept>);

/// A bell that is kept while the event loop knows its descriptor.
struct Kept(Arc<Bell>);

impl AsRawFd for Kept {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Listening {
    /// Registers the bell with the runtime that this is called in.
    ///
    /// # Errors
    /// The kernel refuses to watch the descriptor.
    pub fn new(bell: Arc<Bell>) -> io::Result<Self> {
        // SAFETY: the descriptor is the bell's FIFO, which is open as long as the bell is; `Kept` holds the bell,
        // never gives another descriptor, and lives in the `AsyncFd` itself.
        let registered = unsafe { AsyncFd::register(Kept(bell)) };
        registered.map(Self).map_err(Into::into)
    }

    /// Waits until somebody rang, and wakes the queues that were rung for. Nothing is lost when the wait is dropped.
    ///
    /// # Errors
    /// The FIFO cannot be read.
    pub async fn answer(&self) -> io::Result<usize> {
        let mut ready = self.0.readable().await?;
        // Cleared first: a ring that comes during the reading makes it ready again.
        ready.clear_ready();
        self.0.get_ref().0.ring_pending()
    }
}
