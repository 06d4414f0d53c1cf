//! The queue against a list: whatever is done in whatever order, what is taken is what the list says.

use std::time::{Duration, Instant};

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::super::*;
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Take,
    Finish(u8),
    ReopenSender,
    ReopenConsumer,
    Tidy,
    Boot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => prop_oneof![0_usize..300, Just(0), 2000_usize..9000, Just(40_000)].prop_map(Step::Append),
        4 => Just(Step::Take),
        3 => any::<u8>().prop_map(Step::Finish),
        1 => Just(Step::ReopenSender),
        1 => Just(Step::ReopenConsumer),
        1 => Just(Step::Tidy),
        1 => Just(Step::Boot),
    ];
    proptest::collection::vec(step, 1..150)
}

/// A queue and the list that says what it holds.
struct Run {
    fixture: Fixture,
    transit: Transit,
    sender: Option<Sender>,
    consumer: Option<Consumer>,
    overflow: Overflow,
    /// The bodies' lengths; body `n` says `n`.
    sent: Vec<usize>,
    /// Numbers taken and not finished, with what finishes them.
    open: Vec<(usize, Taken)>,
    /// The next number to be taken, and the first not finished.
    read: usize,
    finished: usize,
    seconds: u64,
    boots: u64,
}

const MAX_MESSAGES: u64 = 60;

impl Run {
    fn new(overflow: Overflow) -> Self {
        let fixture = Fixture::new();
        fixture.set(|settings| {
            (settings.max_messages, settings.max_bytes, settings.overflow) = (MAX_MESSAGES, 200_000, overflow);
        });
        let transit = fixture.transit.clone();
        let (sent, open) = (Vec::new(), Vec::new());
        let (read, finished, seconds, boots) = (0, 0, 0, 0);
        Self { fixture, transit, sender: None, consumer: None, overflow, sent, open, read, finished, seconds, boots }
    }

    fn sender(&mut self) -> &Sender {
        let (transit, queue) = (&self.transit, &self.fixture.queue);
        self.sender.get_or_insert_with(|| transit.sender(queue, &lane("process:main")).unwrap())
    }

    fn body(n: usize, len: usize) -> Vec<u8> {
        let mut body = vec![n.to_le_bytes()[0]; len];
        body.extend_from_slice(&n.to_le_bytes());
        body
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(len) => self.append(*len),
            Step::Take => self.take(),
            Step::Finish(share) => self.finish(*share),
            Step::ReopenSender => self.sender = None,
            Step::ReopenConsumer => self.close_consumer(),
            Step::Tidy => {
                self.seconds += 11;
                let now = Instant::now() + Duration::from_secs(self.seconds);
                self.transit.tidy_at(now).unwrap();
                // Twice: it goes by what it saw the time before.
                if let Some(consumer) = &mut self.consumer {
                    consumer.tidy_at(now, Duration::ZERO).unwrap();
                    consumer.tidy_at(now, Duration::ZERO).unwrap();
                }
            }
            Step::Boot => {
                self.close_consumer();
                self.sender = None;
                self.boots += 1;
                self.transit = Transit::open_in_boot(self.fixture.directory.path(), [7, self.boots]).unwrap();
            }
        }
    }

    fn append(&mut self, len: usize) {
        let body = Self::body(self.sent.len(), len);
        match self.sender().append(&out(&body)) {
            Ok(()) => self.sent.push(len),
            Err(AppendError::Full { messages, bytes, .. }) => {
                assert_eq!(self.overflow, Overflow::Block);
                assert_eq!(messages, (self.sent.len() - self.finished) as u64, "it counts what is not finished");
                assert!(messages == MAX_MESSAGES || bytes + len as u64 + 56 > 200_000, "there was room");
            }
            Err(error) => panic!("{error}"),
        }
        let held = self.transit.status(&self.fixture.queue).unwrap().unwrap();
        assert!(held.messages <= MAX_MESSAGES && held.bytes <= 200_000 + 40_100, "the bound is kept");
    }

    fn take(&mut self) {
        if self.consumer.is_none() {
            self.consumer = Some(self.fixture.consumer_of(&self.transit).unwrap());
        }
        let mut batch = Vec::new();
        let taken = self.consumer.as_mut().unwrap().take(&mut batch).unwrap();
        assert_eq!(taken, batch.len());
        assert!(taken > 0 || self.read == self.sent.len(), "{} of {} were read", self.read, self.sent.len());
        for taken in batch {
            let n = usize::try_from(taken.count).unwrap() - 1;
            match self.overflow {
                Overflow::DropOldest => assert!(n >= self.read, "older than what was read"),
                _ => assert_eq!(n, self.read),
            }
            assert_eq!(taken.body.as_ref(), Self::body(n, self.sent[n]), "message {n}");
            self.read = n + 1;
            self.open.push((n, taken));
        }
    }

    fn finish(&mut self, share: u8) {
        let count = self.open.len() * usize::from(share) / 255;
        for (n, taken) in self.open.drain(..count) {
            self.consumer.as_mut().unwrap().finish(taken.lane, taken.end, taken.count);
            self.finished = n + 1;
        }
    }

    fn close_consumer(&mut self) {
        self.consumer = None;
        self.open.clear();
        self.read = self.finished;
    }
}

fn check(overflow: Overflow, steps: &[Step]) {
    let mut run = Run::new(overflow);
    for step in steps {
        run.step(step);
    }
    while run.read < run.sent.len() {
        run.take();
    }
    let incidents = run.consumer.as_mut().map(Consumer::incidents).unwrap_or_default();
    let expected =
        |fact: &Incident| overflow == Overflow::DropOldest && matches!(fact, Incident::Gap { dropped: true, .. });
    assert!(incidents.iter().all(expected), "{incidents:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_is_a_list_whatever_is_done_to_it(steps in steps()) {
        check(Overflow::Block, &steps);
    }

    #[test]
    fn a_queue_that_drops_its_oldest_is_the_end_of_a_list(steps in steps()) {
        check(Overflow::DropOldest, &steps);
    }
}
