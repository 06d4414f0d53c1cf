//! Why what stands behind a stateless task that moves is heard in order.

use crate::behind::Behind;
use crate::rules::Rule;
use crate::seeds::{check_kept, check_needed};
use crate::verdict::Verdict;

const EXACT: Behind = Behind { exactly_once: true, ..Behind::MOVING };
/// Who starts anew returns to memory at once, while what it sent before still waits.
const CRASHING: Behind = Behind { crash_permille: 40, numbers: 300, ..Behind::MOVING };

#[test]
fn what_stands_behind_a_stateless_task_that_moves_is_heard_in_order() {
    check_kept(Behind::MOVING);
    check_kept(EXACT);
    check_kept(Behind { crash_permille: 0, ..Behind::MOVING });
    check_kept(Behind { move_permille: 60, ..EXACT });
}

#[test]
fn the_order_behind_a_task_holds_because_its_home_in_the_daemon_leaves_before_others_send_to_its_queue() {
    check_needed(Behind::MOVING, Rule::HomeLeavesFirst, Verdict::OutOfOrder(0));
}

#[test]
fn the_order_behind_a_task_holds_because_it_goes_on_only_when_its_receivers_are_through() {
    check_needed(Behind::MOVING, Rule::ReceiversFirst, Verdict::OutOfOrder(0));
}

#[test]
fn the_order_behind_a_task_holds_because_receivers_that_move_too_are_in_their_places_first() {
    check_needed(Behind::MOVING, Rule::ReceiversHomeFirst, Verdict::OutOfOrder(0));
}

#[test]
fn the_order_behind_a_task_holds_because_outboxes_are_appended_before_its_receivers_are_looked_at() {
    check_needed(Behind { crash_permille: 0, ..EXACT }, Rule::OutboxBeforeTheLook, Verdict::OutOfOrder(0));
}

#[test]
fn the_order_behind_a_task_holds_because_the_lane_of_who_returns_to_memory_follows_that_of_its_home() {
    check_needed(Behind::MOVING, Rule::FollowsTheHome, Verdict::OutOfOrder(0));
    check_needed(CRASHING, Rule::EarlierOrderStands, Verdict::OutOfOrder(0));
}
