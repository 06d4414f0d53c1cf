//! A task's bounded queue in memory: many senders, one receiver, moved in batches.
//!
//! Invariants: what was pushed comes out once and in the order of pushing; senders wait at [`CAPACITY`]; a push
//! never blocks a thread. It knows nothing of messages.
//!
//! The receiver swaps the whole queue against an empty buffer, so both sides take the lock once a batch; the
//! buffers go back and forth and nothing is allocated in the long run.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many items a mailbox takes before its senders wait: some batches ahead of a busy receiver, and at most
/// some hundred KiB of messages for a task that stopped listening.
pub const CAPACITY: usize = 1024;

/// A bounded queue in memory.
#[derive(Debug)]
pub struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    /// Rung when an item meets an empty mailbox.
    filled: Notify,
    /// Rung when the receiver has emptied it, and when it begins to refuse.
    emptied: Notify,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    pushed: u64,
    /// Taken by the receiver and not yet reported as done.
    taken: usize,
    refusing: bool,
    closed: bool,
}

/// The mailbox takes nothing any more: its task has ended, or lives elsewhere now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is closed")]
pub struct Closed;

/// How a mailbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxStatus {
    /// How many items were ever pushed.
    pub pushed: u64,
    /// How many wait, or are in the receiver's hands.
    pub open: usize,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let inner = Inner { items: VecDeque::new(), pushed: 0, taken: 0, refusing: false, closed: false };
        Self { inner: Mutex::new(inner), filled: Notify::new(), emptied: Notify::new() }
    }
}

