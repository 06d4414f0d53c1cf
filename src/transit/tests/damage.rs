//! Bad bytes, cut files, removed directories, lost pages.

use super::super::*;
use super::*;

#[test]
fn a_bad_record_ends_its_segment_and_the_lane_goes_on_behind_it() {
    let fixture = Fixture::new();
    let sender = fixture.sender();
    append_numbers(&sender, 0..500);
    let first = fixture.files()[0].clone();
    assert_eq!(fixture.files().len(), 2, "the test wants two segments");
    // Byte 60 of the file's last kilobyte lies in some record before the end mark.
    let mut bytes = std::fs::read(&first).unwrap();
    let at = bytes.len() - 1000;
    bytes[at] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let mut consumer = fixture.consumer();
    let batch = drain(&mut consumer);
    let numbers: Vec<u32> = bodies(&batch).iter().map(|body| body.parse().unwrap()).collect();
    let good = numbers.windows(2).position(|pair| pair[1] != pair[0] + 1).unwrap() + 1;
    assert_eq!(numbers.last(), Some(&499));
    let lost = u64::from(numbers[good]) - good as u64;
    let incidents = consumer.incidents();
    assert!(matches!(&incidents[0], Incident::MovedAside { aside: Some(_), .. }), "{incidents:?}");
    assert!(matches!(&incidents[1], Incident::Gap { messages, dropped: false, .. } if *messages == lost));
    assert_eq!(batch.last().unwrap().count, 500, "counts go on as if nothing were missing");
    finish_all(&mut consumer, &batch);
    assert_eq!(fixture.transit.status(&fixture.queue).unwrap().unwrap().messages, 0);
}

#[test]
fn when_the_segment_being_written_is_bad_the_writer_leaves_it_too() {
    let fixture = Fixture::new();
    let sender = fixture.sender();
    append_numbers(&sender, 0..3);
    let first = fixture.files()[0].clone();
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[64 + 48 + 20] ^= 1;
    // In place: the writer has it mapped.
    std::io::Write::write_all(&mut std::fs::File::options().write(true).open(&first).unwrap(), &bytes).unwrap();
    let mut consumer = fixture.consumer();
    assert_eq!(bodies(&drain(&mut consumer)), numbers(0..1));
    assert_eq!(consumer.incidents().len(), 2);
    append_numbers(&sender, 3..10);
    let rest = drain(&mut consumer);
    assert_eq!(bodies(&rest), numbers(3..10));
    assert_eq!(rest[0].count, 4);
    assert_eq!(std::fs::read_dir(fixture.directory.path().join("q/aside")).unwrap().count(), 1);
    finish_all(&mut consumer, &rest);
    drop((sender, consumer));
    append_numbers(&fixture.sender(), 10..12);
    assert_eq!(bodies(&drain(&mut fixture.consumer())), numbers(10..12));
}

#[test]
fn a_segment_cut_short_is_moved_aside_when_it_is_opened() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..10);
    std::fs::File::options().write(true).open(&fixture.files()[0]).unwrap().set_len(8000).unwrap();
    append_numbers(&fixture.sender(), 10..20);
    let mut consumer = fixture.consumer();
    assert_eq!(bodies(&drain(&mut consumer)), numbers(10..20));
    let incidents: Vec<String> = consumer.incidents().iter().map(ToString::to_string).collect();
    assert!(
        incidents[0].contains("cut to 8000 bytes") && incidents[1].contains("10 messages were lost"),
        "{incidents:?}"
    );
}

