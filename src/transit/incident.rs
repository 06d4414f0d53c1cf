//! What happened to a queue that a person should know: facts, for the error channel.

use std::fmt;

use crate::name::QueueName;

/// A fact about a queue that is no error of whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incident {
    /// A segment was bad and was moved aside; the lane went on behind it.
    MovedAside {
        /// Which queue.
        queue: QueueName,
        /// The lane's name.
        lane: String,
        /// The position of what was bad.
        position: u64,
        /// What was wrong.
        fault: String,
        /// The segment's new path within the queue's directory; nothing where it could not be moved.
        aside: Option<String>,
    },
    /// Messages of a lane are gone.
    Gap {
        /// Which queue.
        queue: QueueName,
        /// The lane's name.
        lane: String,
        /// How many messages.
        messages: u64,
        /// Whether overflow `drop_oldest` took them; else they were in a bad or a missing segment.
        dropped: bool,
    },
    /// The queue's directory was removed or replaced under way.
    Replaced {
        /// Which queue.
        queue: QueueName,
    },
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MovedAside { queue, lane, position, fault, aside } => {
                write!(f, "queue {queue}, lane {lane}: {fault} at position {position}; ")?;
                match aside {
                    Some(path) => write!(f, "its segment was moved to {path}"),
                    None => f.write_str("its segment could not be moved aside"),
                }
            }
            Self::Gap { queue, lane, messages, dropped } => {
                let cause = if *dropped { "dropped by overflow drop_oldest" } else { "lost with a bad segment" };
                write!(f, "queue {queue}, lane {lane}: {messages} messages were {cause}")
            }
            Self::Replaced { queue } => write!(
                f,
                "queue {queue}: its directory was removed or replaced under way; what its old files held is read, \
                 then the new ones are used"
            ),
        }
    }
}
