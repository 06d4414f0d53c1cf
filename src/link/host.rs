//! The host's end: a door that is open whenever there is no link.
//!
//! ```text
//!   listening ──accepted, Hello──► linked ──daemon gone──► listening (a fresh server)
//!       └──anything else──► a pause, then listening (a fresh server)
//! ```
//!
//! Invariant: whenever the daemon is not linked, a server listens and the link file names it, but for the moments
//! between; where none can be made, it is tried again.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipc_channel::ipc::{IpcReceiver, IpcSender};
use tokio::sync::mpsc;

use crate::name::TaskName;

use super::door::{Door, Listening, knock};
use super::outbox::Outbox;
use super::protocol::{FromDaemon, FromHost, spoken};
use super::pump::{Incoming, receive, spawn, spawn_sender};
use super::{HostHello, LinkError, ToDaemon, ToHost};

/// How many events wait for the host's own loop; then the daemon's queue fills. Orders come a few a second.
pub const EVENTS: usize = 64;
/// The pause after a server that came to nothing, doubled each time: short enough for a daemon that was killed between
/// connecting and its first word, long enough for a full disk.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What happens on a host's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEvent {
    /// A daemon is there, and was told who we are.
    Linked {
        /// The version that both ends speak.
        version: u32,
    },
    /// It asks for something.
    Asked(ToHost),
    /// It is gone; what was asked and not answered needs no answer.
    Lost,
}

/// The host's end of its link. Dropping it ends the link and removes its files.
#[derive(Debug)]
pub struct HostLink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    process: TaskName,
    door: Door,
    state: Mutex<State>,
    /// Rung when it is closed.
    closed: Condvar,
}

#[derive(Debug)]
struct State {
    hello: HostHello,
    closed: bool,
    /// The server that waits now.
    listening: Option<String>,
    /// Of the daemon that is linked now.
    outbox: Option<Arc<Outbox<FromHost>>>,
}

impl HostLink {
    /// Opens the door; the link file is there when this returns. Once in the life of a process, and only for whoever
    /// holds the lock of the process NAME: what an earlier one left behind is removed.
    ///
    /// `hello` is what each daemon is told first; see [`HostLink::set_generation`].
    ///
    /// # Errors
    /// [`LinkError`]: a file, a socket or a thread could not be made.
    pub fn start(
        state_dir: &Path,
        process: &TaskName,
        hello: HostHello,
    ) -> Result<(Self, mpsc::Receiver<HostEvent>), LinkError> {
        let door = Door::build(state_dir, process)?;
        let state = Mutex::new(State { hello, closed: false, listening: None, outbox: None });
        let shared = Arc::new(Shared { process: process.clone(), door, state, closed: Condvar::new() });
        let (tx, rx) = mpsc::channel(EVENTS);
        let link = Self { shared: Arc::clone(&shared) };
        let first = shared.listen()?;
        spawn("link receiver", move || shared.run(first, &tx))?;
        Ok((link, rx))
    }

    /// Leaves the message to the thread that sends. False: no daemon is linked, or it reads nothing and
    /// [`super::OUTBOX_MESSAGES`] wait already; the message is dropped.
    pub fn send(&self, message: ToDaemon) -> bool {
        let outbox = self.shared.lock().outbox.clone();
        outbox.is_some_and(|outbox| outbox.push(FromHost::Message(message)))
    }

    /// What the next daemon is told about the config by which we run.
    pub fn set_generation(&self, generation: u64) {
        self.shared.lock().hello.generation = generation;
    }
}

impl Drop for HostLink {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        if let Some(outbox) = state.outbox.take() {
            outbox.close();
        }
        if let Some(address) = state.listening.take() {
            knock(&address);
        }
        // Still under the lock: nothing is opened after this.
        if let Err(error) = self.shared.door.close() {
            tracing::warn!("the control link left something behind: {error}");
        }
        drop(state);
        self.shared.closed.notify_all();
    }
}

