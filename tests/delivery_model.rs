//! A randomised model of the delivery protocol: which promises hold whatever is killed and when, and which rule of the
//! protocol each of them rests on.
//!
//! ```text
//!            ┌── process of A ──────────────┐   ┌ process of B ┐
//! source ──► A (stateful) ─► T (stateless, ─┼─► B (stateful) ──┼─► sink
//!            ▲               slow)          │   │              │
//!            └─ answers, in a ring ─────────┼───┤              │   ┌── home of S ───────────────┐
//!                                               └──────────────┼─► S (stateless) ─► U, V ───────┼─► tail
//! ```
//!
//! What B or S has no room for may be diverted to `dead`, a lane of whoever emitted it.
//! A and B may move between processes; then T goes along with A.
//! Arrows that cross a process are lanes of the transit; those inside are calls through memory. Every step is one
//! atomic effect on what survives a crash (a lane, a record) or one change of memory. A crash drops one process's memory.
//!
//! Three small worlds stand beside it: a stateless task that changes its place (`place.rs`), the task that hears it
//! meanwhile (`behind.rs`), and a pool with its dispatcher (`pool.rs`).
//!
//! Not modelled: bytes, checksums and segments (their own tests), what a power cut takes, output that its queue refuses
//! for good, and a write that fails and leaves its record whole all the same.
//! The protocol is changed here first.

#[path = "delivery_model/behind.rs"]
mod behind;
#[path = "delivery_model/behind_tests.rs"]
mod behind_tests;
#[path = "delivery_model/case.rs"]
mod case;
#[path = "delivery_model/chain.rs"]
mod chain;
#[path = "delivery_model/commit.rs"]
mod commit;
#[path = "delivery_model/home.rs"]
mod home;
#[path = "delivery_model/lane.rs"]
mod lane;
#[path = "delivery_model/outbox.rs"]
mod outbox;
#[path = "delivery_model/place.rs"]
mod place;
#[path = "delivery_model/poison.rs"]
mod poison;
#[path = "delivery_model/pool.rs"]
mod pool;
#[path = "delivery_model/random.rs"]
mod random;
#[path = "delivery_model/recovery.rs"]
mod recovery;
#[path = "delivery_model/rules.rs"]
mod rules;
#[path = "delivery_model/seats.rs"]
mod seats;
#[path = "delivery_model/seeds.rs"]
mod seeds;
#[path = "delivery_model/stateful.rs"]
mod stateful;
#[path = "delivery_model/verdict.rs"]
mod verdict;
#[path = "delivery_model/world.rs"]
mod world;

use case::{Case, Configured, Delivery, Person};
use place::Places;
use pool::Pool;
use rules::Rule;
use seeds::{check_kept, check_needed};
use verdict::{Verdict, judge, repeats};

const AT_LEAST_ONCE: Configured = Configured::Always(Delivery::AtLeastOnce);
/// Without crashes, for what a crash repeats takes room that the ring has not.
const AT_LEAST_ONCE_RING: Case = Case { configured: AT_LEAST_ONCE, crash_permille: 0, ..Case::RING };
/// With seldom commits, so that much goes out under each record.
const CHANGING: Case = Case { configured: Configured::Changing, commit_permille: 80, ..Case::HEAVY };
/// Where only moves, and no crash, can go wrong.
const STEADY_MOVING: Case = Case { crash_permille: 0, ..Case::MOVING };
const POISONED: Case = Case { poisoned: true, ..Case::PLAIN };
const STEADY_POOL: Pool = Pool { crash_permille: 0, ..Pool::PLAIN };
const POISONED_POOL: Pool = Pool { poisoned: true, ..Pool::PLAIN };
const RECORD_REMOVED: Case = Case { person: Person::RemovesTheRecordOfA, ..Case::HEAVY };
const QUEUE_REMOVED: Case = Case { person: Person::RemovesTheQueueOfB, ..Case::PLAIN };

#[test]
fn whatever_is_killed_everything_comes_out_once_and_in_order() {
    check_kept(Case::PLAIN);
    check_kept(Case::HEAVY);
    check_kept(Case { ahead: 0, ..Case::HEAVY });
}

#[test]
fn at_least_once_may_repeat_but_loses_nothing_and_keeps_the_order_of_first_appearance() {
    check_kept(Case::HEAVY.with_delivery(AT_LEAST_ONCE));
}