#[test]
fn a_removed_directory_is_noticed_and_made_anew() {
    let fixture = Fixture::new();
    let (sender, mut consumer) = (fixture.sender(), fixture.consumer());
    append_numbers(&sender, 0..10);
    assert_eq!(drain(&mut consumer).len(), 10);
    append_numbers(&sender, 10..20);
    std::fs::remove_dir_all(fixture.directory.path().join("q")).unwrap();
    append_numbers(&sender, 20..21);
    assert!(consumer.check_replaced().unwrap());
    assert!(matches!(consumer.incidents()[..], [Incident::Replaced { .. }]));
    assert_eq!(bodies(&drain(&mut consumer)), numbers(10..21), "the old files are drained");
    append_numbers(&sender, 21..30);
    assert_eq!(bodies(&drain(&mut consumer)), numbers(21..30), "the sender went on to the new ones");
    assert!(!consumer.check_replaced().unwrap());
    assert_eq!(fixture.transit.status(&fixture.queue).unwrap().unwrap().messages, 9);
}

#[test]
fn after_another_boot_the_end_of_a_lane_is_found_by_its_checksums() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..500);
    let index = fixture.directory.path().join("q/index");
    let mut bytes = std::fs::read(&index).unwrap();
    // The slot's written position and count, as if the page had never reached the disk.
    bytes[8192..8208].fill(0);
    std::fs::write(&index, bytes).unwrap();
    let rebooted = Transit::open_in_boot(fixture.directory.path(), [1, 2]).unwrap();
    let mut consumer = fixture.consumer_of(&rebooted).unwrap();
    append_numbers(&rebooted.sender(&fixture.queue, &lane("process:main")).unwrap(), 500..510);
    let taken = drain(&mut consumer);
    assert_eq!(bodies(&taken), numbers(0..510));
    assert_eq!(taken.last().unwrap().count, 510);
}

#[test]
fn after_a_power_cut_that_lost_records_the_rest_is_read_and_the_gap_reported() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..100);
    let segment = fixture.files()[0].clone();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[2048..8192].fill(0);
    std::fs::write(&segment, bytes).unwrap();
    let rebooted = Transit::open_in_boot(fixture.directory.path(), [1, 2]).unwrap();
    append_numbers(&rebooted.sender(&fixture.queue, &lane("process:main")).unwrap(), 100..110);
    let mut consumer = fixture.consumer_of(&rebooted).unwrap();
    let taken = drain(&mut consumer);
    let good = taken.len() - 10;
    assert_eq!(bodies(&taken[good..]), numbers(100..110));
    assert_eq!(bodies(&taken[..good]), numbers(0..good as u32));
    let lost = 100 - good as u64;
    assert!(
        consumer.incidents().iter().any(|fact| matches!(fact, Incident::Gap { messages, .. } if *messages == lost))
    );
}

#[test]
fn a_damaged_index_is_refused_with_the_reason() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..1);
    let index = fixture.directory.path().join("q/index");
    let whole = std::fs::read(&index).unwrap();
    let check = |bytes: &[u8], reason: &str| {
        std::fs::write(&index, bytes).unwrap();
        let error = Transit::open(fixture.directory.path()).unwrap().sender(&fixture.queue, &lane("task:a"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("q/index"), "{error}");
    };
    check(&whole[..1000], "this one has 1000");
    check(&[&[1; 8], &whole[8..]].concat(), "not an index");
    check(&[&whole[..8], &[9], &whole[9..]].concat(), "format 9");
}

#[test]
fn a_writer_that_was_killed_between_count_and_position_leaves_no_wrong_count() {
    let fixture = Fixture::new();
    append_numbers(&fixture.sender(), 0..4);
    let queue = fixture.transit.inner().find(&fixture.queue).unwrap().unwrap();
    let slot = queue.index.slot(0);
    let written = slot.written();
    // So it stands between the two: the last record is whole, it counts, and its position is not published.
    slot.publish_written(protocol::Mark { position: written.position / 4 * 3, count: 4 });
    append_numbers(&fixture.sender(), 4..6);
    let taken = drain(&mut fixture.consumer());
    assert_eq!(bodies(&taken), ["0", "1", "2", "4", "5"]);
    assert_eq!((slot.written().count, taken.last().unwrap().count), (5, 5));
}
