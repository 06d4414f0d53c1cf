//! The daemon's end of the spawner: the single-threaded process that forks keepers.
//!
//! ```text
//!   Spawner ──order, program──► spawner ──fork, fork──► keeper
//!           ◄──── answer ──────         ◄─── answer ───
//! ```
//!
//! One order at a time. After a failure of the connection the spawner is gone: start another; keepers know nothing
//! of it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::order::Answer;
use super::title::TITLE_ROOM_VARIABLE;
use super::{BootId, FileError, KeeperOrder, ProcessIdentity, frame};
use crate::name::TaskName;

/// How a spawner is called: its argument 0.
pub(crate) const SPAWNER_NAME: &str = "multimodule spawner";

/// How long an answer may take. The spawner itself waits 5 s for a keeper (`spawner_main`).
const DEADLINE: Duration = Duration::from_secs(10);

/// How much room a keeper's title gets, beside the arguments: the words and the longest name, whole.
const TITLE_ROOM: usize = 320;

/// A running spawner. It ends when this is dropped; its keepers do not.
#[derive(Debug)]
pub struct Spawner {
    child: Child,
    stream: UnixStream,
}

/// Why no keeper keeps.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The spawner could not be started.
    #[error("cannot start {} as the spawner: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The spawner is gone, or does not answer in time: start another.
    #[error("the spawner is gone: {0}")]
    Gone(io::Error),
    /// Another keeper keeps that name.
    #[error("{0} has a keeper already")]
    Busy(TaskName),
    /// That name is parked.
    #[error("{0} is parked: see its failsafe")]
    Parked(TaskName),
    /// Its host runs, and has lost its keeper: adopt it, or end it first.
    #[error("{name} runs without a keeper, as process {}", host.pid)]
    HostRuns {
        /// The process's name.
        name: TaskName,
        /// The host.
        host: ProcessIdentity,
    },
    /// The order cannot be sent as it is.
    #[error("this is no order for a keeper: {0}")]
    Order(String),
    /// The keeper could not begin, for this reason.
    #[error("{name} gets no keeper: {reason}")]
    Failed {
        /// The process's name.
        name: TaskName,
        /// What failed.
        reason: String,
    },
    /// `/proc` does not tell which boot this is.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Spawner {
    /// Starts `program` (`/proc/self/exe` is this very program, also when its file was replaced), which calls [`spawner_main`](super::spawner_main) first thing when
    /// [`is_spawner`](super::is_spawner), as a spawner.
    ///
    /// # Errors
    /// [`SpawnError::Start`]: it cannot be started.
    pub fn start(program: &Path) -> Result<Self, SpawnError> {
        let fail = |source| SpawnError::Start { program: program.to_owned(), source };
        let (stream, theirs) = UnixStream::pair().map_err(fail)?;
        for set in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            set(&stream, Some(DEADLINE)).map_err(fail)?;
        }
        let mut command = Command::new(program);
        command.arg0(SPAWNER_NAME).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        // A signal from the terminal is for the daemon. Of the environment it needs what finds its libraries.
        command.process_group(0).env_clear().envs(std::env::vars_os().filter(|(name, _)| is_passed_on(name)));
        command.env(TITLE_ROOM_VARIABLE, "-".repeat(TITLE_ROOM));
        let child = command.spawn().map_err(fail)?;
        Ok(Self { child, stream })
    }

    /// Has a keeper made, which starts its host from `program` (an open descriptor of an executable file, which the
    /// keeper holds). Blocks for at most some 10 s. When this returns a keeper, it has tried its first start and
    /// `NAME.process` is written.
    ///
    /// # Errors
    /// [`SpawnError`]. After a failure for want of time, and after [`SpawnError::Gone`], a keeper may still come of the
    /// order: it is [`SpawnError::Busy`] then when it is ordered again. After [`SpawnError::Gone`] this spawner is of no more use.
    pub fn spawn(&mut self, order: &KeeperOrder, program: BorrowedFd<'_>) -> Result<ProcessIdentity, SpawnError> {
        if !order.state_dir.as_path().is_absolute() {
            return Err(SpawnError::Order("its state directory does not begin at the root".to_owned()));
        }
        let text = ron::to_string(order).map_err(|error| SpawnError::Order(error.to_string()))?;
        let bytes = self.ask(text.as_bytes(), program).map_err(|error| self.broken(error))?;
        let (name, boot) = (order.name.clone(), BootId::current()?);
        match Answer::decode(&bytes) {
            Some(Answer::Keeping(keeper)) => Ok(keeper.of_boot(&boot)),
            Some(Answer::HostRuns(host)) => Err(SpawnError::HostRuns { name, host: host.of_boot(&boot) }),
            Some(Answer::Busy) => Err(SpawnError::Busy(name)),
            Some(Answer::Parked) => Err(SpawnError::Parked(name)),
            Some(Answer::Failed(reason)) => Err(SpawnError::Failed { name, reason }),
            None => Err(self.broken(io::Error::other("its answer is none"))),
        }
    }

    /// Whether it has ended: start another then.
    pub fn is_gone(&mut self) -> bool {
        // What cannot be waited for is none of ours any more.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn ask(&self, order: &[u8], program: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
        frame::send_with(&self.stream, order, program)?;
        frame::receive(&self.stream)
    }

    /// After an order that was not answered the next answer would be taken for another's: no more of this one. An
    /// order that was too long was not sent, and breaks nothing.
    fn broken(&mut self, error: io::Error) -> SpawnError {
        if error.kind() == io::ErrorKind::InvalidInput {
            return SpawnError::Order(error.to_string());
        }
        self.end();
        SpawnError::Gone(error)
    }

    fn end(&mut self) {
        // Killed at any moment it leaves nothing half done; what fails here is a child that has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether a variable is one of the dynamic loader's, or a test's that kills.
fn is_passed_on(name: &OsStr) -> bool {
    #[cfg(feature = "failpoints")]
    if name == crate::failpoint::VARIABLE {
        return true;
    }
    name.as_encoded_bytes().starts_with(b"LD_")
}
