//! The log file of a host: its standard output and standard error.
//!
//! The host writes to the file itself, so that nothing can break or block in between, until its tasks are to have a
//! secret. From then on it prints into a pipe, and a redactor, which outlives the host, writes to the file what comes
//! out. The host keeps that end of the pipe, too: a redactor that is killed is replaced, and what it had not read is
//! still there. Where none can be had (no descriptors, no processes), a thread of the host does its work meanwhile:
//! whoever prints into a full pipe that nobody reads would stand still.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::{dup2_stderr, dup2_stdout, pipe2};

use crate::name::TaskName;
use crate::process::{FileError, HostFiles, open_log};
use crate::secret::{Passage, Redactor, tell_first};

/// How long until another redactor is tried where none can be had, or the last one did not live for so long: the machine
/// is short of something.
const TROUBLE: Duration = Duration::from_secs(1);

/// The log of this process.
#[derive(Clone)]
pub(super) struct Log {
    path: PathBuf,
    /// What runs a redactor.
    program: PathBuf,
    guard: Arc<Mutex<Option<Guard>>>,
}

/// What redacts it.
struct Guard {
    /// Where it reads.
    pipe: OwnedFd,
    /// None while there is none.
    redactor: Option<Redactor>,
    /// The log, for whoever stands in for a redactor: later there may be no descriptors.
    spare: Option<File>,
}

impl Log {
    /// The log of this process: from now on no secret that it reads comes there.
    pub(super) fn guarded(state_dir: &Path, process: &TaskName, program: PathBuf) -> Self {
        let log = Self { path: HostFiles::new(state_dir, process).log(), program, guard: Arc::default() };
        let guarded = log.clone();
        tell_first(move |secret| guarded.keep_out(secret));
        log
    }

    /// Opens the log's name anew and goes on there: somebody has renamed the file.
    pub(super) fn reopen(&self) -> Result<(), FileError> {
        if let Some(guard) = &mut *self.guard() {
            let refused = FileError::of(&self.path, "open");
            // The old file is not held for ever.
            guard.spare = open_log(&self.path).ok();
            // One that is about to be started opens it anyway.
            return guard.redactor.as_mut().map_or(Ok(()), Redactor::reopen).map_err(refused);
        }
        let file = open_log(&self.path).map_err(FileError::of(&self.path, "open"))?;
        let refused = |error: nix::Error| FileError::new(&self.path, "write to", io::Error::from(error));
        dup2_stdout(&file).map_err(refused)?;
        dup2_stderr(&file).map_err(refused)
    }

    /// Has `secret` kept out of what is printed from now on.
    fn keep_out(&self, secret: &str) -> io::Result<()> {
        let mut guard = self.guard();
        match &mut *guard {
            Some(Guard { redactor: Some(redactor), .. }) => redactor.keep(secret),
            Some(_) => Err(io::Error::other("what redacts the log is being started")),
            None => {
                *guard = Some(self.begin()?);
                Ok(())
            }
        }
    }

    /// The first redactor, which knows the secrets that have been read.
    fn begin(&self) -> io::Result<Guard> {
        let (pipe, printed) = pipe2(OFlag::O_CLOEXEC)?;
        let spare = Some(open_log(&self.path)?);
        let stand_in = Passage::new(pipe.try_clone()?, None);
        let log = self.clone();
        let (begun, first) = mpsc::channel();
        // It waits as long as this process lives, and ends with it; where nothing was begun it ends at once.
        let replacing = move || {
            if let Ok(child) = first.recv() {
                log.replace_always(child, stand_in);
            }
        };
        std::thread::Builder::new().name("redactor".to_owned()).spawn(replacing)?;
        let (redactor, child) = Redactor::start(&self.program, &pipe, &self.path)?;
        dup2_stdout(&printed)?;
        dup2_stderr(&printed)?;
        begun.send(child).map_err(io::Error::other)?;
        Ok(Guard { pipe, redactor: Some(redactor), spare })
    }

    fn replace_always(&self, mut child: Child, mut stand_in: Passage) {
        loop {
            let begun = Instant::now();
            // Where that cannot be waited for, it has ended as well.
            drop(child.wait());
            if let Some(guard) = &mut *self.guard() {
                guard.redactor = None;
                drop(stand_in.exchange(guard.spare.take()));
            }
            self.stand_in(&mut stand_in, TROUBLE.saturating_sub(begun.elapsed()));
            child = self.replace(&mut stand_in);
            if let Some(guard) = &mut *self.guard() {
                guard.spare = stand_in.exchange(None);
            }
        }
    }

    /// Another redactor in the place of one that has ended.
    fn replace(&self, stand_in: &mut Passage) -> Child {
        let mut is_told = false;
        loop {
            match self.start_another() {
                Some(Ok(child)) => return child,
                Some(Err(error)) if !is_told => {
                    // Not by a channel: that would print into the pipe.
                    let told = format!(
                        "multimodule: its host redacts this log itself, for it can start nothing that does: {error}\n"
                    );
                    stand_in.say(told.as_bytes());
                    is_told = true;
                }
                Some(Err(_)) | None => {}
            }
            self.stand_in(stand_in, TROUBLE);
        }
    }

    /// None: the first one has not been noted yet.
    fn start_another(&self) -> Option<io::Result<Child>> {
        let mut place = self.guard();
        let guard = place.as_mut()?;
        let started = Redactor::start(&self.program, &guard.pipe, &self.path);
        Some(started.map(|(redactor, child)| {
            guard.redactor = Some(redactor);
            child
        }))
    }

    /// Does the work of the redactor for a while.
    fn stand_in(&self, stand_in: &mut Passage, time: Duration) {
        // Where that is not possible it goes on in the file where it was before.
        drop(stand_in.reopen(&self.path));
        if stand_in.pass_for(time).is_err() {
            // Nothing can be read, and to try without a pause makes nothing better.
            std::thread::sleep(time);
        }
    }

    /// A panic under this lock leaves a redactor less.
    fn guard(&self) -> MutexGuard<'_, Option<Guard>> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
