//! Which entries of a record's outbox are in their lanes already.

use std::collections::HashMap;

use crate::name::{LaneName, QueueName, TaskName};
use crate::store::{OutboxEntry, Record};
use crate::transit::{Error, Tag, Transit};

/// Those up to the last tag found in the lane of the queue that the record names.
pub(super) struct Sent {
    epoch: u64,
    n: u64,
    tags: HashMap<QueueName, Option<Tag>>,
}

impl Sent {
    /// Looks at the lanes of every queue that the record's outbox names.
    pub(super) fn look(transit: &Transit, task: &TaskName, record: &Record) -> Result<Self, Error> {
        let lane = LaneName::Task(task.clone());
        let mut tags = HashMap::new();
        for entry in &record.outbox {
            if !tags.contains_key(&entry.queue) {
                tags.insert(entry.queue.clone(), transit.last_tag(&entry.queue, &lane)?);
            }
        }
        Ok(Self { epoch: record.epoch, n: record.n, tags })
    }

    pub(super) fn contains(&self, entry: &OutboxEntry) -> bool {
        let tag = self.tags.get(&entry.queue).copied().flatten();
        // A tag of another epoch counts as not sent. So does one of a later record, which is lost then: it may have
        // carried the entry over, and output that goes out again is better than output that never does.
        tag.is_some_and(|tag| tag.epoch == self.epoch && tag.n == self.n && entry.index <= tag.index)
    }
}
