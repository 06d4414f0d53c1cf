//! The daemon's end of a link.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipc_channel::ipc::{self, IpcReceiver, IpcSender};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::name::TaskName;

use super::claim::Claim;
use super::outbox::Outbox;
use super::protocol::{FromDaemon, FromHost, spoken};
use super::pump::{Incoming, receive, spawn, spawn_sender};
use super::{HostHello, LinkError, ToDaemon, ToHost, VERSION};

/// How many messages of a host wait for whoever reads them; then the host's own queue fills. A link carries a few
/// messages a second, and a host says at once at most one per order.
pub const RECEIVED_MESSAGES: usize = 64;

/// The daemon's end of a link to one host. Dropping it ends the link, after what waits is sent.
#[derive(Debug)]
pub struct DaemonLink {
    outbox: Arc<Outbox<FromDaemon>>,
    version: u32,
}

/// What a connected daemon holds: the link, who answered, and what it says. The receiver closes when the link ends.
type Connected = (DaemonLink, HostHello, mpsc::Receiver<ToDaemon>);

impl DaemonLink {
    /// Connects to the host that `STATE/NAME.link` names, within `patience`.
    ///
    /// It tries once. A host that has just started, or just lost its daemon, names its server a moment later: whoever
    /// wants to wait tries again at [`LinkError::NoLinkFile`] and [`LinkError::NobodyListens`].
    ///
    /// A host that is stopped costs one thread, which ends when the host goes on or ends; until then further attempts
    /// fail at once with [`LinkError::Claimed`].
    ///
    /// # Errors
    /// [`LinkError`]: no file, nobody behind it, silent for too long, another version.
    pub async fn connect(state_dir: &Path, process: &TaskName, patience: Duration) -> Result<Connected, LinkError> {
        Self::connect_as(VERSION, state_dir, process, patience).await
    }

    /// As [`DaemonLink::connect`], for a daemon of that version.
    pub(super) async fn connect_as(
        version: u32,
        state_dir: &Path,
        process: &TaskName,
        patience: Duration,
    ) -> Result<Connected, LinkError> {
        let attempt = Attempt { version, state_dir: state_dir.to_owned(), process: process.clone() };
        let (answer, answered) = oneshot::channel();
        spawn("link receiver", move || attempt.run(answer))?;
        let process = process.to_string();
        match timeout(patience, answered).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(_)) => Err(LinkError::Ended { process }),
            Err(_) => Err(LinkError::Silent { process, waited_ms: patience.as_millis() }),
        }
    }

    /// Leaves the message to the thread that sends. False: the link has ended, or the host reads nothing and
    /// [`super::OUTBOX_MESSAGES`] wait already; the message is dropped.
    pub fn send(&self, message: ToHost) -> bool {
        self.outbox.push(FromDaemon::Message(message))
    }

    /// The version that both ends speak.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl Drop for DaemonLink {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// An attempt to connect; runs in a thread of its own, which then is the one that receives.
struct Attempt {
    version: u32,
    state_dir: PathBuf,
    process: TaskName,
}

impl Attempt {
    fn run(self, answer: oneshot::Sender<Result<Connected, LinkError>>) {
        match self.shake_hands() {
            // Nobody waits any more: the link ends with what is dropped here.
            Err(error) => drop(answer.send(Err(error))),
            Ok((link, hello, host)) => {
                let outbox = Arc::clone(&link.outbox);
                let (tx, rx) = mpsc::channel(RECEIVED_MESSAGES);
                if answer.send(Ok((link, hello, rx))).is_ok() {
                    pass_on(&host, &tx, &self.process);
                }
                outbox.close();
            }
        }
    }

    fn shake_hands(&self) -> Result<(DaemonLink, HostHello, IpcReceiver<FromHost>), LinkError> {
        let claim = Claim::take(&self.state_dir, &self.process)?;
        failpoint!("adoption.claimed");
        let host = IpcSender::connect(claim.address.clone()).map_err(|error| self.unreachable(error))?;
        let (reply, replies) = ipc::channel().map_err(LinkError::Socket)?;
        let process = || self.process.to_string();
        // The only copy of `reply` goes with it: when the host is gone, `replies` ends.
        host.send(FromDaemon::Hello { version: self.version, reply })
            .map_err(|_| LinkError::Ended { process: process() })?;
        failpoint!("adoption.called");
        let hello = match receive(&replies) {
            Incoming::Message(FromHost::Hello(hello)) => hello,
            Incoming::Ended => return Err(LinkError::Ended { process: process() }),
            Incoming::Message(FromHost::Message(_)) | Incoming::NotUnderstood => {
                return Err(LinkError::NoHello { process: process() });
            }
        };
        let version =
            spoken(hello.version).ok_or_else(|| LinkError::Version { process: process(), theirs: hello.version })?;
        let outbox = Arc::new(Outbox::new());
        spawn_sender(host, Arc::clone(&outbox))?;
        Ok((DaemonLink { outbox, version }, hello, replies))
    }

    fn unreachable(&self, error: io::Error) -> LinkError {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                LinkError::NobodyListens { path: super::place::Place::new(&self.state_dir, &self.process).link_file }
            }
            _ => LinkError::Socket(error),
        }
    }
}

/// Hands on what the host says until the link ends or nobody wants it.
fn pass_on(host: &IpcReceiver<FromHost>, tx: &mpsc::Sender<ToDaemon>, process: &TaskName) {
    let mut reported = false;
    loop {
        match receive(host) {
            Incoming::Message(FromHost::Message(message)) => {
                if tx.blocking_send(message).is_err() {
                    return;
                }
            }
            Incoming::Message(FromHost::Hello(_)) | Incoming::NotUnderstood if !reported => {
                reported = true;
                tracing::warn!("process {process} says things that this program does not know; they are skipped");
            }
            Incoming::Message(FromHost::Hello(_)) | Incoming::NotUnderstood => {}
            Incoming::Ended => return,
        }
    }
}
