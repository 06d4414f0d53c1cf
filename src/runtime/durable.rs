//! What a stateful task holds beside its state: its ownership, its queue, its records.
//!
//! Taken in this order, and given back in the reverse: owner lock, records, queue, lane. Whoever does not get the
//! owner lock has opened nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::appending::Asked;
use super::commit::Committer;
use super::dead;
use super::handle::Order;
use super::ledger::{Entered, Ledger};
use super::office::Office;
use super::sent::Sent;
use super::work::Event;
use crate::message::Message;
use crate::name::{LaneName, TaskName};
use crate::process::{FileError, OwnerLock};
use crate::store::{Aside, Position, Record, Recovered, StoreError, TaskStore, new_epoch};
use crate::transit::{Bell, Consumer, Error, LaneId, Reader, Settings, StartOutcome, Taken, UnderWay};

/// A stateful task's holdings.
pub(super) struct Durable {
    /// Where the input under way is noted, of the lane handled last.
    under_way: Option<UnderWay>,
    /// Taken first and dropped last (fields drop in order).
    pub(super) consumer: Consumer,
    pub(super) bell: Arc<Notify>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) committer: Committer,
    positions: BTreeMap<LaneId, Position>,
    batch: VecDeque<Taken>,
    /// Inputs that were given up after a panic, until a record is past them, and why; nothing where their letter is in
    /// `dead` already.
    left_out: HashMap<(LaneId, u64), Option<String>>,
    /// A quarter of the queue's bound, in bytes and in messages: so much taken and not committed asks for a commit.
    pressure: (u64, u64),
    /// Who waits for the output of some moment to be appended.
    pub(super) asked: Option<Asked>,
    owner: Arc<OwnerLock>,
}

/// Where an input stands in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) lane: LaneId,
    pub(super) end: u64,
    pub(super) count: u64,
}

/// Why a stateful task does not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Another process runs it; that may pass.
    #[error("another process runs it (it holds {0})")]
    Owned(String),
    /// Its queue cannot be consumed; that may pass.
    #[error(transparent)]
    Queue(#[from] Error),
    /// Its records cannot be used; a person must look.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its first state cannot be written down.
    #[error("its first state cannot be written as RON: {0}")]
    State(String),
    /// A file refuses.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What opening needs to know.
pub(super) struct Opening<'a> {
    pub(super) office: &'a Office,
    pub(super) bell: &'a Arc<Bell>,
    pub(super) description: &'a str,
    pub(super) state_dir: &'a Path,
    pub(super) task: &'a TaskName,
    pub(super) settings: Settings,
    pub(super) check_state: fn(&str) -> Result<(), String>,
    /// The state of a task that has none yet, as text.
    pub(super) initial: &'a dyn Fn() -> Result<String, String>,
}

/// A record's positions and outputs against what the queues say: what a lost or restored record means.
#[derive(Debug, Default)]
pub(super) struct Differences(pub(super) Vec<String>);

impl Durable {
    /// Takes what the task needs and goes on from its newest good record; begins the first one where there is none.
    /// The second value is what a person should be told.
    pub(super) fn open(opening: &Opening<'_>) -> Result<(Self, Differences), OpenError> {
        let Opening { office, task, .. } = opening;
        let Some(owner) = OwnerLock::try_take(opening.state_dir, task)? else {
            let lock = opening.state_dir.join(format!("{task}.owner"));
            return Err(OpenError::Owned(lock.display().to_string()));
        };
        failpoint!("recovery.owned");
        let (owner, bell) = (Arc::new(owner), Arc::new(Notify::new()));
        let rung = bell.clone();
        let waker = Arc::new(move || rung.notify_one());
        let reader =
            Reader { bell: opening.bell.clone(), waker: Some(waker), description: opening.description.to_owned() };
        let mut consumer = office.transit.consumer(&task.queue(), Some(&opening.settings), &reader)?;
        failpoint!("recovery.consuming");
        let mut store = TaskStore::open(opening.state_dir, task)?;
        let recovered = store.recover(&mut |record| (opening.check_state)(&record.state))?;
        let (mut record, rolled_back, mut differences) = match recovered {
            Recovered::Fresh => (beginning(opening.initial)?, false, Differences::default()),
            Recovered::Taken(taken) => {
                let rolled_back = taken.rolled_back();
                let differences = Differences::of(&taken.aside, rolled_back, &taken.record, office, task);
                (taken.record, rolled_back, differences)
            }
        };
        failpoint!("recovery.record_taken");
        let positions = start_at(&mut consumer, &record, &mut differences);
        failpoint!("recovery.positions_set");
        let sent = Sent::look(&office.transit, task, &record)?;
        failpoint!("recovery.tags_read");
        if rolled_back {
            // Tags of the lost record must not be taken for ours. What is in the lanes is there all the same.
            record.epoch = new_epoch();
        }
        let ledger = Ledger::open(office.transit.clone(), (*task).clone(), &record, &sent, bell.clone())
            .counting(consumer.consequences());
        let mut durable = Self {
            under_way: None,
            consumer,
            bell,
            ledger: Arc::new(ledger),
            committer: Committer::new(store, owner.clone(), record),
            positions,
            batch: VecDeque::new(),
            left_out: HashMap::new(),
            pressure: (opening.settings.max_bytes / 4, opening.settings.max_messages / 4),
            asked: None,
            owner,
        };
        durable.begin_first_commit();
        Ok((durable, differences))
    }

