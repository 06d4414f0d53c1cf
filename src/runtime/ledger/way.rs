//! Which way a copy takes in the course of a stateful task: through memory, or by the task's lane.
//!
//! Invariant: of what one task's activations sent to one stateless task, nothing is in memory while something waits in
//! the lane or in the outbox. The way is decided where the copy is listed or put out, in the same step.

use std::sync::Arc;

use super::super::switchboard::Destination;
use super::Inner;
use crate::name::QueueName;

impl Inner {
    /// Where a copy really goes: through memory while nothing of ours for that task waits elsewhere, and once some is
    /// in memory, nowhere else until that task leaves.
    pub(super) fn way(&mut self, to: Destination) -> Destination {
        if let Destination::Neighbour(neighbour) = &to
            && self.latest.as_ref().is_some_and(|latest| Arc::ptr_eq(latest, neighbour))
            && !neighbour.is_gone()
        {
            return to;
        }
        if self.memory.is_empty() && matches!(to, Destination::Transit(_)) {
            return to;
        }
        let queue = to.queue();
        match self.memory.get(&queue) {
            Some(known) if !known.is_gone() => {
                self.latest = Some(known.clone());
                Destination::Neighbour(known.clone())
            }
            _ => self.way_anew(queue, to),
        }
    }

    fn way_anew(&mut self, queue: QueueName, to: Destination) -> Destination {
        self.memory.remove(&queue);
        self.latest = None;
        match &to {
            Destination::Neighbour(neighbour) if self.outbox.hands_over_to(neighbour) => {
                self.memory.insert(queue, neighbour.clone());
                to
            }
            _ => Destination::Transit(queue),
        }
    }
}
