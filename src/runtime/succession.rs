//! Before memory becomes the way to a stateless task, what came of earlier messages comes first.
//!
//! ```text
//!   sender ──queue──► home of the task ──lane of its process──┐
//!      └────memory──► the task here ──────lane of the sender──┴─► queue of who hears it
//! ```
//!
//! When its lane in the task's queue is finished, all that came of its messages stands in the lanes that the task's home
//! writes; some of it may wait there. What comes of its next messages goes another way. So the sender's own lanes first
//! follow those of the home (`transit::Sender::follow`), in each queue that the routes name: which of them the task
//! reaches, over how many neighbours, is not worked out. Where a neighbour reads such a queue, and the home's lane there
//! holds something, memory is not the way yet. Shown to be needed by `tests/delivery_model/behind.rs`.

use std::sync::{Arc, Weak};

use super::office::Office;
use super::switchboard::Destination;
use crate::name::{LaneName, QueueName};
use crate::transit::{LaneStatus, Sender, Transit};

/// Whose lanes come before those of who sends through memory.
pub(super) struct Succession {
    /// It holds the task, too.
    office: Weak<Office>,
    /// What the process writes in which the task is at home.
    home: LaneName,
}

/// What a sender's lane in the task's queue still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Something that is not handled; or it cannot be looked at.
    Unfinished,
    /// Nothing any more.
    Finished,
    /// Nothing ever.
    Unused,
}

impl Succession {
    pub(super) fn new(office: &Arc<Office>, home: LaneName) -> Self {
        Self { office: Arc::downgrade(office), home }
    }

    /// Has the lanes of this name follow those of the home; false where one cannot, and memory cannot be the way yet.
    pub(super) fn follow(&self, own: &LaneName) -> bool {
        let Some(office) = self.office.upgrade() else { return false };
        let switchboard = office.switchboard.load();
        let comes_behind = |queue: &QueueName| match office.transit.lane_counts(queue, &self.home) {
            Err(_) => false,
            Ok(lane) => lane.filter(|lane| !lane.is_finished()).is_none_or(|lane| match switchboard.named(queue) {
                Destination::Transit(queue) => follow(&office.transit, &queue, own, &lane),
                // What goes there through memory follows no lane.
                Destination::Neighbour(_) => false,
            }),
        };
        *own == self.home || switchboard.table().queues().iter().all(comes_behind)
    }
}

fn follow(transit: &Transit, queue: &QueueName, own: &LaneName, lane: &LaneStatus) -> bool {
    transit.sender(queue, own).is_ok_and(|own| own.follow(lane.id, lane.written.0))
}

impl Rest {
    /// Of a lane that is open here.
    pub(super) fn of(sender: &Sender) -> Self {
        Self::told(sender.is_finished(), sender.written().1)
    }

    /// Of a lane that is not.
    pub(super) fn look(transit: &Transit, queue: &QueueName, lane: &LaneName) -> Self {
        let of = |lane: LaneStatus| Self::told(lane.is_finished(), lane.written.1);
        transit.lane_counts(queue, lane).map_or(Self::Unfinished, |lane| lane.map_or(Self::Unused, of))
    }

    fn told(is_finished: bool, written: u64) -> Self {
        match written {
            _ if !is_finished => Self::Unfinished,
            0 => Self::Unused,
            _ => Self::Finished,
        }
    }
}
