//! The two ends of the pipeline: numbers go in, and come out.

use std::time::Duration;

use multimodule::message::{Message, Stamp};
use multimodule::name::LaneName;
use multimodule::transit::{AppendError, Bell, Consumer, Outgoing, Reader, Sender, Transit};

use crate::place::{queue_name, task_name};
use crate::tally::Tally;
use crate::tasks::{BESIDE, COUNTERS, OUT, message, number};

/// So many numbers at most are on their way: enough to fill segments, few enough to be through soon.
const AHEAD: i64 = 600;
/// So many are sent at once.
const BURST: i64 = 50;
/// How long a look waits for what comes out.
const WAIT: Duration = Duration::from_millis(1);

/// What came out so far.
#[derive(Debug, Default)]
pub(crate) struct Came {
    pub(crate) sent: i64,
    pub(crate) out: Tally,
    /// What came out beside, by queue.
    beside: [Beside; 2],
}

/// What came out of one queue, in any order.
#[derive(Debug, Default)]
struct Beside {
    /// By number, whether it came out.
    came: Vec<bool>,
    /// How many did.
    all: i64,
}

impl Came {
    /// Whether everything is through.
    pub(crate) fn is_quiet(&self) -> bool {
        self.through() == self.sent
    }

    /// So many numbers are through everywhere.
    fn through(&self) -> i64 {
        self.beside.iter().map(|beside| beside.all).fold(self.out.highest, i64::min)
    }
}

impl Beside {
    fn count(&mut self, n: i64) {
        let at = usize::try_from(n).unwrap();
        if self.came.len() <= at {
            self.came.resize(at + 1, false);
        }
        if !std::mem::replace(&mut self.came[at], true) {
            self.all += 1;
        }
    }
}

impl std::fmt::Display for Came {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [beside, pooled] = [0, 1].map(|at| self.beside[at].all);
        write!(f, "{} sent, {beside} came out beside, {pooled} of the pool, {:?}", self.sent, self.out)
    }
}

/// The open ends.
pub(crate) struct Flow {
    sender: Sender,
    out: Consumer,
    beside: [Consumer; 2],
}

impl Flow {
    pub(crate) fn open(transit: &Transit) -> Self {
        let sender = transit.sender(&queue_name(COUNTERS[0]), &LaneName::Process(task_name("test"))).unwrap();
        let consumer = |queue| {
            let bell = Bell::open(transit).unwrap();
            let reader = Reader { bell, waker: None, description: "the test".to_owned() };
            transit.consumer(&queue_name(queue), None, &reader).unwrap()
        };
        Self { sender, out: consumer(OUT), beside: BESIDE.map(consumer) }
    }

    /// Sends numbers up to `last` as far as not too many are on their way.
    pub(crate) fn send(&self, came: &mut Came, last: i64) {
        for _ in 0..BURST.min(AHEAD - (came.sent - came.through())).min(last - came.sent) {
            let message = message(came.sent + 1);
            match self.sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: message.encoded().unwrap() }) {
                Ok(()) => came.sent += 1,
                Err(AppendError::Full { .. }) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Takes what came out.
    pub(crate) fn take(&mut self, came: &mut Came) {
        self.out.wait(WAIT).unwrap();
        for n in take(&mut self.out) {
            came.out.count(n);
        }
        for (consumer, beside) in self.beside.iter_mut().zip(&mut came.beside) {
            take(consumer).into_iter().for_each(|n| beside.count(n));
        }
    }
}

fn take(consumer: &mut Consumer) -> Vec<i64> {
    let mut batch = Vec::new();
    while consumer.take(&mut batch).unwrap() > 0 {}
    let incidents = consumer.incidents();
    assert!(incidents.is_empty(), "{incidents:?}");
    let numbers = batch.into_iter().map(|taken| {
        consumer.finish(taken.lane, taken.end, taken.count);
        number(&Message::from_encoded(taken.stamp, taken.body).unwrap()).unwrap()
    });
    numbers.collect()
}
