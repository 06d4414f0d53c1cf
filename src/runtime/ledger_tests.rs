//! The ledger across writes that fail.

use std::sync::Arc;

use tokio::sync::Notify;

use super::ledger::Ledger;
use super::sent::Sent;
use crate::message::Message;
use crate::name::{LaneName, QueueName, TaskName};
use crate::store::{OutboxEntry, Record};
use crate::transit::{Bell, Consumer, Reader, Settings, Transit};

const EPOCH: u64 = 7;

/// A record whose outbox holds `entries` messages for `queue`.
fn record(queue: &QueueName, n: u64, entries: u64) -> Record {
    let message = Message::new(crate::fields! { n: 1 });
    let (stamp, body) = (message.stamp(), message.encoded().unwrap().clone());
    let entry = |index| OutboxEntry { queue: queue.clone(), index, stamp, body: body.clone() };
    Record { epoch: EPOCH, n, outbox: (1..=entries).map(entry).collect(), ..Record::default() }
}

fn take_all(consumer: &mut Consumer) -> usize {
    let mut batch = Vec::new();
    while consumer.take(&mut batch).unwrap() > 0 {}
    batch.iter().for_each(|taken| consumer.finish(taken.lane, taken.end, taken.count));
    batch.len()
}

#[test]
fn sealed_output_goes_out_once_although_a_write_failed_and_a_rollback_followed() {
    let place = tempfile::tempdir().unwrap();
    let transit = Transit::open(place.path()).unwrap();
    let (queue, task) = (QueueName::new("out").unwrap(), TaskName::new("Task").unwrap());
    transit.set_settings(&queue, &Settings { max_messages: 2, ..Settings::default() }).unwrap();
    let bell = Bell::open(&transit).unwrap();
    let reader = Reader { bell, waker: None, description: "a test".to_owned() };
    let mut consumer = transit.consumer(&queue, None, &reader).unwrap();
    let written = record(&queue, 1, 4);
    let open = || {
        let sent = Sent::look(&transit, &task, &written).unwrap();
        Arc::new(Ledger::open(transit.clone(), task.clone(), &written, &sent, Arc::new(Notify::new())))
    };
    let ledger = open();
    assert!(ledger.append_sealed().waits.is_some(), "two of four find room");
    // Record 2 is begun, its write fails, and a panic brings the task back to record 1.
    ledger.snapshot(&mut Record { n: 2, ..Record::default() });
    ledger.roll_back();
    let mut came = take_all(&mut consumer);
    ledger.append_sealed();
    came += take_all(&mut consumer);
    // The process is killed: record 1 is what it goes on from.
    ledger.release();
    let ledger = open();
    ledger.append_sealed();
    came += take_all(&mut consumer);
    assert_eq!(came, 4);
    assert!(transit.lane_counts(&queue, &LaneName::Task(task)).unwrap().is_some_and(|lane| lane.written.1 == 4));
}

#[test]
fn sealed_output_goes_out_when_a_write_succeeds_after_one_that_failed() {
    let place = tempfile::tempdir().unwrap();
    let transit = Transit::open(place.path()).unwrap();
    let (queue, task) = (QueueName::new("out").unwrap(), TaskName::new("Task").unwrap());
    let written = record(&queue, 1, 3);
    let sent = Sent::look(&transit, &task, &written).unwrap();
    let ledger = Ledger::open(transit.clone(), task.clone(), &written, &sent, Arc::new(Notify::new()));
    for _ in 0..2 {
        ledger.snapshot(&mut Record { n: 2, ..Record::default() });
        ledger.append_sealed();
    }
    assert_eq!(transit.last_tag(&queue, &LaneName::Task(task.clone())).unwrap(), None);
    ledger.seal(2);
    ledger.append_sealed();
    let tag = transit.last_tag(&queue, &LaneName::Task(task)).unwrap().unwrap();
    assert_eq!((tag.n, tag.index), (2, 3));
}
