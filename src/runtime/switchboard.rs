//! Where messages go: the routing table, and which queues belong to neighbours: stateless tasks of this process.
//!
//! Immutable, built anew at every change of the config and swapped whole; a reader never waits.

use std::collections::HashMap;
use std::sync::Arc;

use super::neighbour::Neighbour;
use crate::name::QueueName;
use crate::router::{QueueIndex, RoutingTable};

/// The routes, resolved.
pub(super) struct Switchboard {
    table: RoutingTable,
    /// By the table's index of queues.
    known: Vec<Destination>,
    neighbours: HashMap<QueueName, Arc<Neighbour>>,
}

/// Where copies for a queue go.
#[derive(Clone)]
pub(super) enum Destination {
    /// To a stateless task of this process.
    Neighbour(Arc<Neighbour>),
    /// To a queue of the transit.
    Transit(QueueName),
}

impl Destination {
    /// The queue that stands for it.
    pub(super) fn queue(&self) -> QueueName {
        match self {
            Self::Neighbour(neighbour) => neighbour.task.queue(),
            Self::Transit(queue) => queue.clone(),
        }
    }

    /// Whether it is this neighbour.
    pub(super) fn leads_to(&self, neighbour: &Arc<Neighbour>) -> bool {
        matches!(self, Self::Neighbour(this) if Arc::ptr_eq(this, neighbour))
    }

    /// Whether copies for both go the same way.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Neighbour(one), Self::Neighbour(other)) => Arc::ptr_eq(one, other),
            (Self::Transit(one), Self::Transit(other)) => one == other,
            _ => false,
        }
    }
}

impl Switchboard {
    pub(super) fn new(table: RoutingTable, neighbours: HashMap<QueueName, Arc<Neighbour>>) -> Self {
        let known = table.queues().iter().map(|queue| Self::look_up(&neighbours, queue)).collect();
        Self { table, known, neighbours }
    }

    fn look_up(neighbours: &HashMap<QueueName, Arc<Neighbour>>, queue: &QueueName) -> Destination {
        match neighbours.get(queue) {
            Some(neighbour) => Destination::Neighbour(neighbour.clone()),
            None => Destination::Transit(queue.clone()),
        }
    }

    pub(super) fn table(&self) -> &RoutingTable {
        &self.table
    }

    pub(super) fn known(&self, index: QueueIndex) -> &Destination {
        &self.known[index.get()]
    }

    pub(super) fn named(&self, queue: &QueueName) -> Destination {
        Self::look_up(&self.neighbours, queue)
    }
}
