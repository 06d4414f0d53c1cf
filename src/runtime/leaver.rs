//! A task that was told to end, until it has given back its queue.

use std::sync::Arc;

use super::delivery::Delivery;
use super::handle::Actor;
use super::inlet::InletHandle;
use crate::mailbox::Mailbox;
use crate::name::TaskName;

/// Its actor, and what is done after its end.
pub(super) struct Leaver {
    pub(super) name: TaskName,
    /// None where it was never made.
    pub(super) actor: Option<Actor>,
    /// The mailbox that the inlet fills, if it does.
    pub(super) served: Option<Arc<Mailbox<Delivery>>>,
    pub(super) inlet: InletHandle,
}

impl Leaver {
    /// Waits for the end of the actor.
    pub(super) async fn ended(&mut self) {
        if let Some(actor) = &mut self.actor {
            actor.join().await;
        }
    }

    /// Finishes in the queue what was done of it, and gives it back.
    pub(super) async fn leave_queue(self) {
        if let Some(mailbox) = self.served {
            self.inlet.leave(self.name.queue(), mailbox).await;
        }
    }
}