impl<T> Mailbox<T> {
    /// An empty mailbox; it allocates at the first item.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing in here panics while it holds the lock; if a drop of an item did, the queue is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves items from the front of `items` into the mailbox, as many as fit: all of them if `items` is empty
    /// afterwards.
    pub fn push(&self, items: &mut VecDeque<T>) -> Result<(), Closed> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Closed);
        }
        let free = if inner.refusing { 0 } else { CAPACITY.saturating_sub(inner.items.len()) };
        let room = free.min(items.len());
        self.fill(&mut inner, items.drain(..room));
        Ok(())
    }

    /// Pushes past the bound, for a sender that keeps a bound of its own; a mailbox that is closed or refuses gives the
    /// item back.
    pub fn push_unbounded(&self, item: T) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.closed || inner.refusing {
            return Err(item);
        }
        self.fill(&mut inner, std::iter::once(item));
        Ok(())
    }

    fn fill(&self, inner: &mut Inner<T>, items: impl Iterator<Item = T>) {
        let (was_empty, before) = (inner.items.is_empty(), inner.items.len());
        inner.items.extend(items);
        inner.pushed += (inner.items.len() - before) as u64;
        if was_empty && !inner.items.is_empty() {
            self.filled.notify_one();
        }
    }

    /// Pushes all of `items`, waiting for room as often as needed; when the mailbox closes, the rest stays there.
    pub async fn push_all(&self, items: &mut VecDeque<T>) -> Result<(), Closed> {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            // Registered before the look, so that no emptying falls between the look and the wait.
            emptied.as_mut().enable();
            self.push(items)?;
            if items.is_empty() {
                return Ok(());
            }
            emptied.await;
        }
    }

    /// Takes everything that waits into `into`, which must be empty. False: nothing waits.
    pub fn take(&self, into: &mut VecDeque<T>) -> bool {
        debug_assert!(into.is_empty(), "a receiver takes a new batch when the last one is done");
        let mut inner = self.lock();
        inner.taken = inner.items.len();
        if inner.items.is_empty() {
            return false;
        }
        std::mem::swap(&mut inner.items, into);
        drop(inner);
        self.emptied.notify_waiters();
        true
    }

    /// Waits until something may wait here. It may return early; look with [`Mailbox::take`].
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// From now on it is as if it were full, until it closes: what it holds is taken elsewhere meanwhile, and whoever
    /// sends goes there after it.
    pub fn refuse(&self) {
        self.lock().refusing = true;
        self.emptied.notify_waiters();
    }

    /// Waits until it refuses, or is closed: its receiver handles nothing more.
    pub async fn refused(&self) {
        loop {
            let mut changed = std::pin::pin!(self.emptied.notified());
            // Registered before the look, as above.
            changed.as_mut().enable();
            let refuses = |inner: &Inner<T>| inner.refusing || inner.closed;
            if refuses(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// From now on nothing can be pushed; returns what waited.
    pub fn close(&self) -> VecDeque<T> {
        let mut inner = self.lock();
        inner.closed = true;
        let left = std::mem::take(&mut inner.items);
        drop(inner);
        self.emptied.notify_waiters();
        left
    }

    /// How many items it takes now; as many as ever where it is closed, which a sender must be told.
    #[must_use]
    pub fn room(&self) -> usize {
        let inner = self.lock();
        match inner.closed {
            true => usize::MAX,
            false if inner.refusing => 0,
            false => CAPACITY.saturating_sub(inner.items.len()),
        }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> MailboxStatus {
        let inner = self.lock();
        MailboxStatus { pushed: inner.pushed, open: inner.items.len() + inner.taken }
    }

    /// The receiver has worked off what it took last.
    pub fn worked_off(&self) {
        self.lock().taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_two_senders_push_comes_out_once_and_in_each_ones_order() {
        const EACH: u32 = 50_000;
        let mailbox = Arc::new(Mailbox::new());
        let send = |sender: u32| {
            let mailbox = mailbox.clone();
            tokio::spawn(async move {
                let mut items = (0..EACH).map(|n| (sender, n)).collect();
                mailbox.push_all(&mut items).await.unwrap();
            })
        };
        let senders = [send(0), send(1)];
        let (mut batch, mut next) = (VecDeque::new(), [0, 0]);
        while next != [EACH, EACH] {
            if !mailbox.take(&mut batch) {
                mailbox.filled().await;
            }
            assert!(batch.len() <= CAPACITY, "a mailbox held {}", batch.len());
            for (sender, n) in batch.drain(..) {
                assert_eq!(n, next[sender as usize]);
                next[sender as usize] += 1;
            }
        }
        for sender in senders {
            sender.await.unwrap();
        }
        mailbox.worked_off();
        assert_eq!(mailbox.status(), MailboxStatus { pushed: u64::from(2 * EACH), open: 0 });
    }

    #[test]
    fn a_full_mailbox_gives_back_what_does_not_fit() {
        let mailbox = Mailbox::new();
        let mut items = (0..=CAPACITY).collect();
        mailbox.push(&mut items).unwrap();
        assert_eq!(items, [CAPACITY]);
        mailbox.push_unbounded(8).unwrap();
        assert_eq!(mailbox.status().open, CAPACITY + 1);
    }

    #[tokio::test]
    async fn a_mailbox_that_refuses_makes_its_senders_wait_until_it_closes() {
        let mailbox = Mailbox::new();
        mailbox.refuse();
        let mut items = VecDeque::from([7]);
        mailbox.push(&mut items).unwrap();
        let (pushed, left) = tokio::join!(mailbox.push_all(&mut items), async { mailbox.close() });
        assert_eq!((pushed, left.len(), items.len()), (Err(Closed), 0, 1));
        assert_eq!(mailbox.push_unbounded(8), Err(8));
    }

    #[tokio::test]
    async fn a_sender_that_waits_is_let_go_when_the_mailbox_closes() {
        let mailbox = Mailbox::new();
        let mut items = (0..2 * CAPACITY).collect();
        let (pushed, left) = tokio::join!(mailbox.push_all(&mut items), async { mailbox.close() });
        assert_eq!((pushed, left.len(), items.len()), (Err(Closed), CAPACITY, CAPACITY));
        assert_eq!(mailbox.push_unbounded(7), Err(7));
    }
}