impl Shared {
    /// The life of the receiving thread.
    fn run(&self, first: Option<Listening>, events: &mpsc::Sender<HostEvent>) {
        let mut pause = FIRST_PAUSE;
        let mut next = first;
        while let Some(listening) = next {
            let came = listening.accept();
            self.lock().listening = None;
            match came {
                Some((daemon, FromDaemon::Hello { version, reply })) => {
                    failpoint!("adoption.accepted");
                    pause = FIRST_PAUSE;
                    if self.serve(&daemon, version, reply, events).is_err() {
                        return;
                    }
                }
                Some((_, FromDaemon::Message(_))) | None => self.rest(&mut pause),
            }
            next = self.listen_again(&mut pause);
        }
    }

    /// A fresh server; none when the link is closed.
    fn listen(&self) -> Result<Option<Listening>, LinkError> {
        let mut state = self.lock();
        if state.closed {
            return Ok(None);
        }
        let listening = self.door.open()?;
        state.listening = Some(listening.address());
        Ok(Some(listening))
    }

    fn listen_again(&self, pause: &mut Duration) -> Option<Listening> {
        let mut reported = false;
        loop {
            match self.listen() {
                Ok(listening) => return listening,
                Err(error) if reported => tracing::debug!("still no control link: {error}"),
                Err(error) => {
                    tracing::error!("process {} cannot be reached by a daemon: {error}", self.process);
                    reported = true;
                }
            }
            self.rest(pause);
        }
    }

    /// Serves one daemon to its end. An error: nobody listens to our events any more.
    fn serve(
        &self,
        daemon: &IpcReceiver<FromDaemon>,
        theirs: u32,
        reply: IpcSender<FromHost>,
        events: &mpsc::Sender<HostEvent>,
    ) -> Result<(), mpsc::error::SendError<HostEvent>> {
        let Some(outbox) = self.answer(reply) else { return Ok(()) };
        let served = match spoken(theirs) {
            Some(version) => {
                events.blocking_send(HostEvent::Linked { version }).and_then(|()| self.pass_on(daemon, events))
            }
            None => {
                // It has our Hello, and sees the version and the end.
                tracing::warn!("a daemon that speaks version {theirs} of the control protocol is too old");
                Ok(())
            }
        };
        self.lock().outbox = None;
        outbox.close();
        served
    }

    /// Says Hello, as the first thing that goes out.
    fn answer(&self, reply: IpcSender<FromHost>) -> Option<Arc<Outbox<FromHost>>> {
        let outbox = Arc::new(Outbox::new());
        if let Err(error) = spawn_sender(reply, Arc::clone(&outbox)) {
            tracing::error!("process {} cannot answer its daemon: {error}", self.process);
            return None;
        }
        let mut state = self.lock();
        outbox.push(FromHost::Hello(state.hello.clone()));
        if state.closed {
            outbox.close();
        }
        state.outbox = Some(Arc::clone(&outbox));
        failpoint!("adoption.greeted");
        Some(outbox)
    }

    fn pass_on(
        &self,
        daemon: &IpcReceiver<FromDaemon>,
        events: &mpsc::Sender<HostEvent>,
    ) -> Result<(), mpsc::error::SendError<HostEvent>> {
        let mut reported = false;
        loop {
            match receive(daemon) {
                Incoming::Message(FromDaemon::Message(message)) => events.blocking_send(HostEvent::Asked(message))?,
                Incoming::Ended => return events.blocking_send(HostEvent::Lost),
                Incoming::Message(FromDaemon::Hello { .. }) | Incoming::NotUnderstood if !reported => {
                    reported = true;
                    tracing::warn!("the daemon says things that this program does not know; they are skipped");
                }
                Incoming::Message(FromDaemon::Hello { .. }) | Incoming::NotUnderstood => {}
            }
        }
    }

    /// Waits, unless the link is closed meanwhile.
    fn rest(&self, pause: &mut Duration) {
        let state = self.lock();
        let rested = self.closed.wait_timeout_while(state, *pause, |state| !state.closed);
        drop(rested.unwrap_or_else(PoisonError::into_inner));
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