#[test]
fn delivery_may_change_by_reload_while_processes_are_killed() {
    check_kept(CHANGING);
}

#[test]
fn what_finds_no_room_is_carried_over_from_record_to_record_and_comes_out_once_and_in_order() {
    check_kept(Case::BLOCKED);
    check_kept(Case { ahead: 0, ..Case::BLOCKED });
    check_kept(Case::BLOCKED.with_delivery(AT_LEAST_ONCE));
    check_kept(Case { bound: 2, ..CHANGING });
}

#[test]
fn records_that_cannot_be_written_and_handlers_that_panic_lose_and_double_nothing() {
    check_kept(Case::FAULTY);
    check_kept(Case::FAULTY.with_delivery(AT_LEAST_ONCE));
    check_kept(Case { fault_permille: 200, bound: 2, ..CHANGING });
}

#[test]
fn at_least_once_does_repeat_under_crashes_and_exactly_once_does_not() {
    let repeated = |case: Case| (1..=50).any(|seed| repeats(case, seed));
    assert!(repeated(Case::HEAVY.with_delivery(AT_LEAST_ONCE)));
    assert!(!repeated(Case::HEAVY));
}

#[test]
fn what_overflow_diverts_stands_in_dead_or_in_its_queue_and_never_in_both() {
    check_kept(Case::DIVERTING);
    check_kept(Case { ahead: 0, ..Case::DIVERTING });
    check_kept(Case { fault_permille: 200, ..Case::DIVERTING });
    check_kept(Case::DIVERTING.with_delivery(AT_LEAST_ONCE));
    check_kept(Case { bound: 2, parking_permille: 50, ..CHANGING });
}

#[test]
fn nothing_diverted_goes_out_twice_because_only_a_record_diverts() {
    check_needed(Case::DIVERTING, Rule::OnlyARecordDiverts, Verdict::Twice(0));
}

#[test]
fn a_ring_of_tasks_whose_messages_fit_its_queues_never_locks() {
    check_kept(Case::RING);
    check_kept(AT_LEAST_ONCE_RING);
}

#[test]
fn a_record_removed_by_a_person_does_not_hold_back_what_is_sent_later() {
    check_kept(RECORD_REMOVED);
}

#[test]
fn a_queue_removed_and_made_again_loses_nothing_but_what_was_in_it() {
    check_kept(QUEUE_REMOVED);
}

#[test]
fn a_queue_removed_under_its_reader_loses_nothing_at_all() {
    check_kept(Case { crash_permille: 0, ..QUEUE_REMOVED });
}

#[test]
fn nothing_is_lost_because_the_record_is_written_before_room_is_given_back() {
    check_needed(Case::HEAVY, Rule::WriteFirst, Verdict::Lost(0));
}

#[test]
fn a_ring_does_not_lock_because_room_is_given_back_before_room_is_waited_for() {
    check_needed(Case::RING, Rule::FinishFirst, Verdict::Deadlock);
}

#[test]
fn a_ring_at_least_once_does_not_lock_because_what_waits_for_room_goes_into_the_record() {
    check_needed(AT_LEAST_ONCE_RING, Rule::BlockedOutbox, Verdict::Deadlock);
}

#[test]
fn nothing_is_lost_because_what_found_no_room_is_carried_over_into_the_next_record() {
    check_needed(Case::BLOCKED, Rule::CarriedOver, Verdict::Lost(0));
    check_needed(Case::BLOCKED.with_delivery(AT_LEAST_ONCE), Rule::CarriedOver, Verdict::Lost(0));
}

#[test]
fn nothing_goes_out_twice_because_nothing_sealed_is_appended_while_the_next_record_is_written() {
    check_needed(Case::BLOCKED, Rule::NothingAppendedWhileWriting, Verdict::Twice(0));
}

#[test]
fn without_crashes_memory_makes_good_what_the_records_lack() {
    let calm = Case { crash_permille: 0, ..Case::BLOCKED };
    check_kept(calm.without(Rule::CarriedOver));
    check_kept(calm.without(Rule::NothingAppendedWhileWriting));
}

#[test]
fn nothing_goes_out_twice_because_what_is_carried_over_is_numbered_anew_only_when_that_is_written() {
    check_needed(Case::FAULTY, Rule::NumberedWhenWritten, Verdict::Twice(0));
}

