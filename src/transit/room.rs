//! What a queue still has room for, as of a look at it.

use super::error::AppendError;
use super::index::Index;
use super::protocol::Mark;
use super::record::{Outgoing, Tag, length, padded};
use super::settings::{Overflow, Settings};
use crate::message::Stamp;

/// The room of a queue whose overflow sends what does not fit to `dead`. Others append meanwhile, so it promises nothing.
#[derive(Debug)]
pub struct Room {
    refusal: AppendError,
    empty: bool,
    free: Mark,
}

/// How many messages a queue takes before a sender must wait: none where it has no room, any number where nobody waits.
pub(super) fn free(index: &Index) -> u64 {
    let (settings, held) = (index.settings_now(), index.held());
    match settings.overflow {
        Overflow::DropNewest | Overflow::DeadLetter => u64::MAX,
        Overflow::Block | Overflow::DropOldest if held.count == 0 => settings.max_messages.max(1),
        Overflow::Block | Overflow::DropOldest if held.position >= settings.max_bytes => 0,
        Overflow::Block | Overflow::DropOldest => settings.max_messages.saturating_sub(held.count),
    }
}

impl Room {
    pub(super) fn of(settings: &Settings, held: Mark, refusal: AppendError) -> Self {
        let free = Mark {
            position: settings.max_bytes.saturating_sub(held.position),
            count: settings.max_messages.saturating_sub(held.count),
        };
        Self { refusal, empty: held.count == 0, free }
    }

    /// Whether a tagged message with a body of so many bytes fits behind those that were asked for before.
    pub fn takes(&mut self, body: &[u8]) -> bool {
        let tag = Some(Tag { epoch: 0, n: 0, index: 0 });
        let size = padded(length(&Outgoing { stamp: Stamp::at(0), tag, body })) as u64;
        // An empty queue takes one message of any permitted size.
        let fits = std::mem::take(&mut self.empty) || self.free.count > 0 && self.free.position >= size;
        if fits {
            self.free.position = self.free.position.saturating_sub(size);
            self.free.count = self.free.count.saturating_sub(1);
        }
        fits
    }

    /// What an append of a message that does not fit says.
    #[must_use]
    pub fn refusal(&self) -> &AppendError {
        &self.refusal
    }
}
