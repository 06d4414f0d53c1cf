//! Bounds, overflow, and how many files there are.

use std::time::{Duration, Instant};

use super::super::*;
use super::*;

#[test]
fn a_full_queue_refuses_with_both_numbers_and_takes_more_once_room_is_finished() {
    let fixture = Fixture::new();
    fixture.set(|settings| settings.max_messages = 10);
    let sender = fixture.sender();
    append_numbers(&sender, 0..10);
    let error = sender.append(&out(b"x")).unwrap_err();
    assert!(error.to_string().contains("10 of at most 10 messages"), "{error}");
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    finish_all(&mut consumer, &taken[..3]);
    append_numbers(&sender, 10..13);
    assert!(matches!(sender.append(&out(b"x")), Err(AppendError::Full { .. })));
    assert_eq!(bodies(&drain(&mut consumer)), numbers(10..13));
}

#[test]
fn the_bound_counts_all_lanes_and_bytes() {
    let fixture = Fixture::new();
    fixture.set(|settings| settings.max_bytes = 100_000);
    let sender = fixture.sender();
    sender.append(&out(&[0; 60_000])).unwrap();
    let other = fixture.transit.sender(&fixture.queue, &lane("process:other")).unwrap();
    assert!(matches!(other.append(&out(&[0; 60_000])), Err(AppendError::Full { .. })));
    assert!(matches!(other.append(&out(&[0; 100_001])), Err(AppendError::TooLarge { max_bytes: 100_000, .. })));
    other.append(&out(&[0; 30_000])).unwrap();
    let status = fixture.transit.status(&fixture.queue).unwrap().unwrap();
    assert_eq!((status.messages, status.lanes.len(), status.consumer), (2, 2, None));
    assert!(status.bytes > 90_000 && status.bytes < 91_000);
}

#[test]
fn an_empty_queue_takes_one_message_of_any_permitted_size() {
    let fixture = Fixture::new();
    fixture.set(|settings| settings.max_bytes = 100_000);
    let sender = fixture.sender();
    sender.append(&out(&[1; 100_000])).unwrap();
    assert!(matches!(sender.append(&out(b"")), Err(AppendError::Full { .. })));
    assert_eq!(drain(&mut fixture.consumer()).len(), 1);
}

#[test]
fn overflow_does_what_the_setting_says() {
    for (overflow, verdict) in [(Overflow::DropNewest, "drops what is new"), (Overflow::DeadLetter, "goes to dead")] {
        let fixture = Fixture::new();
        fixture.set(|settings| (settings.max_messages, settings.overflow) = (5, overflow));
        let sender = fixture.sender();
        append_numbers(&sender, 0..5);
        assert!(sender.append(&out(b"x")).unwrap_err().to_string().contains(verdict));
        assert_eq!(bodies(&drain(&mut fixture.consumer())), numbers(0..5));
    }
}

#[test]
fn drop_oldest_keeps_the_newest_and_counts_the_gap() {
    let fixture = Fixture::new();
    fixture.set(|settings| (settings.max_messages, settings.overflow) = (100, Overflow::DropOldest));
    let sender = fixture.sender();
    append_numbers(&sender, 0..10);
    let mut consumer = fixture.consumer();
    let mut batch = drain(&mut consumer);
    append_numbers(&sender, 10..1000);
    batch.extend(drain(&mut consumer));
    let numbers: Vec<u32> = bodies(&batch[10..]).iter().map(|body| body.parse().unwrap()).collect();
    assert!(numbers.len() >= 75 && numbers.len() <= 100, "{} are left", numbers.len());
    assert_eq!(numbers, (numbers[0]..1000).collect::<Vec<_>>());
    let gap = Incident::Gap {
        queue: fixture.queue.clone(),
        lane: "process:main".to_owned(),
        messages: u64::from(numbers[0]) - 10,
        dropped: true,
    };
    assert_eq!(consumer.incidents(), [gap]);
    finish_all(&mut consumer, &batch);
    assert_eq!(fixture.transit.status(&fixture.queue).unwrap().unwrap().messages, 0);
    assert!(fixture.files().len() <= 5, "{:?}", fixture.files());
}

#[test]
fn files_stay_few_over_a_million_messages() {
    let fixture = Fixture::new();
    let (sender, mut consumer) = (fixture.sender(), fixture.consumer());
    let (mut batch, mut seen, mut most) = (Vec::new(), 0, 0);
    for n in 0..1_000_000_u32 {
        sender.append(&out(&n.to_le_bytes())).unwrap();
        if n % 1000 == 999 {
            while consumer.take(&mut batch).unwrap() > 0 {}
            for taken in batch.drain(..) {
                assert_eq!(taken.body.as_ref(), u32::to_le_bytes(seen));
                seen += 1;
                consumer.finish(taken.lane, taken.end, taken.count);
            }
        }
        if n % 50_000 == 0 {
            most = most.max(fixture.files().len());
        }
    }
    assert_eq!(seen, 1_000_000);
    assert!(most <= 6, "{most} files");
}

