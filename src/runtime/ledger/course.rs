//! Which copy a copy is, in the eyes of whoever makes it again after the end of this process.
//!
//! What an activation emits at an input it emits again, in the same order, when the input is taken again: such a copy is
//! known by the input and its number. Any other is known by its stamp, which a record keeps: it is not made again, but
//! may be handed out again.

use crate::message::Message;
use crate::name::TaskName;
use crate::transit::LaneId;

/// What emits, and how much it has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Course {
    cause: u64,
    emitted: u64,
}

/// The cause of an activation at an input that ends there in its lane.
pub(super) fn cause_of(input: (LaneId, u64)) -> u64 {
    mixed(input.0.0, input.1)
}

impl Course {
    /// An activation with this cause: an input or a copy, or 0 for neither.
    pub(super) fn of(cause: u64) -> Self {
        Self { cause, emitted: 0 }
    }

    /// The same activation goes on, or one with another cause begins.
    pub(super) fn follow(&mut self, cause: u64) -> &mut Self {
        if self.cause != cause {
            *self = Self::of(cause);
        }
        self
    }

    /// It emits.
    pub(super) fn one_more(&mut self) -> &Self {
        self.emitted += 1;
        self
    }

    /// The key of what it emitted last, on its way to `task`; never 0.
    pub(super) fn key(&self, task: &TaskName, message: &Message) -> u64 {
        if self.cause != 0 {
            return mixed(self.cause, self.emitted);
        }
        let id = message.stamp().id;
        // A message that goes to several tasks has one stamp.
        mixed(id.maker ^ u64::from(crc32c::crc32c(task.as_str().as_bytes())), id.count)
    }
}

/// Both numbers in one, never 0: a finalizer that spreads each bit over all (of SplitMix64).
fn mixed(one: u64, other: u64) -> u64 {
    let mut bits = one ^ other.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (bits ^ (bits >> 31)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Stamp;
    use crate::value::Map;

    fn keys(mut course: Course) -> [u64; 2] {
        let task = TaskName::new("Task").unwrap();
        [1, 2].map(|time| course.one_more().key(&task, &Message::stamped(Stamp::at(time), Map::new())))
    }

    #[test]
    fn what_is_made_again_at_the_same_input_has_the_same_key_and_nothing_else_has() {
        let at = |lane, end| keys(Course::of(cause_of((LaneId(lane), end))));
        assert_eq!(at(1, 8), at(1, 8));
        let all: Vec<u64> = [at(1, 8), at(1, 16), at(2, 8), keys(Course::of(at(1, 8)[0]))].concat();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        let by_stamp = keys(Course::of(0));
        assert!(!all.contains(&by_stamp[0]) && by_stamp[0] != by_stamp[1]);
    }
}
