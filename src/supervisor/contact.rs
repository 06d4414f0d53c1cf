//! The link to one host, as far as there is one: called, answered, lost, called again.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::link::{DaemonLink, HostHello, LinkError, ToDaemon, ToHost};
use crate::name::TaskName;

/// How long a host may take to answer. A healthy one takes a millisecond.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before the next call, at first and at last: a host that has just been started offers its link a moment
/// later, and one that does not answer for long is not worth more than a look each second.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];

/// The version of the protocol from which on a host can be told to open its log anew.
const REOPEN_LOG: u32 = 2;

/// The link of one process.
pub(super) struct Contact {
    state_dir: PathBuf,
    process: TaskName,
    state: State,
    pause: Duration,
    /// Not before this.
    next_call: Instant,
    /// The host is to open its log anew as soon as it can be told.
    reopens: bool,
}

type Connected = (DaemonLink, HostHello, mpsc::Receiver<ToDaemon>);

enum State {
    Away,
    Calling(JoinHandle<Result<Connected, LinkError>>),
    Linked { link: DaemonLink, told: mpsc::Receiver<ToDaemon>, since: Instant },
}

/// What happens on it.
pub(super) enum ContactEvent {
    /// A host answered, and says who it is.
    Answered(HostHello),
    /// Nobody did.
    NoAnswer(LinkError),
    /// It says something.
    Told(ToDaemon),
    /// It is gone.
    Lost,
}

impl Contact {
    pub(super) fn new(state_dir: PathBuf, process: TaskName) -> Self {
        Self { state_dir, process, state: State::Away, pause: PAUSES[0], next_call: Instant::now(), reopens: false }
    }

    /// Calls the host unless that is under way or done.
    pub(super) fn call_if_due(&mut self, now: Instant) {
        if matches!(self.state, State::Away) && now >= self.next_call {
            let (state_dir, process) = (self.state_dir.clone(), self.process.clone());
            let call = async move { DaemonLink::connect(&state_dir, &process, PATIENCE).await };
            self.state = State::Calling(tokio::spawn(call));
        }
    }

    /// When a call is due; none while one is under way or the host is linked.
    pub(super) fn deadline(&self) -> Option<Instant> {
        matches!(self.state, State::Away).then_some(self.next_call)
    }

    /// There is a new host: it is called at once.
    pub(super) fn begin_anew(&mut self) {
        self.hang_up();
        // It has opened its log after that was asked for.
        self.reopens = false;
        (self.pause, self.next_call) = (PAUSES[0], Instant::now());
    }

    /// Ends the link.
    pub(super) fn hang_up(&mut self) {
        if let State::Calling(call) = std::mem::replace(&mut self.state, State::Away) {
            call.abort();
        }
        self.put_off();
    }

    fn put_off(&mut self) {
        self.next_call = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }

    /// Whether the host can be told to open its log anew: it is linked, and its protocol knows that.
    pub(super) fn reopens_its_log(&self) -> bool {
        matches!(&self.state, State::Linked { link, .. } if link.version() >= REOPEN_LOG)
    }

    /// Has the host open its log anew, now or when it answers; one whose protocol does not know that goes on as it is.
    pub(super) fn reopen_log(&mut self) {
        self.reopens = !(self.reopens_its_log() && self.tell(ToHost::ReopenLog));
    }

    /// Tells the host something; false: it cannot be told now.
    pub(super) fn tell(&self, order: ToHost) -> bool {
        matches!(&self.state, State::Linked { link, .. } if link.send(order))
    }

    /// What happens next; never, while there is neither call nor link.
    pub(super) async fn event(&mut self) -> ContactEvent {
        match &mut self.state {
            State::Away => std::future::pending().await,
            State::Calling(call) => {
                let outcome = call.await;
                self.answered(outcome)
            }
            State::Linked { told, since, .. } => match told.recv().await {
                Some(told) => ContactEvent::Told(told),
                None => {
                    // A host that lets go of each link is called ever less often.
                    if since.elapsed() >= PAUSES[1] {
                        self.pause = PAUSES[0];
                    }
                    self.hang_up();
                    ContactEvent::Lost
                }
            },
        }
    }

    fn answered(&mut self, outcome: Result<Result<Connected, LinkError>, tokio::task::JoinError>) -> ContactEvent {
        let ended = || LinkError::Ended { process: self.process.to_string() };
        match outcome.unwrap_or_else(|_| Err(ended())) {
            Ok((link, hello, told)) => {
                self.state = State::Linked { link, told, since: Instant::now() };
                if self.reopens {
                    self.reopen_log();
                }
                ContactEvent::Answered(hello)
            }
            Err(error) => {
                self.state = State::Away;
                self.put_off();
                ContactEvent::NoAnswer(error)
            }
        }
    }
}
