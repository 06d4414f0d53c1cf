//! What is appended is taken: order, repetition, rights, sizes.

use std::time::Duration;

use super::super::*;
use super::*;

#[test]
fn what_was_appended_is_taken_in_order_by_a_later_consumer() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..5000);
    let taken = drain(&mut fixture.consumer());
    assert_eq!(bodies(&taken), numbers(0..5000));
    assert_eq!((taken[0].stamp.time_ns, taken[4999].count), (7, 5000));
}

#[test]
fn what_is_not_finished_is_taken_again() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..100);
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    finish_all(&mut consumer, &taken[..40]);
    assert!(consumer.unfinished_bytes() > 0);
    drop(consumer);
    assert_eq!(bodies(&drain(&mut fixture.consumer())), numbers(40..100));
}

#[test]
fn a_reopened_transit_goes_on_where_the_last_one_stopped() {
    let fixture = Fixture::new();
    for round in 0..20 {
        let transit = Transit::open(fixture.directory.path()).unwrap();
        append_numbers(&transit.sender(&fixture.queue, &lane("task:A")).unwrap(), round * 50..(round + 1) * 50);
        if round % 3 == 0 {
            let mut consumer = fixture.consumer_of(&transit).unwrap();
            let taken = drain(&mut consumer);
            assert_eq!(bodies(&taken).last(), Some(&(round * 50 + 49).to_string()));
            finish_all(&mut consumer, &taken);
        }
    }
    assert_eq!(bodies(&drain(&mut fixture.consumer())), numbers(950..1000));
}

#[test]
fn a_message_larger_than_a_segment_arrives_among_small_ones() {
    let fixture = Fixture::new();
    let sender = fixture.sender();
    let sizes = [0, 1, 100_000, 3, 16 << 10, (16 << 10) - 64, 5 << 20, 7, (16 << 10) - 104, 1];
    for (n, size) in sizes.iter().enumerate() {
        sender.append(&out(&vec![n as u8; *size])).unwrap();
    }
    let taken = drain(&mut fixture.consumer());
    assert_eq!(taken.iter().map(|taken| taken.body.len()).collect::<Vec<_>>(), sizes);
    assert!(taken.iter().enumerate().all(|(n, taken)| taken.body.iter().all(|byte| *byte == n as u8)));
}

#[test]
fn a_lane_is_written_by_one_process_and_a_queue_consumed_by_one() {
    let fixture = Fixture::new();
    let other = Transit::open(fixture.directory.path()).unwrap();
    let (sender, consumer) = (fixture.sender(), fixture.consumer());
    let refused = other.sender(&fixture.queue, &lane("process:main"));
    assert!(matches!(refused, Err(Error::LaneBusy { .. })), "{refused:?}");
    let refused = fixture.consumer_of(&other).unwrap_err();
    assert_eq!(refused.to_string(), "queue q is consumed by pid 7");
    assert!(fixture.consumer_of(&fixture.transit).is_err(), "the same process may not consume twice");
    assert!(other.sender(&fixture.queue, &lane("process:other")).is_ok());
    let clone = sender.clone();
    drop(sender);
    assert!(other.sender(&fixture.queue, &lane("process:main")).is_err(), "a clone still has the lane");
    drop((clone, consumer));
    assert!(other.sender(&fixture.queue, &lane("process:main")).is_ok());
    assert!(fixture.consumer_of(&other).is_ok());
}

#[test]
fn the_last_tag_of_a_task_is_found_also_when_its_segment_is_finished() {
    let fixture = Fixture::new();
    let name = lane("task:A");
    let last = || fixture.transit.last_tag(&fixture.queue, &name).unwrap();
    assert_eq!(last(), None);
    let tag = Some(Tag { epoch: 9, n: 1, index: 2 });
    let sender = fixture.transit.sender(&fixture.queue, &name).unwrap();
    sender.append(&Outgoing { tag, ..out(b"tagged") }).unwrap();
    let mut consumer = fixture.consumer();
    for round in 0..50 {
        append_numbers(&sender, round * 100..(round + 1) * 100);
        let taken = drain(&mut consumer);
        finish_all(&mut consumer, &taken);
        assert_eq!(last(), tag, "round {round}");
    }
    assert!(fixture.files().len() <= 5, "{:?}", fixture.files());
    drop(sender);
    let sender = fixture.transit.sender(&fixture.queue, &name).unwrap();
    assert_eq!(last(), tag);
    let later = Some(Tag { epoch: 9, n: 2, index: 0 });
    sender.append(&Outgoing { tag: later, ..out(b"tagged") }).unwrap();
    assert_eq!(last(), later);
}