#[test]
fn a_drained_lane_that_is_idle_for_ten_seconds_owns_no_file_but_the_one_of_its_last_tag() {
    for (name, kept) in [("process:main", 0), ("task:A", 1)] {
        let fixture = Fixture::new();
        let sender = fixture.transit.sender(&fixture.queue, &lane(name)).unwrap();
        let tag = Some(Tag { epoch: 1, n: 1, index: 1 });
        sender.append(&Outgoing { tag, ..out(b"0") }).unwrap();
        append_numbers(&sender, 1..1000);
        let (mut consumer, now) = (fixture.consumer(), Instant::now());
        let tidy = |seconds| fixture.transit.tidy_at(now + Duration::from_secs(seconds)).unwrap();
        tidy(0);
        tidy(20);
        assert!(fixture.files().len() >= 2, "what is not finished stays");
        let taken = drain(&mut consumer);
        finish_all(&mut consumer, &taken);
        tidy(21);
        tidy(30);
        assert!(!fixture.files().is_empty(), "nine seconds are not ten");
        tidy(31);
        assert_eq!(fixture.files().len(), kept, "{:?}", fixture.files());
        append_numbers(&sender, 1000..1010);
        assert_eq!(bodies(&drain(&mut consumer)), numbers(1000..1010));
        drop(sender);
        let again = fixture.transit.sender(&fixture.queue, &lane(name)).unwrap();
        append_numbers(&again, 1010..1020);
        assert_eq!(bodies(&drain(&mut consumer)), numbers(1010..1020));
        let last = fixture.transit.last_tag(&fixture.queue, &lane(name)).unwrap();
        assert_eq!(last, tag.filter(|_| kept == 1));
    }
}

#[test]
fn a_consumer_that_stands_at_the_end_of_a_recycled_segment_finds_the_next() {
    let fixture = Fixture::new();
    // All segments have 16 KiB: 291 records of 56 bytes and an end mark, or 255 of 64 bytes.
    fixture.set(|settings| settings.max_bytes = 64 << 10);
    let (sender, mut consumer) = (fixture.sender(), fixture.consumer());
    let send = |count: usize, len| (0..count).for_each(|_| sender.append(&out(&vec![7; len])).unwrap());
    send(291, 16);
    let taken = drain(&mut consumer);
    assert_eq!(taken.len(), 291);
    finish_all(&mut consumer, &taken);
    // The second segment, and then the first anew, over the place where the end mark stood.
    send(255 + 255, 24);
    assert_eq!(fixture.files().len(), 2, "the first segment was recycled");
    assert_eq!(drain(&mut consumer).len(), 510);
    assert_eq!(consumer.incidents(), []);
}

#[test]
fn drop_oldest_keeps_the_file_of_the_last_tag_but_not_its_messages() {
    let fixture = Fixture::new();
    fixture.set(|settings| (settings.max_messages, settings.overflow) = (100, Overflow::DropOldest));
    let sender = fixture.transit.sender(&fixture.queue, &lane("task:A")).unwrap();
    let tag = |n| Some(Tag { epoch: 1, n, index: 1 });
    let last = || fixture.transit.last_tag(&fixture.queue, &lane("task:A")).unwrap();
    for n in 1..=3 {
        sender.append(&Outgoing { tag: tag(n), ..out(b"tagged") }).unwrap();
        append_numbers(&sender, 0..500);
        assert_eq!(last(), tag(n), "what was dropped is still told of");
        assert!(fixture.files().len() <= 6, "{:?}", fixture.files());
    }
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    assert!(taken.len() >= 75 && taken.len() <= 100 && taken.iter().all(|taken| taken.tag.is_none()));
    assert!(matches!(&consumer.incidents()[..], [Incident::Gap { dropped: true, messages, .. }] if *messages > 1400));
    finish_all(&mut consumer, &taken);
    drop(sender);
    let again = fixture.transit.sender(&fixture.queue, &lane("task:A")).unwrap();
    append_numbers(&again, 0..500);
    assert_eq!(last(), tag(3));
    let held = fixture.transit.status(&fixture.queue).unwrap().unwrap().messages;
    assert_eq!(drain(&mut consumer).len() as u64, held);
}

#[test]
fn a_parked_queue_takes_what_fits_and_diverts_the_rest_for_senders_of_all_processes() {
    let fixture = Fixture::new();
    fixture.set(|settings| settings.max_messages = 5);
    let near = fixture.sender();
    let other = Transit::open(fixture.directory.path()).unwrap();
    let far = other.sender(&fixture.queue, &lane("process:far")).unwrap();
    append_numbers(&near, 0..5);
    assert!(matches!(far.append(&out(b"x")), Err(AppendError::Full { .. })));
    other.set_parked(&fixture.queue, true).unwrap();
    for sender in [&near, &far] {
        let refusal = sender.append(&out(b"x")).unwrap_err();
        assert!(matches!(refusal, AppendError::DeadLetter { parked: true, .. }), "{refusal}");
        assert!(refusal.to_string().contains("nobody will read it for now"), "{refusal}");
    }
    let status = fixture.transit.status(&fixture.queue).unwrap().unwrap();
    assert!(status.parked && status.settings.overflow == Overflow::Block, "what the user set stays");
    let mut consumer = fixture.consumer();
    let taken = drain(&mut consumer);
    finish_all(&mut consumer, &taken);
    append_numbers(&far, 5..10);
    fixture.transit.set_parked(&fixture.queue, false).unwrap();
    assert!(matches!(far.append(&out(b"x")), Err(AppendError::Full { .. })));
    assert_eq!(bodies(&drain(&mut consumer)), numbers(5..10));
}