    /// The next input, if one waits.
    pub(super) fn next(&mut self) -> Result<Option<Taken>, Error> {
        loop {
            if let Some(taken) = self.batch.pop_front() {
                return Ok(Some(taken));
            }
            // The buffer goes back and forth; no message is moved.
            let mut visit = Vec::from(std::mem::take(&mut self.batch));
            let taken = self.consumer.take(&mut visit);
            self.batch = visit.into();
            if taken? == 0 {
                return Ok(None);
            }
        }
    }

    /// A handler is called with this input: if the process ends before [`returned`](Self::returned), that counts
    /// against it.
    pub(super) fn begin(&mut self, place: Place) {
        if self.under_way.as_ref().is_none_or(|under_way| under_way.lane() != place.lane) {
            self.under_way = self.consumer.under_way(place.lane);
        }
        if let Some(under_way) = &self.under_way {
            under_way.begin(place.end);
            self.ledger.set_course(Some((place.lane, place.end)));
            failpoint!("activation.under_way");
        }
    }

    /// The handler has returned, or it panicked.
    pub(super) fn returned(&self) {
        if let Some(under_way) = &self.under_way {
            under_way.done();
            failpoint!("activation.returned");
        }
    }

    /// An input has been handled: the next record counts it.
    pub(super) fn advance(&mut self, place: Place) {
        self.committer.count();
        match self.positions.get_mut(&place.lane) {
            Some(position) => (position.position, position.count) = (place.end, place.count),
            None => {
                let lanes = self.consumer.lanes();
                let name =
                    lanes.iter().find(|lane| lane.id == place.lane).map_or(String::new(), |l| l.name.to_string());
                let position = Position { lane: place.lane.0, name, position: place.end, count: place.count };
                self.positions.insert(place.lane, position);
            }
        }
    }

    /// An input is given up after a panic: when it comes again, it goes to `dead` for this reason.
    pub(super) fn leave_out(&mut self, place: Place, reason: String) {
        self.left_out.insert((place.lane, place.end), Some(reason));
    }

    /// Whether an input is not to be handled.
    pub(super) fn is_left_out(&self, place: Place) -> bool {
        !self.left_out.is_empty() && self.left_out.contains_key(&(place.lane, place.end))
    }

    /// An input goes to `dead` instead of being handled, in one record with its position. One that was left out before
    /// goes for the reason of then, and once.
    pub(super) fn give_up(&mut self, place: Place, message: &Message, task: &TaskName, reason: &str) -> Entered {
        let key = (place.lane, place.end);
        let left_out = self.left_out.get(&key).cloned();
        let mut entered = Entered::default();
        if let Some(reason) = left_out.clone().unwrap_or_else(|| Some(reason.to_owned())) {
            entered = self.ledger.bury(None, dead::letter(message, task.as_str(), &reason));
            // What a rollback takes out of the outbox again is put there again.
            if left_out.is_some() && !entered.waits {
                self.left_out.insert(key, None);
            }
        }
        self.advance(place);
        entered
    }

    /// Whether so much is taken and not committed that the queue needs room.
    pub(super) fn pressed(&self) -> bool {
        let (bytes, messages) = self.pressure;
        self.consumer.unfinished_bytes() > bytes
            || self.consumer.unfinished_messages() > messages
            || self.ledger.is_full()
            || self.ledger.wants_commit()
            || self.asked.as_ref().is_some_and(|asked| asked.wants(self.committer.next_number()))
    }

    /// The record of now, for a state of this text.
    pub(super) fn record(&self, state: String) -> Record {
        let saved = self.committer.saved();
        // The ledger's part is filled in last.
        Record {
            epoch: saved.epoch,
            n: self.committer.next_number(),
            state,
            positions: self.positions.values().cloned().collect(),
            ..Record::default()
        }
    }

    /// Begins a commit of a state of this text.
    pub(super) fn begin_commit(&mut self, state: String, began: Instant) {
        let mut record = self.record(state);
        self.ledger.snapshot(&mut record);
        self.committer.begin(record, began, Instant::now());
    }

    /// Begins to write the first record of a task that has none. That takes a sync, and nothing waits for it: who is
    /// killed before it is written begins anew with the same inputs, as after any commit that was not written.
    fn begin_first_commit(&mut self) {
        if self.committer.next_number() == 1 {
            let state = self.committer.saved().state.clone();
            self.begin_commit(state, Instant::now());
        }
    }

