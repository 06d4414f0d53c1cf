//! The process's own lane in one queue, and whether messages for it take the way through memory instead.
//!
//! ```text
//!   Transit ──a neighbour is there, and the lane is finished──► Memory(neighbour) ──it leaves──► Transit
//! ```
//!
//! Invariant: of the messages that this process sends to a queue by this lane, none is in memory while another waits
//! in the lane: the look at the lane, the append and each change of the way are steps under one lock. What a
//! neighbour that leaves had not handled goes to the lane before the way changes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::lanes::SWEEP;
use super::neighbour::Neighbour;
use super::office::AppendRefusal;
use super::succession::Rest;
use crate::message::Message;
use crate::name::{LaneName, QueueName};
use crate::transit::{AppendError, Outgoing, Sender, Transit};

/// The lane.
pub(super) struct ProcessLane {
    transit: Transit,
    queue: QueueName,
    name: LaneName,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sender: Option<Sender>,
    /// Since the last sweep. A clock would be read for each message.
    used: bool,
    memory: Option<Arc<Neighbour>>,
}

/// Which way a message goes.
pub(super) enum Way {
    /// It was appended.
    Appended,
    /// It goes to this neighbour's mailbox.
    Memory(Arc<Neighbour>),
}

impl ProcessLane {
    pub(super) fn new(transit: Transit, queue: QueueName, name: LaneName) -> Self {
        Self { transit, queue, name, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message, unless memory is the way; `neighbour` is the task of this queue, where it is here.
    pub(super) fn send(
        &self,
        neighbour: Option<&Arc<Neighbour>>,
        message: &Message,
        scratch: &mut Vec<u8>,
    ) -> Result<Way, AppendRefusal> {
        let mut state = self.lock();
        match self.memory(&mut state, neighbour) {
            Some(there) => Ok(Way::Memory(there)),
            None => self.append_to(&mut state, message, scratch).map(|()| Way::Appended),
        }
    }

    /// The same for messages from the front of `messages`, as far as the queue takes them.
    pub(super) fn send_some(
        &self,
        neighbour: Option<&Arc<Neighbour>>,
        messages: &mut VecDeque<Message>,
        scratch: &mut Vec<u8>,
    ) -> Way {
        let mut state = self.lock();
        if let Some(there) = self.memory(&mut state, neighbour) {
            return Way::Memory(there);
        }
        while let Some(message) = messages.front()
            && self.append_to(&mut state, message, scratch).is_ok()
        {
            messages.pop_front();
        }
        Way::Appended
    }

    /// Appends whatever the way: what a neighbour that leaves could not handle comes before all that follows.
    pub(super) fn append(&self, message: &Message, scratch: &mut Vec<u8>) -> Result<(), AppendRefusal> {
        self.append_to(&mut self.lock(), message, scratch)
    }

    /// A neighbour leaves, and has nothing any more.
    pub(super) fn leave(&self, neighbour: &Arc<Neighbour>) {
        let mut state = self.lock();
        state.memory.take_if(|there| Arc::ptr_eq(there, neighbour));
        neighbour.go();
    }

    /// Whether nothing was appended since the last question, and memory is not the way.
    fn is_idle(&self) -> bool {
        let mut state = self.lock();
        !std::mem::take(&mut state.used) && state.memory.is_none()
    }

    fn memory(&self, state: &mut State, neighbour: Option<&Arc<Neighbour>>) -> Option<Arc<Neighbour>> {
        if state.memory.is_none() {
            let neighbour = neighbour.filter(|neighbour| !neighbour.is_gone())?;
            if !neighbour.takes_over(&self.name, self.rest(state.sender.as_ref())) {
                return None;
            }
            neighbour.open();
            state.memory = Some(neighbour.clone());
        }
        state.memory.clone()
    }

    fn rest(&self, sender: Option<&Sender>) -> Rest {
        sender.map_or_else(|| Rest::look(&self.transit, &self.queue, &self.name), Rest::of)
    }

    fn append_to(&self, state: &mut State, message: &Message, scratch: &mut Vec<u8>) -> Result<(), AppendRefusal> {
        let body = message.encode_to(scratch).map_err(|error| AppendRefusal::Never(error.to_string()))?;
        let out = Outgoing { stamp: message.stamp(), tag: None, body };
        state.used = true;
        let sender = match &mut state.sender {
            Some(sender) => sender,
            empty => empty.insert(self.transit.sender(&self.queue, &self.name).map_err(AppendError::from)?),
        };
        Ok(sender.append(&out)?)
    }
}

/// The process's own lanes, by queue.
///
/// Invariant: a lane that nothing was sent by for a minute or two is given back, so the table holds what is in use and
/// not every queue that ever was.
pub(super) struct ProcessLanes {
    lanes: HashMap<QueueName, Arc<ProcessLane>>,
    swept: Instant,
}

impl ProcessLanes {
    pub(super) fn new(now: Instant) -> Self {
        Self { lanes: HashMap::new(), swept: now }
    }

    pub(super) fn get(&self, queue: &QueueName) -> Option<Arc<ProcessLane>> {
        self.lanes.get(queue).cloned()
    }

    /// The lane of `queue`, made where it is not.
    pub(super) fn of(&mut self, queue: &QueueName, transit: &Transit, name: &LaneName) -> Arc<ProcessLane> {
        if let Some(lane) = self.get(queue) {
            return lane;
        }
        let lane = Arc::new(ProcessLane::new(transit.clone(), queue.clone(), name.clone()));
        self.lanes.insert(queue.clone(), lane.clone());
        lane
    }

    /// Once a second: gives back the lanes that are idle, if it is time to.
    pub(super) fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.swept = now;
            // Who is about to send holds the lane, and finds it as it was.
            self.lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || !lane.is_idle());
        }
    }
}