#[test]
fn a_parked_queue_that_drops_goes_on_dropping() {
    let fixture = Fixture::new();
    fixture.set(|settings| (settings.max_messages, settings.overflow) = (5, Overflow::DropNewest));
    fixture.transit.set_parked(&fixture.queue, true).unwrap();
    let sender = fixture.sender();
    append_numbers(&sender, 0..5);
    assert!(matches!(sender.append(&out(b"x")), Err(AppendError::DroppedNewest { .. })));
}

#[test]
fn the_room_of_a_queue_that_diverts_is_what_its_appends_find() {
    let fixture = Fixture::new();
    fixture.set(|settings| (settings.max_messages, settings.max_bytes) = (5, 100_000));
    let sender = fixture.sender();
    assert!(sender.diverting_room().is_none(), "a queue that blocks diverts nothing");
    fixture.transit.set_parked(&fixture.queue, true).unwrap();
    let mut room = sender.diverting_room().unwrap();
    assert!(room.takes(&[0; 100_000]), "an empty queue takes one message of any permitted size");
    assert!(!room.takes(b""));
    append_numbers(&sender, 0..2);
    let mut room = sender.diverting_room().unwrap();
    assert!(!room.takes(&[0; 100_000]) && room.takes(b"") && room.takes(b"") && room.takes(b""));
    assert!(!room.takes(b""));
}

#[test]
fn a_bound_is_passed_by_at_most_one_segment_for_each_lane_that_is_written() {
    let fixture = Fixture::new();
    fixture.set(|settings| settings.max_messages = 1000);
    let names = ["process:a", "process:b", "process:c"];
    let senders = names.map(|name| fixture.transit.sender(&fixture.queue, &lane(name)).unwrap());
    let mut open = vec![true; senders.len()];
    while open.contains(&true) {
        for (sender, open) in senders.iter().zip(&mut open) {
            *open = *open && sender.append(&out(&[7; 16])).is_ok();
        }
    }
    let messages = fixture.transit.status(&fixture.queue).unwrap().unwrap().messages;
    // A record has 56 bytes, and these lanes' segments 16 KiB.
    assert!((1000..=1000 + 3 * 292).contains(&messages), "{messages}");
}

#[test]
fn how_full_a_queue_is_shows_to_all_whoever_consumes_it() {
    let fixture = Fixture::new();
    let other = Transit::open(fixture.directory.path()).unwrap();
    let fullness = || [&fixture.transit, &other].map(|transit| transit.fullness(&fixture.queue).unwrap());
    assert_eq!(fullness(), [None, None]);
    fixture.set(|settings| settings.max_bytes = 100_000);
    fixture.sender().append(&out(&[0; 60_000])).unwrap();
    let is_filled = |share: Option<f64>| share.is_some_and(|share| (0.60..0.61).contains(&share));
    assert!(fullness().into_iter().all(is_filled), "{:?}", fullness());
    let mut consumer = fixture.consumer();
    assert!(fullness().into_iter().all(is_filled), "{:?}", fullness());
    let taken = drain(&mut consumer);
    finish_all(&mut consumer, &taken);
    assert_eq!(fullness(), [Some(0.0), Some(0.0)]);
}

#[test]
fn what_was_appended_counts_as_written_by_the_page_and_what_is_mapped_counts_once_between_two_looks() {
    let fixture = Fixture::new();
    let (sender, mut consumer) = (fixture.sender(), fixture.consumer());
    let written = || {
        let before = fixture.transit.written_bytes();
        fixture.transit.tidy().unwrap();
        fixture.transit.written_bytes() - before
    };
    sender.append(&out(b"x")).unwrap();
    assert_eq!((written(), written()), (4096, 0));
    (0..10).for_each(|_| sender.append(&out(&[1; 100_000])).unwrap());
    let ten = written();
    assert!((1_000_000..1_010_000).contains(&ten), "{ten}");
    for _ in 0..2000 {
        sender.append(&out(&[1; 100_000])).unwrap();
        let taken = drain(&mut consumer);
        finish_all(&mut consumer, &taken);
    }
    let hot = written();
    assert!((1_000_000..100_000_000).contains(&hot), "200 MB went through {hot} bytes of files");
    sender.append(&out(b"x")).unwrap();
    drop(sender);
    assert_eq!(written(), 0);
    assert!(fixture.transit.written_bytes() >= ten + hot + 8192, "also what the last clone has left");
}
