//! Where messages go: the routing table, and which queues are mailboxes of this process.
//!
//! Immutable, built anew at every change of the config and swapped whole; a reader never waits.

use std::collections::HashMap;
use std::sync::Arc;

use super::delivery::Delivery;
use crate::mailbox::Mailbox;
use crate::name::{QueueName, TaskName};
use crate::router::{QueueIndex, RoutingTable};

/// The routes, resolved.
pub(super) struct Switchboard {
    table: RoutingTable,
    /// By the table's index of queues.
    known: Vec<Destination>,
    mailboxes: HashMap<QueueName, Arc<Mailbox<Delivery>>>,
}

/// Where copies for a queue go.
#[derive(Clone)]
pub(super) enum Destination {
    /// To a stateless task of this process.
    Mailbox(TaskName, Arc<Mailbox<Delivery>>),
    /// To a queue of the transit.
    Transit(QueueName),
}

impl Destination {
    /// The queue that stands for it.
    pub(super) fn queue(&self) -> QueueName {
        match self {
            Self::Mailbox(task, _) => task.queue(),
            Self::Transit(queue) => queue.clone(),
        }
    }

    /// Whether copies for both go the same way.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mailbox(_, one), Self::Mailbox(_, other)) => Arc::ptr_eq(one, other),
            (Self::Transit(one), Self::Transit(other)) => one == other,
            _ => false,
        }
    }
}

impl Switchboard {
    pub(super) fn new(table: RoutingTable, mailboxes: HashMap<QueueName, Arc<Mailbox<Delivery>>>) -> Self {
        let known = table.queues().iter().map(|queue| Self::look_up(&mailboxes, queue)).collect();
        Self { table, known, mailboxes }
    }

    fn look_up(mailboxes: &HashMap<QueueName, Arc<Mailbox<Delivery>>>, queue: &QueueName) -> Destination {
        match mailboxes.get(queue) {
            Some(mailbox) => Destination::Mailbox(queue.task(), mailbox.clone()),
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
        Self::look_up(&self.mailboxes, queue)
    }
}
