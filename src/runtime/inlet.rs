//! Brings what lies in the transit queues of stateless tasks into their mailboxes.
//!
//! One actor serves all such queues of a process. Of each queue a bounded number of inputs is under way (`served`), so
//! a slow task holds up its own queue and no other. An input is finished in its queue when all that was made of it is done
//! (`watermark`).

mod served;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::delivery::Delivery;
use super::office::Office;
use super::patience::Patience;
use crate::mailbox::Mailbox;
use crate::name::{LaneName, QueueName};
use crate::transit::{Bell, Error, Reader, Settings};

use served::Served;

/// How long a queue is kept for what came of its inputs to be handled in this process. Whoever takes it over waits
/// meanwhile, and loses nothing; only a task that is stuck takes as long.
const CAUSED: Duration = Duration::from_secs(10);
/// How many queues it looks after each second. Two calls into the kernel each: ten thousand idle queues cost nothing
/// that shows, and some hundred are looked after every second.
const LOOKS: usize = 256;

/// How many inputs of one queue may be under way: one visit of the consumer.
pub(super) const WINDOW: usize = 256;

/// Where the inlet gets its orders.
#[derive(Clone)]
pub(super) struct InletHandle(mpsc::Sender<InletRequest>);

/// What the inlet is asked.
enum InletRequest {
    Serve { queue: QueueName, service: Service },
    Pause { queue: QueueName },
    Leave { queue: QueueName, mailbox: Arc<Mailbox<Delivery>>, at_once: bool, left: oneshot::Sender<()> },
    Quiesce,
    Stop { stopped: oneshot::Sender<()> },
}

/// How a queue is served.
#[derive(Clone)]
pub(super) struct Service {
    /// What the queue is told about its bound.
    pub(super) settings: Settings,
    /// How many inputs may be under way before it fetches no more; when half of them are done it finishes those.
    pub(super) window: usize,
    /// Where its messages go.
    pub(super) mailbox: Arc<Mailbox<Delivery>>,
    /// The lane of a pool's dispatcher, whose tags say how many workers ended on a message before.
    pub(super) dealer: Option<LaneName>,
}

/// The queues that rang.
#[derive(Default)]
struct Rung {
    queues: Mutex<BTreeSet<QueueName>>,
    some: Notify,
}

