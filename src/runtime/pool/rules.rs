//! What a dispatcher reads out of tags: pure.
//!
//! A tag on a copy that was dealt says the lane and position it comes from, and how many workers ended on it.

use crate::transit::{LaneId, LaneState, POISON, Tag, Taken};

/// What is done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deal {
    /// A worker gets it, with this tag.
    Hand(Tag),
    /// It goes to `dead`, with this tag: too many workers ended on it.
    Bury(Tag),
}

/// What is done with a message that was `taken`; `by_dealer` if the lane it came by is one that a dispatcher writes:
/// then its tag says how many workers ended on it in other queues.
pub(super) fn deal(taken: &Taken, by_dealer: bool) -> Deal {
    let before = taken.tag.filter(|_| by_dealer).map_or(0, |tag| tag.index);
    let tag = Tag { epoch: taken.lane.0, n: taken.end, index: taken.ended.saturating_add(before) };
    if tag.index >= POISON { Deal::Bury(tag) } else { Deal::Hand(tag) }
}

/// The message that a dispatcher before had dealt, by the `tag` of its copy, and not finished in the queue it comes
/// from, whose lanes these are: its lane, the position behind it, and the messages up to there.
pub(super) fn dealt_already(lanes: &[LaneState], tag: Tag) -> Option<(LaneId, u64, u64)> {
    let lane = lanes.iter().find(|lane| lane.id.0 == tag.epoch && tag.n > lane.finished.0)?;
    // One at a time: it is the first that is not finished.
    Some((lane.id, tag.n, lane.finished.1 + 1))
}

/// Whether anything of these lanes is unfinished.
pub(super) fn have_unfinished(lanes: &[LaneState]) -> bool {
    lanes.iter().any(|lane| lane.finished.0 < lane.written.0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::Stamp;

    fn taken(ended: u64, index: Option<u64>) -> Taken {
        let tag = index.map(|index| Tag { epoch: 9, n: 8, index });
        Taken { lane: LaneId(7), end: 64, count: 1, stamp: Stamp::now(), tag, body: Bytes::new(), ended }
    }

    #[test]
    fn a_copy_says_where_it_comes_from_and_how_many_workers_ended_on_it_in_all_queues() {
        let check = |ended, index, by_dealer, expected: fn(Tag) -> Deal, in_all| {
            let tag = Tag { epoch: 7, n: 64, index: in_all };
            assert_eq!(deal(&taken(ended, index), by_dealer), expected(tag), "{ended}, {index:?}, {by_dealer}");
        };
        check(0, None, false, Deal::Hand, 0);
        check(2, None, true, Deal::Hand, 2);
        check(1, Some(1), true, Deal::Hand, 2);
        check(1, Some(2), true, Deal::Bury, POISON);
        check(3, None, false, Deal::Bury, POISON);
        // The tag of another sender means something else.
        check(1, Some(2), false, Deal::Hand, 1);
        check(1, Some(u64::MAX), true, Deal::Bury, u64::MAX);
    }

    #[test]
    fn only_a_tag_of_what_is_unfinished_in_this_queue_names_what_was_dealt_already() {
        let lane = |id, finished, written| LaneState {
            id: LaneId(id),
            name: String::new(),
            read: finished,
            finished,
            written,
        };
        let lanes = [lane(1, (64, 2), (64, 2)), lane(2, (64, 2), (192, 4))];
        let check = |epoch, n, expected| assert_eq!(dealt_already(&lanes, Tag { epoch, n, index: 0 }), expected);
        check(2, 128, Some((LaneId(2), 128, 3)));
        check(2, 64, None);
        check(3, 128, None);
        assert!(have_unfinished(&lanes) && !have_unfinished(&lanes[..1]) && !have_unfinished(&[]));
    }
}
