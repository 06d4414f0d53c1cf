//! What an actor waits for, what it does next, and how it ends.

use std::sync::Arc;

use super::commit::Safe;
use super::delivery::Origin;
use super::durable::Place;
use super::handle::Order;
use crate::message::Message;
use crate::store::StoreError;
use crate::value::Map;

/// What an actor does next.
pub(super) enum Work {
    Message(Input),
    Tick(String),
    Commit,
    Configure(Arc<Map>),
    Stop,
}

/// A message to handle, and where it came from.
pub(super) struct Input {
    pub(super) message: Message,
    pub(super) origin: Option<Origin>,
    pub(super) place: Option<Place>,
}

/// What an actor waited for.
pub(super) enum Event {
    Order(Option<Order>),
    Written(Result<Safe, StoreError>),
    Input,
    Deadline,
}

/// How an actor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As it was told; all it had is safe.
    Orderly,
    /// With a fault that was reported.
    Failed,
}
