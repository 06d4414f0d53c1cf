//! What waits to be sent: a bounded queue between whoever sends and the thread that may block in the socket.
//!
//! Invariant: a push never waits; a push that came back true is handed to the thread before the queue's end is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many messages wait for a peer that does not read, beside the some hundred that the socket holds. A link carries
/// a few messages a second; more than this means that the peer is stopped.
pub const OUTBOX_MESSAGES: usize = 256;

#[derive(Debug)]
pub(super) struct Outbox<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Outbox<T> {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::new(Inner { waiting: VecDeque::new(), closed: false }), changed: Condvar::new() }
    }

    /// False where it is full or closed: the message is dropped.
    pub(super) fn push(&self, message: T) -> bool {
        let mut inner = self.lock();
        let room = !inner.closed && inner.waiting.len() < OUTBOX_MESSAGES;
        if room {
            inner.waiting.push_back(message);
            self.changed.notify_one();
        }
        room
    }

    /// Waits for the next message; none when it is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut inner = self.lock();
        loop {
            match inner.waiting.pop_front() {
                None if !inner.closed => {
                    inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                }
                next => return next,
            }
        }
    }

    /// Takes nothing more; what waits is still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_out_also_after_the_end() {
        let outbox = Outbox::new();
        assert!((0..OUTBOX_MESSAGES).all(|n| outbox.push(n)));
        assert!(!outbox.push(0), "it is full");
        outbox.close();
        let taken: Vec<_> = std::iter::from_fn(|| outbox.pop()).collect();
        assert_eq!(taken, (0..OUTBOX_MESSAGES).collect::<Vec<_>>());
        assert!(!outbox.push(0), "it is closed");
    }
}
