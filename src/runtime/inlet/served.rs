//! One queue of a stateless task, while the inlet serves it.
//!
//! ```text
//!   serving ──pause──► takes nothing more ──leave, and nothing of it is under way──► given back
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::dead;
use super::super::delivery::{Delivery, Origin};
use super::super::office::Office;
use super::super::watermark::{Lane, Waker, Watermark};
use super::Service;
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::name::LaneName;
use crate::transit::{Consumer, Error, LaneId, POISON, Taken};

/// See the module.
pub(super) struct Served {
    consumer: Consumer,
    pub(super) service: Service,
    watermark: Arc<Watermark>,
    /// The lane that was visited last.
    lane: Option<Arc<Lane>>,
    /// Taken and not handed out: behind an input that waits to go to `dead`.
    taken: VecDeque<Taken>,
    /// Takes nothing more.
    paused: bool,
    /// Who waits until it is given back, which it is as soon as nothing of it is under way.
    left: Option<oneshot::Sender<()>>,
    /// Why nothing could be taken last time. Nobody rings for that: it is tried again each second.
    fault: Option<String>,
}

impl Served {
    pub(super) fn new(consumer: Consumer, service: Service, wake: Waker) -> Self {
        let watermark = Arc::new(Watermark::new(service.window / 2, wake));
        Self {
            consumer,
            service,
            watermark,
            lane: None,
            taken: VecDeque::new(),
            paused: false,
            left: None,
            fault: None,
        }
    }

    /// Whether it is this mailbox that it fills.
    pub(super) fn fills(&self, mailbox: &Arc<Mailbox<Delivery>>) -> bool {
        Arc::ptr_eq(&self.service.mailbox, mailbox)
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
        let mut batch = Vec::new();
        while !quiet && !self.paused && self.hand_out(office) && self.watermark.open() < self.service.window {
            match self.consumer.take(&mut batch) {
                Ok(0) => {
                    self.fault = None;
                    if self.consumer.prepare_sleep() {
                        return;
                    }
                }
                Ok(_) => {
                    self.fault = None;
                    self.taken.extend(batch.drain(..));
                }
                Err(error) => return self.put_off(&error),
            }
        }
    }

    /// Hands out what was taken; false when it must wait before an input that goes to `dead`. That comes alone: there
    /// is one suspect per lane, so until it is finished there is no room for another.
    fn hand_out(&mut self, office: &Office) -> bool {
        while !self.paused
            && let Some(taken) = self.taken.pop_front()
        {
            let is_poison = taken.ended + self.ended_before(&taken) >= POISON;
            if is_poison && self.watermark.open() > 0 {
                self.taken.push_front(taken);
                return false;
            }
            self.hand_out_one(taken, is_poison, office);
            if is_poison {
                self.finish();
            }
        }
        true
    }

    fn hand_out_one(&mut self, taken: Taken, is_poison: bool, office: &Office) {
        let lane = self.lane(taken.lane);
        let token = self.watermark.begin(lane, taken.end, taken.count);
        let queue = self.consumer.queue();
        let task = queue.as_str();
        match Message::from_encoded(taken.stamp, taken.body) {
            Ok(message) if is_poison => {
                let reason = dead::poison();
                tracing::error!(task, "{queue}: a message goes to `dead`: {reason}");
                dead::bury(office, &message, task, &reason);
                token.done();
            }
            Ok(message) => {
                let delivery = Delivery { message, origin: Some(Origin::Input(token)) };
                if let Err(delivery) = self.service.mailbox.push_unbounded(delivery) {
                    // The task is leaving: its inputs from here on stay unfinished, and are taken again elsewhere.
                    delivery.leave_behind();
                    self.pause();
                }
            }
            Err(error) => {
                tracing::error!("queue {queue} held a message that cannot be read: {error}");
                dead::bury(office, &Message::new(crate::value::Map::new()), task, &error.to_string());
                token.done();
            }
        }
    }

    /// How many workers ended on it in other queues of the pool.
    fn ended_before(&self, taken: &Taken) -> u64 {
        let dealt_again = taken.tag.filter(|tag| tag.index > 0);
        let by_dealer = |dealer: &LaneName| self.consumer.is_named(taken.lane, dealer);
        dealt_again.filter(|_| self.service.dealer.as_ref().is_some_and(by_dealer)).map_or(0, |tag| tag.index)
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
