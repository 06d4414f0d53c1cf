//! One transit queue of a stateless task, while the inlet serves it.
//!
//! ```text
//!   serving ──pause──► takes nothing more ──leave, and nothing of it is under way──► given back
//! ```

use std::sync::Arc;

use tokio::sync::oneshot;

use super::dead;
use super::delivery::{Delivery, Origin};
use super::office::Office;
use super::watermark::{Lane, Waker, Watermark};
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::transit::{Consumer, Error, LaneId, Taken};

/// How many inputs of one queue may be under way: one visit of the consumer.
const WINDOW: usize = 256;

/// A queue that is served.
pub(super) struct Served {
    consumer: Consumer,
    mailbox: Arc<Mailbox<Delivery>>,
    watermark: Arc<Watermark>,
    /// The lane that was visited last.
    lane: Option<Arc<Lane>>,
    /// Takes nothing more.
    paused: bool,
    /// Who waits until it is given back, which it is as soon as nothing of it is under way.
    left: Option<oneshot::Sender<()>>,
    /// Why nothing could be taken last time. Nobody rings for that: it is tried again each second.
    fault: Option<String>,
}

impl Served {
    /// Serves what `consumer` takes into `mailbox`; `waker` is called when there is room for more.
    pub(super) fn new(consumer: Consumer, mailbox: Arc<Mailbox<Delivery>>, waker: Waker) -> Self {
        let watermark = Arc::new(Watermark::new(WINDOW / 2, waker));
        Self { consumer, mailbox, watermark, lane: None, paused: false, left: None, fault: None }
    }

    /// Whether it is this mailbox that it fills.
    pub(super) fn fills(&self, mailbox: &Arc<Mailbox<Delivery>>) -> bool {
        Arc::ptr_eq(&self.mailbox, mailbox)
    }

    /// Takes nothing more, and goes on finishing what is under way.
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    /// The queue is to be given back; `left` is told.
    pub(super) fn leave(&mut self, left: oneshot::Sender<()>) {
        self.pause();
        self.left = Some(left);
    }

    /// Whether the queue is to be given back, and nothing of it is under way.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_some() && self.watermark.open() == 0
    }

    /// Publishes what was finished, and hands out more as far as the window allows. Afterwards either a ring or the
    /// watermark brings it back.
    pub(super) fn visit(&mut self, office: &Office, quiet: bool) {
        self.finish();
        let mut taken = Vec::new();
        while !quiet && !self.paused && self.watermark.open() < WINDOW {
            match self.consumer.take(&mut taken) {
                Ok(0) => {
                    self.fault = None;
                    if self.consumer.prepare_sleep() {
                        return;
                    }
                }
                Ok(_) => {
                    self.fault = None;
                    self.hand_out(&mut taken, office);
                }
                Err(error) => return self.put_off(&error),
            }
        }
    }

    fn hand_out(&mut self, taken: &mut Vec<Taken>, office: &Office) {
        for taken in taken.drain(..) {
            let lane = self.lane(taken.lane);
            let token = self.watermark.begin(lane, taken.end, taken.count);
            if self.paused {
                token.abandon();
                continue;
            }
            match Message::from_encoded(taken.stamp, taken.body) {
                Ok(message) if taken.poison => {
                    let queue = self.consumer.queue().as_str();
                    let reason = dead::poison();
                    tracing::error!(task = queue, "{queue}: a message goes to `dead`: {reason}");
                    dead::bury(office, &message, queue, &reason);
                    token.done();
                }
                Ok(message) => {
                    let delivery = Delivery { message, origin: Some(Origin::Input(token)) };
                    if let Err(delivery) = self.mailbox.push_unbounded(delivery) {
                        // The task is leaving: its inputs from here on stay unfinished, and are taken again elsewhere.
                        delivery.leave_behind();
                        self.pause();
                    }
                }
                Err(error) => {
                    let queue = self.consumer.queue().as_str();
                    tracing::error!("queue {queue} held a message that cannot be read: {error}");
                    dead::bury(office, &Message::new(crate::value::Map::new()), queue, &error.to_string());
                    token.done();
                }
            }
        }
    }

    fn lane(&mut self, id: LaneId) -> Arc<Lane> {
        if let Some(lane) = self.lane.as_ref().filter(|lane| lane.id() == id) {
            return lane.clone();
        }
        let under_way = self.consumer.under_way(id).expect("an input was taken from this lane");
        self.lane.insert(self.watermark.lane(under_way)).clone()
    }

    /// What cannot be taken now is reported once, and tried again.
    fn put_off(&mut self, error: &Error) {
        let text = error.to_string();
        if self.fault.as_ref() != Some(&text) {
            tracing::error!("{text}");
            self.fault = Some(text);
        }
    }

    pub(super) fn finish(&mut self) {
        for finished in self.watermark.finished() {
            self.consumer.finish(finished.lane, finished.position, finished.count);
        }
    }

    /// Once a second: are the files still the ones that the path names, and did something happen to the queue?
    pub(super) fn look_after(&mut self, office: &Office, quiet: bool) {
        // What is done is finished now and then also while something else takes long.
        self.finish();
        match self.consumer.check_replaced() {
            Ok(false) if self.fault.is_some() => self.visit(office, quiet),
            // Nobody rings for files that nobody finds any more: this visit goes on with the new ones.
            Ok(true) => self.visit(office, quiet),
            Ok(false) => {}
            Err(error) => tracing::error!("{error}"),
        }
        if let Err(error) = self.consumer.tidy() {
            tracing::error!("{error}");
        }
        for incident in self.consumer.incidents() {
            tracing::error!("{incident}");
        }
    }
}