#[test]
fn nothing_goes_out_twice_because_the_tag_stands_in_the_record() {
    check_needed(Case::HEAVY, Rule::TagInRecord, Verdict::Twice(0));
}

#[test]
fn nothing_goes_out_twice_because_only_the_task_writes_its_lane() {
    check_needed(Case::HEAVY, Rule::TaskLane, Verdict::Twice(0));
}

#[test]
fn nothing_is_lost_after_a_record_was_removed_because_tags_name_the_epoch() {
    check_needed(RECORD_REMOVED, Rule::Epoch, Verdict::Lost(0));
}

#[test]
fn delivery_may_change_by_reload_because_what_goes_out_at_once_bears_the_last_record() {
    check_needed(CHANGING, Rule::DirectTag, Verdict::Lost(0));
}

#[test]
fn nothing_is_lost_on_the_way_through_a_stateless_task_because_listed_messages_are_recorded() {
    check_needed(Case::HEAVY, Rule::Pending, Verdict::Lost(0));
    check_needed(Case::HEAVY.with_delivery(AT_LEAST_ONCE), Rule::Pending, Verdict::Lost(0));
}

#[test]
fn a_queue_removed_and_made_again_loses_nothing_more_because_positions_are_recorded_by_lane_id() {
    check_needed(QUEUE_REMOVED, Rule::LaneId, Verdict::Lost(0));
}

#[test]
fn a_queue_removed_under_its_reader_loses_nothing_because_the_old_files_are_drained() {
    check_needed(Case { crash_permille: 0, ..QUEUE_REMOVED }, Rule::DrainOld, Verdict::Lost(0));
}

#[test]
fn a_stateless_task_fed_by_the_transit_loses_nothing_because_finished_stays_below_listed_work() {
    check_needed(Case::HEAVY, Rule::LowWatermark, Verdict::Lost(0));
}

#[test]
fn a_stateful_task_may_move_between_processes_at_any_moment() {
    check_kept(Case::MOVING);
    check_kept(Case { crash_permille: 0, ..Case::MOVING });
    check_kept(Case { fault_permille: 200, bound: 2, parking_permille: 50, ..Case::MOVING });
    check_kept(Case::MOVING.with_delivery(AT_LEAST_ONCE));
    check_kept(Case { configured: Configured::Changing, ..Case::MOVING });
}

#[test]
fn a_task_moves_safely_because_its_owner_lock_is_taken_before_its_record_is_read() {
    check_needed(Case::MOVING, Rule::OwnerFirst, Verdict::Lost(0));
}

#[test]
fn a_task_moves_safely_because_its_owner_lock_is_released_last() {
    check_needed(STEADY_MOVING, Rule::OwnerLast, Verdict::Lost(0));
}

#[test]
fn a_task_moves_safely_because_the_write_under_way_is_joined() {
    check_needed(STEADY_MOVING, Rule::WriteJoined, Verdict::Lost(0));
}

#[test]
fn a_task_moves_safely_because_its_lanes_are_given_back_after_its_last_output() {
    check_needed(STEADY_MOVING, Rule::LanesAfterOutput, Verdict::TwoWrite);
}

#[test]
fn a_task_moves_safely_because_what_its_old_process_handles_later_is_void() {
    check_needed(STEADY_MOVING.with_delivery(AT_LEAST_ONCE), Rule::VoidAfterLast, Verdict::TwoWrite);
}

#[test]
fn what_a_stateless_copy_in_the_old_process_holds_moves_with_the_record() {
    check_needed(STEADY_MOVING, Rule::Pending, Verdict::Lost(0));
}

#[test]
fn what_ends_three_processes_goes_to_dead_and_the_task_goes_on() {
    check_kept(POISONED);
    check_kept(POISONED.with_delivery(AT_LEAST_ONCE));
    check_kept(Case { places: 3, moving_permille: 60, fault_permille: 200, ..POISONED });
}

#[test]
fn all_of_it_at_once_loses_doubles_and_reorders_nothing() {
    let all = Case { parking_permille: 50, poisoned: true, fault_permille: 100, ..Case::MOVING };
    check_kept(all);
    check_kept(Case { configured: Configured::Changing, ..all });
}