impl Rung {
    fn ring(&self, queue: &QueueName) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.clone());
        self.some.notify_one();
    }

    fn take(&self) -> BTreeSet<QueueName> {
        std::mem::take(&mut *self.queues.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Inlet {
    office: Arc<Office>,
    bell: Arc<Bell>,
    description: String,
    rung: Arc<Rung>,
    /// Boxed: a node of the tree has room for eleven.
    served: BTreeMap<QueueName, Box<Served>>,
    /// Where the turn of looking after them stands.
    looked_after: Option<QueueName>,
    /// Queues that another process consumes; tried again soon, and later each second.
    waiting: HashMap<QueueName, Waiting>,
    /// When the first of these is tried again.
    next_try: Option<Instant>,
    quiet: bool,
}

struct Waiting {
    service: Service,
    patience: Patience,
    next: Instant,
    reported: bool,
}

impl InletHandle {
    /// Starts the inlet.
    pub(super) fn start(office: Arc<Office>, bell: Arc<Bell>, description: String) -> Self {
        // Some requests ahead of an inlet that is in the middle of a visit.
        let (tx, rx) = mpsc::channel(64);
        let (rung, served, waiting) = (Arc::default(), BTreeMap::new(), HashMap::new());
        let inlet = Inlet {
            office,
            bell,
            description,
            rung,
            served,
            looked_after: None,
            waiting,
            next_try: None,
            quiet: false,
        };
        tokio::spawn(inlet.run(rx));
        Self(tx)
    }

    async fn ask(&self, request: InletRequest) {
        // The inlet ends only when it is told to; who asks then asks for nothing.
        if self.0.send(request).await.is_err() {
            tracing::debug!("the inlet has ended");
        }
    }

    /// Serves `queue` from now on.
    pub(super) async fn serve(&self, queue: QueueName, service: Service) {
        self.ask(InletRequest::Serve { queue, service }).await;
    }

    /// Takes nothing more from `queue`, and goes on finishing what is under way.
    pub(super) async fn pause(&self, queue: QueueName) {
        self.ask(InletRequest::Pause { queue }).await;
    }

    /// Stops serving `queue` into `mailbox`, whose task handles nothing more: waits until what it made of its inputs is
    /// done, for else they would be taken again, and gives the queue back. Another mailbox may wait for the queue
    /// already: that of the task's successor.
    pub(super) async fn leave(&self, queue: QueueName, mailbox: Arc<Mailbox<Delivery>>) {
        if tokio::time::timeout(CAUSED, self.ask_to_leave(&queue, &mailbox, false)).await.is_err() {
            tracing::error!(
                task = queue.as_str(),
                "{queue}: what came of its last messages is not handled within {} s; it is given up here, and they are \
                 handled again",
                CAUSED.as_secs()
            );
            self.ask_to_leave(&queue, &mailbox, true).await;
        }
    }

    async fn ask_to_leave(&self, queue: &QueueName, mailbox: &Arc<Mailbox<Delivery>>, at_once: bool) {
        let (left, done) = oneshot::channel();
        let (queue, mailbox) = (queue.clone(), mailbox.clone());
        self.ask(InletRequest::Leave { queue, mailbox, at_once, left }).await;
        done.await.unwrap_or_default();
    }

    /// Takes nothing from now on, and goes on finishing what is under way.
    pub(super) async fn quiesce(&self) {
        self.ask(InletRequest::Quiesce).await;
    }

    /// Ends it; what was taken and is not done is taken again at the next start.
    pub(super) async fn stop(&self) {
        let (stopped, done) = oneshot::channel();
        self.ask(InletRequest::Stop { stopped }).await;
        done.await.unwrap_or_default();
    }
}

impl Inlet {
    async fn run(mut self, mut requests: mpsc::Receiver<InletRequest>) {
        let mut look = tokio::time::interval(Duration::from_secs(1));
        let rung = self.rung.clone();
        loop {
            let next_try = self.next_try.unwrap_or_else(Instant::now);
            tokio::select! {
                request = requests.recv() => match request {
                    None => return self.visit_all(),
                    Some(InletRequest::Stop { stopped }) => {
                        self.visit_all();
                        // Whoever waited for the end may have gone; the end stands.
                        return stopped.send(()).unwrap_or_default();
                    }
                    Some(request) => self.obey(request),
                },
                () = rung.some.notified() => {
                    for queue in rung.take() {
                        self.visit(&queue);
                    }
                }
                () = tokio::time::sleep_until(next_try), if self.next_try.is_some() => self.try_again(),
                _ = look.tick() => self.look_after_some(),
            }
        }
    }

    fn obey(&mut self, request: InletRequest) {
        match request {
            InletRequest::Serve { queue, service } => {
                let (patience, reported) = (Patience::default(), self.served.contains_key(&queue));
                let waiting = Waiting { service, patience, next: Instant::now(), reported };
                self.waiting.insert(queue.clone(), waiting);
                self.open(&queue);
            }
            InletRequest::Pause { queue } => {
                self.waiting.remove(&queue);
                if let Some(served) = self.served.get_mut(&queue) {
                    served.pause();
                }
            }
            InletRequest::Leave { queue, mailbox, at_once, left } => self.leave(&queue, &mailbox, at_once, left),
            InletRequest::Quiesce => self.quiet = true,
            InletRequest::Stop { .. } => unreachable!("handled where the loop can end"),
        }
    }

    fn leave(&mut self, queue: &QueueName, mailbox: &Arc<Mailbox<Delivery>>, at_once: bool, left: oneshot::Sender<()>) {
        if self.waiting.get(queue).is_some_and(|waiting| Arc::ptr_eq(&waiting.service.mailbox, mailbox)) {
            self.waiting.remove(queue);
        }
        if let Some(served) = self.served.get_mut(queue).filter(|served| served.fills(mailbox)) {
            served.leave(left);
            self.give_back_if_done(queue, at_once);
        }
    }

    /// Gives a queue back that is to be left, once nothing of it is under way; who waited for that is told.
    fn give_back_if_done(&mut self, queue: &QueueName, at_once: bool) {
        if self.served.get(queue).is_some_and(|served| at_once || served.is_done()) {
            if let Some(mut served) = self.served.remove(queue) {
                served.finish();
            }
            // Its successor need not wait for the next look.
            self.open(queue);
        }
    }

    fn open(&mut self, queue: &QueueName) {
        let Some(waiting) = self.waiting.get_mut(queue) else { return };
        let (rung, name) = (self.rung.clone(), queue.clone());
        let waker: Arc<dyn Fn() + Send + Sync> = Arc::new(move || rung.ring(&name));
        let reader =
            Reader { bell: self.bell.clone(), waker: Some(waker.clone()), description: self.description.clone() };
        match self.office.transit.consumer(queue, Some(&waiting.service.settings), &reader) {
            Ok(consumer) => {
                let served = Served::new(consumer, waiting.service.clone(), waker);
                self.waiting.remove(queue);
                self.served.insert(queue.clone(), Box::new(served));
                self.visit(queue);
            }
            Err(error) => {
                waiting.next = Instant::now() + waiting.patience.pause();
                self.next_try = Some(self.next_try.map_or(waiting.next, |at| at.min(waiting.next)));
                let on_its_way = matches!(error, Error::ConsumedBy { .. }) && !waiting.patience.is_long();
                if !on_its_way {
                    report_once(&mut waiting.reported, queue, &error);
                }
            }
        }
    }

    /// Tries again for those queues whose time has come.
    fn try_again(&mut self) {
        let now = Instant::now();
        let due = self.waiting.iter().filter(|(_, waiting)| waiting.next <= now);
        let due: Vec<_> = due.map(|(queue, _)| queue.clone()).collect();
        self.next_try = self.waiting.values().map(|waiting| waiting.next).filter(|next| *next > now).min();
        for queue in due {
            self.open(&queue);
        }
    }

    /// Looks after the next [`LOOKS`] queues, in turn.
    fn look_after_some(&mut self) {
        let after = self.looked_after.take().map_or(Bound::Unbounded, Bound::Excluded);
        for (queue, served) in self.served.range_mut((after, Bound::Unbounded)).take(LOOKS) {
            served.look_after(&self.office, self.quiet);
            self.looked_after = Some(queue.clone());
        }
        // The last queue was among them: the next turn begins at the first.
        if self.looked_after.as_ref() == self.served.keys().next_back() {
            self.looked_after = None;
        }
    }

    fn visit_all(&mut self) {
        for served in self.served.values_mut() {
            served.finish();
        }
    }

    fn visit(&mut self, queue: &QueueName) {
        if let Some(served) = self.served.get_mut(queue) {
            served.visit(&self.office, self.quiet);
            self.give_back_if_done(queue, false);
        }
    }
}

/// A queue that cannot be consumed is reported once, however often it is tried.
pub(super) fn report_once(reported: &mut bool, queue: &QueueName, error: &Error) {
    if !std::mem::replace(reported, true) {
        match error {
            Error::ConsumedBy { description, .. } => {
                tracing::error!("task {queue} waits: its queue is consumed by {description}");
            }
            other => tracing::error!("task {queue} waits: its queue cannot be opened: {other}"),
        }
    }
}
