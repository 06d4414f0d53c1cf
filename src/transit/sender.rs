//! The sending end of a queue: a lane, shared by all clones.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::consumer::Consumer;
use super::error::{AppendError, Error};
use super::lane_writer::{LaneWriter, Stop};
use super::open::Inner;
use super::queue::{Queue, lane_lock};
use super::record::Outgoing;
use super::room::Room;
use super::settings::Overflow;
use super::slot::LaneId;
use crate::name::{LaneName, QueueName};

/// Writes a lane of a queue. Clones are cheap and write the same lane, in the order of their calls; the lane is
/// given back when the last one goes.
#[derive(Debug, Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

/// What the clones share.
#[derive(Debug)]
pub(super) struct Shared {
    transit: Arc<Inner>,
    queue: QueueName,
    lane: LaneName,
    writer: Mutex<LaneWriter>,
}

/// How often an append follows replaced files before it gives up: each time somebody removed them meanwhile.
const REPLACEMENTS: usize = 3;

impl Sender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Appends a message: when this returns it survives the death of every process. Never waits; a full queue is an
    /// error. Rings for the consumer if it sleeps.
    pub fn append(&self, out: &Outgoing<'_>) -> Result<(), AppendError> {
        let mut writer = self.shared.writer();
        match writer.append(&self.shared.transit, out) {
            Ok(()) => Ok(()),
            Err(Stop::Refused(error)) => Err(error),
            Err(Stop::Replaced) => self.shared.append_anew(&mut writer, out),
        }
    }

    /// Where the queue diverts what does not fit: what it has room for now. Counts what all its lanes hold.
    #[must_use]
    pub fn diverting_room(&self) -> Option<Room> {
        let writer = self.shared.writer();
        let index = &writer.queue().index;
        let settings = index.settings_now();
        let refusal = AppendError::DeadLetter { queue: self.shared.queue.clone(), parked: index.is_parked() };
        (settings.overflow == Overflow::DeadLetter).then(|| Room::of(&settings, index.held(), refusal))
    }

    /// The lane's id; another one after the queue's directory was replaced.
    #[must_use]
    pub fn lane_id(&self) -> LaneId {
        self.shared.writer().id()
    }

    /// The queue written to.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.shared.queue
    }

    /// The lane's name.
    #[must_use]
    pub fn lane(&self) -> &LaneName {
        &self.shared.lane
    }

    /// Whether all that was ever appended to this lane is finished, or was dropped. Two looks at mapped memory: it may
    /// be asked before each message.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.writer().is_finished()
    }

    /// How many messages of this lane are neither finished nor dropped. As cheap as [`Sender::is_finished`].
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.shared.writer().unfinished()
    }

    /// What is appended from now on is taken only after `lane` of the same queue was taken up to `position`. False, and
    /// nothing changes, while an earlier order of this lane to follow another one counts. Costs no wait, here or there.
    #[must_use]
    pub fn follow(&self, lane: LaneId, position: u64) -> bool {
        self.shared.writer().follow(lane, position)
    }

    /// Has the bell of `waiting`, a queue that this process consumes, rung when no more than `most` messages of this
    /// lane are unfinished; false when it is so already. Once each time this is called, and only by consumers that know
    /// of it: older programs do not. So whoever waits looks after a while, too.
    #[must_use]
    pub fn await_finished(&self, most: u64, waiting: &Consumer) -> bool {
        self.shared.writer().await_finished(most, waiting.ringing())
    }

    /// Whether the ring that was asked for did not come yet.
    #[must_use]
    pub fn awaits_ring(&self) -> bool {
        self.shared.writer().awaits_ring()
    }

    /// How far the lane is written: position in bytes, and messages.
    #[must_use]
    pub fn written(&self) -> (u64, u64) {
        let mark = self.shared.writer().mark();
        (mark.position, mark.count)
    }
}

impl Shared {
    /// Takes the lane's lock and opens the lane. The caller's table sees to it that no other `Shared` has it.
    pub(super) fn open(transit: &Arc<Inner>, queue: &QueueName, lane: &LaneName) -> Result<Self, Error> {
        let writer = Mutex::new(open_writer(transit, queue, lane)?);
        Ok(Self { transit: transit.clone(), queue: queue.clone(), lane: lane.clone(), writer })
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, LaneWriter> {
        // A panic under this lock left the lane at its last published record, which is a good state.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue's files were replaced: appends to those that its path names now.
    fn append_anew(&self, writer: &mut LaneWriter, out: &Outgoing<'_>) -> Result<(), AppendError> {
        for _ in 0..REPLACEMENTS {
            let fresh = open_writer(&self.transit, &self.queue, &self.lane)?;
            let mut old = std::mem::replace(writer, fresh);
            self.transit.add_written(old.take_written());
            old.queue().unlock(lane_lock(old.slot_number()));
            match writer.append(&self.transit, out) {
                Ok(()) => return Ok(()),
                Err(Stop::Refused(error)) => return Err(error),
                Err(Stop::Replaced) => {}
            }
        }
        Err(Error::io(writer.queue().directory.path(), std::io::ErrorKind::NotFound).into())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.transit.add_written(writer.take_written());
        let (queue, slot) = (writer.queue().clone(), writer.slot_number());
        let lane = (self.queue.clone(), self.lane.clone());
        self.transit.clone().forget_sender(&lane, std::ptr::from_ref(self), || queue.unlock(lane_lock(slot)));
    }
}

fn open_writer(transit: &Arc<Inner>, queue: &QueueName, lane: &LaneName) -> Result<LaneWriter, Error> {
    let opened = transit.queue(queue)?;
    match take_lane(opened, lane)? {
        Some(writer) => Ok(writer),
        None => Err(Error::LaneBusy { queue: queue.clone(), lane: lane.clone() }),
    }
}

/// Takes a lane's lock and opens it; nothing when another process has it.
pub(super) fn take_lane(queue: Arc<Queue>, lane: &LaneName) -> Result<Option<LaneWriter>, Error> {
    let slot = queue.lane(lane)?;
    if !queue.try_lock(lane_lock(slot))? {
        return Ok(None);
    }
    let opened = LaneWriter::open(queue.clone(), slot, lane);
    if opened.is_err() {
        queue.unlock(lane_lock(slot));
    }
    opened.map(Some)
}