    /// Begins the commit before an end.
    pub(super) fn begin_last_commit(&mut self, state: String, began: Instant) {
        let mut record = self.record(state);
        self.ledger.snapshot_last(&mut record);
        self.committer.begin(record, began, Instant::now());
    }

    /// A record is written: what it counts is finished.
    pub(super) fn publish(&mut self, record: &Record) {
        self.ledger.seal(record.n);
        for position in &record.positions {
            self.consumer.finish(LaneId(position.lane), position.position, position.count);
            failpoint!("commit.lane_finished");
        }
        // By the record, and not by where the task is now: a rollback goes to the record.
        for position in &record.positions {
            self.left_out.retain(|(lane, end), _| lane.0 != position.lane || position.position < *end);
        }
    }

    /// Goes back to the newest written record, and its inputs are taken again.
    pub(super) fn roll_back(&mut self) -> Arc<Record> {
        let saved = self.committer.saved().clone();
        self.batch.clear();
        self.positions = start_at(&mut self.consumer, &saved, &mut Differences::default());
        self.ledger.roll_back();
        self.committer.count();
        saved
    }

    /// Waits for an order, the end of a write, input (unless `quiet`), room or the deadline.
    pub(super) async fn wait(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        room: &Notify,
        deadline: Instant,
        quiet: bool,
    ) -> Event {
        if !quiet && !self.consumer.prepare_sleep() {
            return Event::Input;
        }
        tokio::select! {
            biased;
            order = orders.recv() => Event::Order(order),
            written = self.committer.written() => Event::Written(written),
            () = self.bell.notified(), if !quiet => Event::Input,
            () = room.notified() => Event::Input,
            () = tokio::time::sleep_until(deadline) => Event::Deadline,
        }
    }

    /// Once in a while: are the files still the ones that the paths name, and did something happen to the queue?
    pub(super) fn look_after(&mut self) -> Vec<String> {
        self.ledger.tidy(std::time::Instant::now());
        let mut lines: Vec<_> = self.consumer.incidents().iter().map(ToString::to_string).collect();
        lines.extend(self.consumer.check_replaced().err().map(|error| error.to_string()));
        lines.extend(self.consumer.tidy().err().map(|error| error.to_string()));
        match self.owner.still_ours() {
            Ok(true) => {}
            Ok(false) => {
                lines.push("the file of its owner lock was replaced: another process may run it too".to_owned())
            }
            Err(error) => lines.push(error.to_string()),
        }
        lines
    }
}

impl Drop for Durable {
    /// However the actor ends, its process goes on: no input is under way any more, and the lanes go back before the
    /// owner's lock, for copies in mailboxes hold the ledger longer.
    fn drop(&mut self) {
        self.returned();
        self.ledger.release();
    }
}

/// What holds before there is a record.
fn beginning(initial: &dyn Fn() -> Result<String, String>) -> Result<Record, OpenError> {
    let state = initial().map_err(OpenError::State)?;
    Ok(Record { epoch: new_epoch(), state, ..Record::default() })
}

fn start_at(consumer: &mut Consumer, record: &Record, differences: &mut Differences) -> BTreeMap<LaneId, Position> {
    let mut positions = BTreeMap::new();
    for lane in consumer.lanes() {
        let Some(recorded) = record.positions.iter().find(|position| position.lane == lane.id.0) else {
            // A lane that is newer than the record.
            consumer.start_at(lane.id, lane.finished.0, lane.finished.1);
            continue;
        };
        match consumer.start_at(lane.id, recorded.position, recorded.count) {
            StartOutcome::AsRecorded => {
                positions.insert(lane.id, recorded.clone());
            }
            StartOutcome::UnknownLane => {}
            StartOutcome::AlreadyFinished { missing } => differences.0.push(format!(
                "{missing} messages from {} are missing in this state: a newer record had counted them, and they are \
                 gone from the queue",
                lane.name
            )),
            StartOutcome::BeyondEnd { written } => differences.0.push(format!(
                "its record has counted {} messages from {}, and that lane has only {written}: the queue is older \
                 than the record; it is read from where it was finished",
                recorded.count, lane.name
            )),
        }
    }
    positions
}

impl Differences {
    fn of(aside: &[Aside], rolled_back: bool, record: &Record, office: &Office, task: &TaskName) -> Self {
        let mut lines: Vec<_> = aside.iter().map(ToString::to_string).collect();
        if !rolled_back {
            return Self(lines);
        }
        for mark in &record.outputs {
            let lane = office.transit.lane_counts(&mark.queue, &LaneName::Task(task.clone())).ok().flatten();
            let written = lane.filter(|lane| lane.id.0 == mark.lane).map_or(0, |lane| lane.written.1);
            let again = written.saturating_sub(mark.count);
            if again > 0 {
                lines.push(format!("up to {again} messages to {} may go out again", mark.queue));
            }
        }
        Self(lines)
    }
}

/// How long a task waits before it tries again for what another process holds.
pub(super) const RETRY: Duration = Duration::from_secs(1);
