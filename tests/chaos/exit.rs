//! The exit of the ring: the test itself reads that queue, and sees every number.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use multimodule::message::Message;
use multimodule::sdk::View;
use multimodule::transit::{Bell, Consumer, Reader, Transit};

use crate::place::queue_name;
use crate::tally::Tally;

/// The exit's queue.
pub(crate) const EXIT: &str = "exit";
/// How long a wait for messages lasts: the reader ends as soon after it was told to.
const WAIT: Duration = Duration::from_millis(20);

/// What came out, of one sender.
#[derive(Debug, Default, Clone)]
pub(crate) struct Came {
    pub(crate) tally: Tally,
    /// The numbers that were left out each time a higher one came.
    pub(crate) jumps: Vec<RangeInclusive<i64>>,
    /// Those of them that have not come since.
    pub(crate) missing: BTreeSet<i64>,
}

/// What came out, by sender.
pub(crate) type Out = BTreeMap<String, Came>;

/// A thread that reads the exit.
#[derive(Debug)]
pub(crate) struct Exit {
    out: Arc<Mutex<Out>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exit {
    pub(crate) fn read(transit: Transit) -> Self {
        let out = Arc::new(Mutex::new(Out::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader { bell: Bell::open(&transit).unwrap(), waker: None, description: "the test".to_owned() };
        let consumer = transit.consumer(&queue_name(EXIT), None, &reader).unwrap();
        let (shared, told) = (out.clone(), stop.clone());
        let thread = std::thread::spawn(move || read_all(consumer, &shared, &told));
        Self { out, stop, thread: Some(thread) }
    }

    pub(crate) fn so_far(&self) -> Out {
        lock(&self.out).clone()
    }

    /// Up to which number of `sender` all came out.
    pub(crate) fn highest(&self, sender: &str) -> i64 {
        lock(&self.out).get(sender).map_or(0, |came| came.tally.highest)
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            println!("the reader of the exit has panicked");
        }
    }
}

fn lock(out: &Mutex<Out>) -> MutexGuard<'_, Out> {
    out.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_all(mut consumer: Consumer, out: &Mutex<Out>, stop: &AtomicBool) {
    let mut batch = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        consumer.wait(WAIT).unwrap();
        // What cannot be opened while somebody removes it is looked at again.
        drop(consumer.check_replaced());
        while consumer.take(&mut batch).is_ok_and(|taken| taken > 0) {}
        let mut out = lock(out);
        for taken in batch.drain(..) {
            let message = Message::from_encoded(taken.stamp, taken.body).unwrap();
            let from = message.get("from").and_then(View::as_text).unwrap();
            let n = message.get("n").and_then(View::as_i64).unwrap();
            let came = out.entry(from.to_owned()).or_default();
            let before = came.tally.highest;
            if came.tally.count(n) > 0 {
                came.jumps.push(before + 1..=n - 1);
                came.missing.extend(before + 1..n);
            }
            came.missing.remove(&n);
            consumer.finish(taken.lane, taken.end, taken.count);
        }
    }
}