#[test]
fn a_recorded_position_is_taken_or_refused_with_the_reason() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..10);
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    finish_all(&mut consumer, &taken[..2]);
    let (id, at) = (taken[0].lane, |n: usize| (taken[n].end, taken[n].count));
    let mut check = |lane, (position, count), outcome, rest: std::ops::Range<u32>| {
        assert_eq!(consumer.start_at(lane, position, count), outcome);
        assert_eq!(bodies(&drain(&mut consumer)), numbers(rest));
    };
    check(id, at(4), StartOutcome::AsRecorded, 5..10);
    check(id, at(0), StartOutcome::AlreadyFinished { missing: 1 }, 2..10);
    check(id, (1 << 20, 99), StartOutcome::BeyondEnd { written: 10 }, 2..10);
    check(LaneId(id.0 ^ 1), at(4), StartOutcome::UnknownLane, 0..0);
}

#[test]
fn one_shot_senders_share_a_lane_and_wait_for_it() {
    let fixture = Fixture::new();
    let transits: Vec<_> = (0..4).map(|_| Transit::open(fixture.directory.path()).unwrap()).collect();
    std::thread::scope(|scope| {
        for transit in &transits {
            scope.spawn(|| {
                for _ in 0..50 {
                    transit.append_once(&fixture.queue, &out(b"x"), Duration::from_secs(10)).unwrap();
                }
            });
        }
    });
    assert_eq!(drain(&mut fixture.consumer()).len(), 200);
    assert_eq!(fixture.transit.status(&fixture.queue).unwrap().unwrap().lanes.len(), 1);
    assert!(matches!(fixture.transit.sender(&fixture.queue, &LaneName::Anonymous), Err(Error::LaneIsShared)));
}

#[test]
fn fsync_always_and_interval_keep_the_order_and_the_messages() {
    for fsync in [Fsync::Always, Fsync::Interval] {
        let fixture = Fixture::new();
        fixture.set(|settings| settings.fsync = fsync);
        append_numbers(&fixture.sender(), 0..300);
        let sender = fixture.sender();
        append_numbers(&sender, 300..310);
        fixture.transit.tidy().unwrap();
        assert_eq!(bodies(&drain(&mut fixture.consumer())), numbers(0..310));
    }
}

#[test]
fn queues_are_listed_by_name_and_dot_names_are_not() {
    let fixture = Fixture::new();
    for name in ["b", "a", "c"] {
        let queue = QueueName::new(name).unwrap();
        fixture.transit.append_once(&queue, &out(b"x"), Duration::ZERO).unwrap();
    }
    let _bell = Bell::open(&fixture.transit).unwrap();
    let names: Vec<_> = fixture.transit.queues().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(fixture.transit.status(&QueueName::new("d").unwrap()).unwrap().is_none());
}

#[test]
fn a_status_tells_when_the_oldest_unfinished_message_of_all_lanes_was_made() {
    let fixture = Fixture::new();
    let oldest = || fixture.transit.status(&fixture.queue).unwrap().unwrap().oldest_ns;
    let at = |time_ns| Outgoing { stamp: Stamp::at(time_ns), tag: None, body: &[7; 3000] };
    let (sender, other) = (fixture.sender(), fixture.transit.sender(&fixture.queue, &lane("process:other")).unwrap());
    assert_eq!(oldest(), None);
    // Over several segments, so that some begin at the first unfinished one.
    for n in 0..20 {
        sender.append(&at(100 + n)).unwrap();
    }
    other.append(&at(110)).unwrap();
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    for (n, taken) in taken.iter().filter(|taken| taken.lane == sender.lane_id()).enumerate() {
        assert_eq!(oldest(), Some(110.min(100 + n as u64)));
        consumer.finish(taken.lane, taken.end, taken.count);
    }
    assert_eq!(oldest(), Some(110));
    finish_all(&mut consumer, &taken);
    assert_eq!(oldest(), None);
}
