//! Lanes that nobody writes any more give their files back, by the queue's consumer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::*;
use super::*;

const TEN: Duration = Duration::from_secs(10);

fn post(transit: &Transit, queue: &QueueName, body: &str) {
    transit.append_once(queue, &out(body.as_bytes()), TEN).unwrap();
}

fn take_and_finish(consumer: &mut Consumer) -> Vec<Taken> {
    let taken = drain(consumer);
    finish_all(consumer, &taken);
    taken
}

#[test]
fn the_lane_of_one_shot_senders_owns_no_file_after_ten_idle_seconds_and_goes_on() {
    let fixture = Fixture::new();
    let strans = Transit::open(fixture.directory.path()).unwrap();
    let (mut consumer, now) = (fixture.consumer(), Instant::now());
    post(&strans, &fixture.queue, "0");
    let first = drain(&mut consumer);
    let tidy = |consumer: &mut Consumer, seconds| consumer.tidy_at(now + Duration::from_secs(seconds), TEN).unwrap();
    tidy(&mut consumer, 0);
    tidy(&mut consumer, 20);
    assert_eq!(fixture.files().len(), 1, "what is not finished stays");
    finish_all(&mut consumer, &first);
    tidy(&mut consumer, 21);
    tidy(&mut consumer, 30);
    assert_eq!(fixture.files().len(), 1, "nine seconds are not ten");
    tidy(&mut consumer, 31);
    assert_eq!(fixture.files().len(), 0, "{:?}", fixture.files());
    post(&strans, &fixture.queue, "1");
    post(&fixture.transit, &fixture.queue, "2");
    let more = take_and_finish(&mut consumer);
    assert_eq!(bodies(&more), ["1", "2"]);
    assert_eq!(more.iter().map(|taken| taken.count).collect::<Vec<_>>(), [2, 3]);
    assert!(more[0].end > first[0].end && more[0].lane == first[0].lane);
    tidy(&mut consumer, 32);
    tidy(&mut consumer, 42);
    assert_eq!(fixture.files().len(), 0, "{:?}", fixture.files());
    drop(consumer);
    post(&strans, &fixture.queue, "3");
    let last = drain(&mut fixture.consumer());
    assert_eq!((bodies(&last), last[0].count), (numbers(3..4), 4));
    assert_eq!(fixture.consumer().incidents(), []);
}

#[test]
fn the_lane_of_a_dead_process_keeps_only_the_segment_of_its_last_tag() {
    for (name, kept) in [("process:main", 0), ("task:A", 1)] {
        let fixture = Fixture::new();
        let (mut consumer, now) = (fixture.consumer(), Instant::now());
        let dead = Transit::open(fixture.directory.path()).unwrap();
        let sender = dead.sender(&fixture.queue, &lane(name)).unwrap();
        append_numbers(&sender, 0..600);
        let tag = Some(Tag { epoch: 1, n: 1, index: 1 });
        sender.append(&Outgoing { tag, ..out(b"600") }).unwrap();
        drop((sender, dead));
        assert!(fixture.files().len() >= 2, "{:?}", fixture.files());
        take_and_finish(&mut consumer);
        consumer.tidy_at(now, TEN).unwrap();
        consumer.tidy_at(now + TEN, TEN).unwrap();
        assert_eq!(fixture.files().len(), kept, "{name}: {:?}", fixture.files());
        let last = fixture.transit.last_tag(&fixture.queue, &lane(name)).unwrap();
        assert_eq!(last, tag.filter(|_| kept == 1));
        let later = Transit::open(fixture.directory.path()).unwrap();
        append_numbers(&later.sender(&fixture.queue, &lane(name)).unwrap(), 601..700);
        let taken = drain(&mut consumer);
        assert_eq!((bodies(&taken), taken[98].count), (numbers(601..700), 700));
        assert_eq!(consumer.incidents(), []);
    }
}

#[test]
fn a_lane_with_a_writer_is_left_to_it() {
    let fixture = Fixture::new();
    let (other, now) = (Transit::open(fixture.directory.path()).unwrap(), Instant::now());
    for transit in [&fixture.transit, &other] {
        let sender = transit.sender(&fixture.queue, &lane("process:main")).unwrap();
        let mut consumer = fixture.consumer();
        append_numbers(&sender, 0..10);
        take_and_finish(&mut consumer);
        consumer.tidy_at(now, TEN).unwrap();
        consumer.tidy_at(now + TEN, TEN).unwrap();
        assert_eq!(fixture.files().len(), 1, "its writer may write on in it");
        append_numbers(&sender, 10..20);
        assert_eq!(bodies(&take_and_finish(&mut consumer)), numbers(10..20));
        drop(sender);
        consumer.tidy_at(now + TEN * 2, TEN).unwrap();
        consumer.tidy_at(now + TEN * 3, TEN).unwrap();
        assert_eq!(fixture.files().len(), 0, "{:?}", fixture.files());
    }
}

#[test]
fn a_consumer_that_tidies_all_the_while_loses_nothing_of_what_is_sent_meanwhile() {
    const EACH: u32 = 300;
    let fixture = Fixture::new();
    let mut transits: Vec<_> = (0..3).map(|_| Transit::open(fixture.directory.path()).unwrap()).collect();
    transits.push(fixture.transit.clone());
    let (mut consumer, deadline) = (fixture.consumer(), Instant::now() + Duration::from_secs(60));
    let mut next: BTreeMap<u32, u32> = BTreeMap::new();
    std::thread::scope(|scope| {
        for (who, transit) in transits.iter().enumerate() {
            let queue = &fixture.queue;
            scope.spawn(move || (0..EACH).for_each(|n| post(transit, queue, &format!("{who} {n}"))));
        }
        while next.values().sum::<u32>() < EACH * 4 {
            assert!(Instant::now() < deadline, "{next:?}");
            for body in bodies(&take_and_finish(&mut consumer)) {
                let (who, n) = body.split_once(' ').unwrap();
                let expected = next.entry(who.parse().unwrap()).or_default();
                assert_eq!(n, expected.to_string(), "order of sender {who}");
                *expected += 1;
            }
            consumer.tidy_at(Instant::now(), Duration::ZERO).unwrap();
        }
    });
    assert_eq!(consumer.incidents(), []);
    consumer.tidy_at(Instant::now(), Duration::ZERO).unwrap();
    consumer.tidy_at(Instant::now(), Duration::ZERO).unwrap();
    assert_eq!(fixture.files().len(), 0, "{:?}", fixture.files());
}
