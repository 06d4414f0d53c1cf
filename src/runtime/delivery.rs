//! A message on its way to a task in this process, and where its way began.

use std::sync::Arc;

use super::ledger::{Ledger, Listing};
use super::watermark::{Handling, Token};
use crate::message::Message;
use crate::transit::Consequence;

/// A copy for a task of this process.
pub(crate) struct Delivery {
    pub(super) message: Message,
    pub(super) origin: Option<Origin>,
}

/// What waits until a copy has been handled.
///
/// Dropping an origin says nothing: only [`Origin::done`] does, so what is dropped at an abrupt end is handed out
/// again at the next start.
pub(super) enum Origin {
    /// A stateful task's commits list the copy until then.
    Task(Listing),
    /// A transit queue's finished position waits until then: this is the input itself, and whoever handles it notes that
    /// it is under way. Left undone, it is taken again by whoever consumes the queue next.
    Input(Arc<Token>),
    /// The same for a copy that was made in the course of such an input.
    Queue(Arc<Token>),
}

/// What is being handled, until it is dropped: for whoever comes after the end of this process.
#[expect(dead_code, reason = "what it holds is kept for its end")]
pub(super) enum Noted<'a> {
    /// An input of the task's own queue.
    Input(Handling<'a>),
    /// A copy that a stateful task lists.
    Copy(Consequence<'a>),
}

/// In whose course an activation runs: it decides over the lane of what is emitted, and over the origin of copies.
#[derive(Clone)]
pub(super) enum Course {
    /// Nobody's: what a stateless task starts by itself.
    Process,
    /// A stateful task's.
    Task(Arc<Ledger>),
    /// That of an input of a stateless task's transit queue.
    Queue(Arc<Token>),
}

impl Course {
    /// A copy for a task of this process, where no ledger lists it.
    pub(super) fn delivery(&self, message: Message) -> Delivery {
        let origin = if let Self::Queue(token) = self { Some(Origin::Queue(token.copy())) } else { None };
        Delivery { message, origin }
    }
}

impl Delivery {
    /// Whether this is an input of the task's own queue; it is left there then, for whoever consumes it next.
    pub(super) fn abandon(&self) -> bool {
        let Some(Origin::Input(token)) = &self.origin else { return false };
        token.abandon();
        true
    }

    /// Nobody handles it here.
    pub(super) fn leave_behind(&self) {
        self.abandon();
    }
}

impl Origin {
    /// The copy has been handled, and what came of it is on its way.
    pub(super) fn done(self) {
        match self {
            Self::Task(listing) => listing.done(),
            Self::Input(token) | Self::Queue(token) => token.done(),
        }
    }

    /// A handler is called with it: until what is returned is dropped, the end of the process counts against it.
    pub(super) fn begin(&self) -> Option<Noted<'_>> {
        match self {
            Self::Input(token) => Some(Noted::Input(Handling::of(token))),
            Self::Task(listing) => listing.begin().map(Noted::Copy),
            Self::Queue(_) => None,
        }
    }

    pub(super) fn course(&self) -> Course {
        match self {
            Self::Task(listing) => Course::Task(listing.ledger().clone()),
            Self::Input(token) | Self::Queue(token) => Course::Queue(token.clone()),
        }
    }
}
