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
    /// Waits until it handles nothing more, gives back its queue, and waits for its end. May be dropped, and called
    /// again.
    ///
    /// The queue goes first: what the actor puts there before it ends may need the room that its next reader makes.
    pub(super) async fn leave(&mut self) {
        if let Some(mailbox) = self.served.clone() {
            tokio::select! {
                () = mailbox.refused() => {}
                () = self.ended() => {}
            }
            self.inlet.leave(self.name.queue(), mailbox).await;
            self.served = None;
        }
        self.ended().await;
    }

    /// Waits for the end of the actor.
    async fn ended(&mut self) {
        if let Some(actor) = &mut self.actor {
            actor.join().await;
        }
        self.actor = None;
    }
}
