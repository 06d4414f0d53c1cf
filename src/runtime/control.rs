//! The inbox of the queue that controls a daemon.

use std::collections::VecDeque;
use std::sync::Arc;

use super::delivery::{Delivery, Origin};
use crate::mailbox::Mailbox;
use crate::message::Message;

/// What arrives on the control queue.
pub struct ControlInbox {
    mailbox: Arc<Mailbox<Delivery>>,
    batch: VecDeque<Delivery>,
}

/// One message to act on.
pub struct ControlMessage {
    /// The message.
    pub message: Message,
    origin: Option<Origin>,
}

impl ControlInbox {
    pub(super) fn new(mailbox: Arc<Mailbox<Delivery>>) -> Self {
        Self { mailbox, batch: VecDeque::new() }
    }

    /// The next message; waits for one. Nothing is lost when the wait is dropped.
    pub async fn next(&mut self) -> ControlMessage {
        loop {
            if let Some(Delivery { message, origin }) = self.batch.pop_front() {
                return ControlMessage { message, origin };
            }
            if !self.mailbox.take(&mut self.batch) {
                self.mailbox.filled().await;
            }
        }
    }
}

impl ControlMessage {
    /// The message was acted on; without this it comes again at the next start.
    pub fn done(self) {
        if let Some(origin) = self.origin {
            origin.done();
        }
    }
}
