//! The queues of a world, through the library: what is sent without a program, and what a queue holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use multimodule::config::parse_message;
use multimodule::message::Message;
use multimodule::name::QueueName;
use multimodule::transit::{Bell, Outgoing, Reader, Transit};
use multimodule::value::Map;

use crate::world::{SOON, World};

/// How long one sender waits for the others.
const LANE_WAIT: Duration = Duration::from_secs(10);

impl World {
    /// Puts a message on a queue, as `strans` does.
    pub(crate) fn send(&self, text: &str, queue: &str) {
        let fields = parse_message("a spec's message", text).unwrap_or_else(|fault| panic!("{fault}"));
        let message = Message::new(fields);
        self.append(queue, message.stamp(), message.encoded().expect("a spec's message is flat"));
    }

    /// Puts bytes on a queue that are no message.
    pub(crate) fn send_bytes(&self, bytes: &[u8], queue: &str) {
        self.append(queue, Message::new(Map::new()).stamp(), bytes);
    }

    fn append(&self, queue: &str, stamp: multimodule::message::Stamp, body: &[u8]) {
        let out = Outgoing { stamp, tag: None, body };
        let kept = self.open_transit().append_once(&queue_name(queue), &out, LANE_WAIT);
        kept.unwrap_or_else(|refusal| panic!("{refusal}"));
    }

    /// Takes `count` messages off a queue that nobody else reads.
    pub(crate) fn take(&self, queue: &str, count: usize, deadline: Duration) -> Vec<Map> {
        let transit = self.open_transit();
        let bell = Bell::open(&transit).expect("the transit takes a bell");
        let reader = Reader { bell, waker: None, description: "a spec".to_owned() };
        let mut consumer = transit.consumer(&queue_name(queue), None, &reader).expect("nobody else reads it");
        let end = Instant::now() + deadline;
        let (mut messages, mut batch) = (Vec::new(), Vec::new());
        while messages.len() < count {
            consumer.take(&mut batch).expect("the queue can be read");
            for taken in batch.drain(..) {
                consumer.finish(taken.lane, taken.end, taken.count);
                let message = Message::from_encoded(taken.stamp, taken.body).expect("the queue holds messages");
                messages.push(message.into_fields());
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(messages.len() >= count || !left.is_zero(), "{queue} held only {messages:?}");
            if messages.len() < count {
                consumer.wait(left).expect("the bell can be heard");
            }
        }
        messages
    }

    /// The numbers in the messages that wait on a queue, by `from`, in their order.
    pub(crate) fn emitted(&self, queue: &str) -> BTreeMap<String, Vec<i64>> {
        let mut emitted: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for message in self.take(queue, usize::try_from(self.waiting(queue)).expect("64 bits"), SOON) {
            let field = |key| message.get(key).map(|value| value.view());
            let (from, n) = (field("from").and_then(|from| from.as_text()), field("n").and_then(|n| n.as_i64()));
            emitted.entry(from.expect("a text").to_owned()).or_default().push(n.expect("a number"));
        }
        emitted
    }

    /// How many messages a queue holds; none where there is no queue.
    pub(crate) fn waiting(&self, queue: &str) -> u64 {
        let status = self.open_transit().status(&queue_name(queue)).expect("the queue can be looked at");
        status.map_or(0, |status| status.messages)
    }

    /// All queues there are.
    pub(crate) fn queues(&self) -> Vec<String> {
        let queues = self.open_transit().queues().expect("the transit can be looked at");
        queues.iter().map(|queue| queue.as_str().to_owned()).collect()
    }

    fn open_transit(&self) -> Transit {
        Transit::open(&self.transit()).expect("the world's transit can be opened")
    }
}

fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).expect("a spec's queue has a name")
}