#[test]
fn no_innocent_input_is_buried_because_it_is_marked_only_while_it_is_handled() {
    check_needed(POISONED, Rule::MarkedWhileHandled, Verdict::Buried(0));
}

#[test]
fn two_poisons_of_one_lane_are_both_buried_because_a_burial_is_recorded_before_more_is_taken() {
    let seldom = Case { commit_permille: 6, crash_permille: 0, numbers: 24, ..POISONED.with_delivery(AT_LEAST_ONCE) };
    check_kept(seldom);
    check_needed(seldom, Rule::BurialRecorded, Verdict::Stuck);
}

#[test]
fn a_stateless_task_may_change_its_place_while_its_senders_move() {
    check_kept(Places::CHANGING);
    check_kept(Places { crash_permille: 0, ..Places::CHANGING });
    check_kept(Places { reload_permille: 60, ..Places::CHANGING });
}

#[test]
fn order_holds_on_the_way_to_another_process_because_memory_is_worked_off_first() {
    check_needed(Places::CHANGING, Rule::MemoryWorkedOff, Verdict::OutOfOrder(0));
}

#[test]
fn order_holds_on_the_way_to_another_process_because_what_follows_something_forwarded_is_forwarded() {
    check_needed(Places::CHANGING, Rule::ForwardsTheRest, Verdict::OutOfOrder(0));
}

#[test]
fn order_holds_on_the_way_back_because_the_senders_lane_is_finished_first() {
    check_needed(Places::CHANGING, Rule::LaneFinished, Verdict::OutOfOrder(0));
    check_needed(Places::CHANGING, Rule::LowWatermark, Verdict::OutOfOrder(0));
}

#[test]
fn order_holds_on_the_way_back_because_nothing_is_sent_between_the_look_and_the_change() {
    check_needed(Places::CHANGING, Rule::LookAndChange, Verdict::OutOfOrder(0));
}

#[test]
fn order_holds_for_a_sender_that_moves_because_it_begins_at_the_queue() {
    check_needed(Places::CHANGING, Rule::BeginsAtTheQueue, Verdict::OutOfOrder(0));
}

#[test]
fn a_pool_deals_each_input_once_and_loses_nothing() {
    check_kept(Pool::PLAIN);
    check_kept(STEADY_POOL);
    check_kept(Pool { crash_permille: 150, ..Pool::PLAIN });
    check_kept(POISONED_POOL);
}

#[test]
fn a_pool_deals_each_input_once_because_copies_name_it() {
    check_needed(Pool::PLAIN, Rule::InputTagged, Verdict::Twice(0));
}

#[test]
fn a_pool_deals_each_input_once_because_it_finishes_one_before_it_deals_the_next() {
    check_needed(Pool::PLAIN, Rule::OneAtATime, Verdict::Twice(0));
}

#[test]
fn a_pool_loses_nothing_because_an_input_is_appended_before_it_is_finished() {
    check_needed(Pool::PLAIN, Rule::AppendFirst, Verdict::Lost(0));
}

#[test]
fn a_pool_whose_workers_live_handles_nothing_twice_because_messages_are_dealt_again_under_the_lock() {
    check_needed(STEADY_POOL, Rule::DealtAgainUnderLock, Verdict::Twice(0));
}

#[test]
fn a_pool_never_locks_because_a_workers_lock_is_given_back_when_no_other_has_room() {
    check_needed(Pool { poisoned: true, ..STEADY_POOL }, Rule::GivenBack, Verdict::Stuck);
}

#[test]
fn poison_ends_three_workers_and_no_more_because_a_message_bears_how_many_ended_on_it() {
    check_kept(Pool { poisoned: true, ..STEADY_POOL });
    check_needed(Pool { poisoned: true, ..STEADY_POOL }, Rule::EndsTravel, Verdict::NotBuried(0));
    check_needed(Pool { poisoned: true, ..STEADY_POOL }, Rule::BurialRecorded, Verdict::NotBuried(0));
}

#[test]
fn a_seed_repeats_its_run() {
    let case = Case::HEAVY.without(Rule::Pending);
    let runs: Vec<_> = (1..=20).map(|seed| judge(case, seed)).collect();
    assert_eq!(runs, (1..=20).map(|seed| judge(case, seed)).collect::<Vec<_>>());
    assert!(runs.iter().any(|run| *run != runs[0]), "other seeds give other runs");
}
