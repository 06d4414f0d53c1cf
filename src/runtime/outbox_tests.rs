//! Output that is diverted, over crashes, writes that fail and rollbacks: each message is in its queue or in `dead`,
//! once in all, and in order in each.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::dead;
use super::ledger::{Emitted, Ledger};
use super::sent::Sent;
use super::switchboard::Destination;
use crate::config::Delivery;
use crate::fields;
use crate::message::Message;
use crate::name::{QueueName, TaskName};
use crate::store::Record;
use crate::transit::{Bell, Consumer, Overflow, Reader, Settings, Transit};
use crate::value::View;

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// A stateful task of which only the output is there: its input is the numbers, its state the next one.
struct World {
    _place: tempfile::TempDir,
    transit: Transit,
    task: TaskName,
    queues: [QueueName; 4],
    consumers: Vec<Consumer>,
    came: HashMap<QueueName, Vec<i64>>,
    ledger: Arc<Ledger>,
    /// What is on disk, and the next number by it.
    written: (Record, i64),
    next: i64,
}

fn number(message: &Message) -> i64 {
    message.get("n").and_then(View::as_i64).unwrap()
}

fn open(transit: &Transit, task: &TaskName, record: &Record) -> Arc<Ledger> {
    let sent = Sent::look(transit, task, record).unwrap();
    let ledger = Arc::new(Ledger::open(transit.clone(), task.clone(), record, &sent, Arc::new(Notify::new())));
    ledger.set_delivery(Delivery::ExactlyOnce);
    ledger
}

impl World {
    fn new(dead_holds: u64) -> Self {
        let place = tempfile::tempdir().unwrap();
        let transit = Transit::open(place.path()).unwrap();
        let queues = ["diverts", "blocks", "diverts2"].map(|name| QueueName::new(name).unwrap());
        let [diverts, blocks, diverts2] = queues;
        let queues = [diverts, blocks, diverts2, dead::queue()];
        let small = |max_messages, overflow| Settings { max_messages, overflow, ..Settings::default() };
        let settings = [
            small(3, Overflow::DeadLetter),
            small(4, Overflow::Block),
            small(2, Overflow::DeadLetter),
            small(dead_holds, Overflow::DropOldest),
        ];
        let reader = Reader { bell: Bell::open(&transit).unwrap(), waker: None, description: String::new() };
        let consumer = |(queue, settings): (_, &_)| transit.consumer(queue, Some(settings), &reader).unwrap();
        let consumers = queues.iter().zip(&settings).map(consumer).collect();
        let task = TaskName::new("Task").unwrap();
        let record = Record { epoch: 7, n: 1, ..Record::default() };
        let ledger = open(&transit, &task, &record);
        let (came, written) = (HashMap::new(), (record, 0));
        Self { _place: place, transit, task, queues, consumers, came, ledger, written, next: 0 }
    }

    fn emit(&mut self, random: &mut Random) {
        let n = self.next;
        // Which queue a number goes to is a matter of the number, as in a task that is run again.
        let queue = self.queues[usize::try_from(n.wrapping_mul(7) / 3 % 3).unwrap()].clone();
        let message = Message::new(fields! { n: n });
        if random.below(12) == 0 {
            let entered = self.ledger.bury(None, dead::letter(&message, "Task", "told to fail"));
            assert!(entered.refused.is_empty());
        } else {
            let to = Destination::Transit(queue);
            self.ledger.enter(None, std::iter::once(Emitted { to, message }));
        }
        self.next += 1;
    }

    /// Forms the next record and writes it, or not. What is killed in the middle of a write has written it, or not.
    fn commit(&mut self, random: &mut Random) {
        let mut record = Record { epoch: 7, n: self.written.0.n + 1, ..Record::default() };
        self.ledger.snapshot(&mut record);
        match random.below(6) {
            0 => {}
            1 => {
                if random.below(2) == 0 {
                    self.written = (record, self.next);
                }
                self.crash();
            }
            _ => {
                let n = record.n;
                self.written = (record, self.next);
                if random.below(6) > 0 {
                    self.ledger.seal(n);
                } else {
                    self.crash();
                }
            }
        }
    }

    fn crash(&mut self) {
        self.ledger.release();
        self.next = self.written.1;
        self.ledger = open(&self.transit, &self.task, &self.written.0);
    }

    fn roll_back(&mut self) {
        self.ledger.roll_back();
        self.next = self.written.1;
    }

    fn read(&mut self, queue: usize) {
        let (mut batch, consumer) = (Vec::new(), &mut self.consumers[queue]);
        while consumer.take(&mut batch).unwrap() > 0 {}
        let came = self.came.entry(self.queues[queue].clone()).or_default();
        for taken in batch {
            consumer.finish(taken.lane, taken.end, taken.count);
            came.push(number(&Message::from_encoded(taken.stamp, taken.body).unwrap()));
        }
    }

    fn step(&mut self, random: &mut Random, dead_is_read: bool) {
        match random.below(20) {
            0..8 => self.emit(random),
            8..12 => drop(self.ledger.append_sealed()),
            12..16 => self.commit(random),
            16 => self.crash(),
            17 => self.roll_back(),
            _ => {
                let queue = usize::try_from(random.below(4)).unwrap();
                if queue < 3 || dead_is_read {
                    self.read(queue);
                }
            }
        }
    }

    /// Until nothing waits any more.
    fn settle(&mut self) {
        // After a write that failed the actor tries again, whatever the ledger says.
        let mut again = true;
        while again {
            let mut record = Record { epoch: 7, n: self.written.0.n + 1, ..Record::default() };
            self.ledger.snapshot(&mut record);
            let n = record.n;
            self.written = (record, self.next);
            self.ledger.seal(n);
            assert!(self.ledger.append_sealed().refused.is_empty());
            (0..3).for_each(|queue| self.read(queue));
            again = self.ledger.take_changed() || self.ledger.has_sealed();
        }
        self.read(3);
    }
}

/// Runs one world. Nobody reads a `dead` that drops its oldest again and again, so that less of it comes.
fn run(seed: u64, dead_is_read: bool) {
    let world = World::new(if dead_is_read { 10_000 } else { 12 });
    let (mut world, mut random) = (world, Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
    for _ in 0..300 {
        world.step(&mut random, dead_is_read);
    }
    world.settle();
    for (queue, came) in &world.came {
        assert!(came.is_sorted_by(|one, next| one < next), "seed {seed}: {queue} holds {came:?}");
    }
    let mut all: Vec<i64> = world.came.values().flatten().copied().collect();
    all.sort_unstable();
    let doubled = all.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(doubled, None, "seed {seed}: a message is in two queues: {:?}", world.came);
    if dead_is_read {
        let missing = (0..world.next).find(|n| all.binary_search(n).is_err());
        assert_eq!(missing, None, "seed {seed}: {:?}", world.came);
    }
}

#[test]
fn what_overflow_diverts_is_in_its_queue_or_in_dead_once_whatever_is_killed_and_when() {
    (1..=60).for_each(|seed| run(seed, true));
}

#[test]
fn what_overflow_diverts_goes_out_once_although_dead_drops_its_oldest() {
    (1..=60).for_each(|seed| run(seed, false));
}
