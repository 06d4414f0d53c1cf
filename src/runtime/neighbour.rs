//! A stateless task of this process, as those see it who send to it.
//!
//! ```text
//!   Returning ──the process's lane in its queue is finished──► Open ──it leaves──► Gone
//!       └──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! While it returns, messages of this process may still lie in its queue, and perhaps another process handles them:
//! what is sent goes there too. A step is made under the lock of that lane (`process_lane`), which only senders to a
//! task take that is not open. The lanes of stateful tasks are judged one by one, each by its ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::delivery::Delivery;
use super::seat::Seat;
use super::succession::{Rest, Succession};
use crate::mailbox::Mailbox;
use crate::name::{LaneName, TaskName};

const RETURNING: u8 = 0;
const OPEN: u8 = 1;
const GONE: u8 = 2;

/// A stateless task of this process.
pub(super) struct Neighbour {
    pub(super) task: TaskName,
    pub(super) mailbox: Arc<Mailbox<Delivery>>,
    seat: Arc<Seat>,
    succession: Succession,
    way: AtomicU8,
}

impl Neighbour {
    /// One whose messages go to its queue until that is finished.
    pub(super) fn new(task: TaskName, seat: Arc<Seat>, succession: Succession) -> Arc<Self> {
        Arc::new(Self { task, mailbox: Arc::new(Mailbox::new()), seat, succession, way: AtomicU8::new(RETURNING) })
    }

    /// Whether the process's own messages go to the mailbox.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        // Acquire: whoever sees it open sees the actor that was made for it.
        self.way.load(Ordering::Acquire) == OPEN
    }

    /// Whether it takes nothing any more.
    #[inline]
    pub(super) fn is_gone(&self) -> bool {
        self.way.load(Ordering::Acquire) == GONE
    }

    /// Sees to it that somebody reads the mailbox; false when nobody ever will.
    pub(super) fn wake(self: &Arc<Self>) -> bool {
        !self.is_gone() && self.seat.wake(self)
    }

    /// Whether who sends by lanes of the name `own`, of which the one in the task's queue has this rest, may use memory
    /// from now on.
    pub(super) fn takes_over(self: &Arc<Self>, own: &LaneName, rest: Rest) -> bool {
        let comes_behind = match rest {
            Rest::Unfinished => false,
            Rest::Finished => self.succession.follow(own),
            Rest::Unused => true,
        };
        comes_behind && self.wake()
    }

    /// The lane is finished: from now on memory is the way.
    pub(super) fn open(&self) {
        self.way.store(OPEN, Ordering::Release);
    }

    /// It leaves; what it held is worked off, or went on.
    pub(super) fn go(&self) {
        self.way.store(GONE, Ordering::Release);
    }
}
