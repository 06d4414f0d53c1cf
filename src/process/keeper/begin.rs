//! How a forked process becomes a keeper.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use nix::sys::prctl::{set_child_subreaper, set_name};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::super::descriptors::close_others;
use super::super::lock_file::{Attempt, LockFile};
use super::super::order::Answer;
use super::super::proof::KEEPER_TITLE;
use super::super::spawner_main::end;
use super::super::title::set_title;
use super::super::{
    FileError, HostFiles, HostRecord, KeeperOrder, Pidfd, PidfdError, ProcessIdentity, ProcessRef, RecordError,
    RecordFault, is_no_host, open_log, read_record, write_record,
};
use super::life::Life;
use super::past::Past;
use super::waiting::Signals;

/// Where a keeper says once what came of its order.
#[derive(Debug)]
pub(super) struct AnswerPipe(File);

impl AnswerPipe {
    pub(super) fn send(mut self, answer: &Answer) {
        // A spawner that is gone has nobody to tell it to; what the keeper does is the same.
        drop(self.0.write_all(&answer.encode()));
    }
}

/// What always stays the same in a keeper's life.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) files: HostFiles,
    pub(super) own: ProcessIdentity,
    pub(super) pid_namespace: u64,
    pub(super) program: OwnedFd,
    _lock: LockFile,
}

/// Why this process is no keeper.
#[derive(Debug, thiserror::Error)]
enum NoKeeper {
    #[error("another keeper has the name")]
    Busy,
    #[error("a failsafe stands there")]
    Parked,
    #[error("its host runs without a keeper, as process {}", _0.pid)]
    HostRuns(ProcessRef),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Handle(#[from] PidfdError),
    #[error("{0}")]
    Kernel(#[from] io::Error),
}

impl From<nix::errno::Errno> for NoKeeper {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::Kernel(errno.into())
    }
}

/// The rest of this process: it was forked from the spawner twice, with every signal blocked.
pub(in super::super) fn keep(order: KeeperOrder, program: OwnedFd, answer: OwnedFd) -> ! {
    close_others(&[program.as_raw_fd(), answer.as_raw_fd()]);
    let answer = AnswerPipe(File::from(answer));
    match begin(order, program) {
        Ok(life) => life.run(answer),
        Err(NoKeeper::Busy) => answer.send(&Answer::Busy),
        Err(NoKeeper::Parked) => answer.send(&Answer::Parked),
        Err(NoKeeper::HostRuns(host)) => answer.send(&Answer::HostRuns(host)),
        Err(error) => answer.send(&Answer::failed(error)),
    }
    end(0)
}

fn begin(order: KeeperOrder, program: OwnedFd) -> Result<Life, NoKeeper> {
    let files = order.files();
    let lock = match LockFile::try_take(&files.keeper_lock())? {
        Attempt::Taken(lock) => lock,
        Attempt::Busy(_) => return Err(NoKeeper::Busy),
    };
    failpoint!("keeper.locked");
    if std::fs::symlink_metadata(files.failsafe()).is_ok() {
        return Err(NoKeeper::Parked);
    }
    if let Some(host) = running_host(&files)? {
        return Err(NoKeeper::HostRuns(host));
    }
    setsid()?;
    // No file system is kept from being unmounted.
    std::env::set_current_dir("/")?;
    name_process(&order)?;
    set_child_subreaper(true)?;
    open_standard(&files)?;
    let signals = Signals::open()?;
    let intent = order.intent();
    write_record(&files.intent(), &intent)?;
    failpoint!("keeper.intent_written");
    let own = ProcessIdentity::own()?;
    let past = Past::load(&files, &own.boot);
    let place = Place { files, own, pid_namespace: pid_namespace()?, program, _lock: lock };
    Ok(Life::new(place, signals, past, intent, order.environment))
}

/// The host that an earlier keeper left running: its record is not to be overwritten. A record of a newer program is
/// an error, for it may name one; a damaged one names none, and the host's own lock keeps a second one from work.
fn running_host(files: &HostFiles) -> Result<Option<ProcessRef>, NoKeeper> {
    let record = match read_record::<HostRecord>(&files.process()) {
        Err(RecordError::Unusable { fault, .. }) if !matches!(fault, RecordFault::Newer { .. }) => None,
        read => read?,
    };
    let Some(record) = record else { return Ok(None) };
    let handle = Pidfd::open(&record.host_identity())?.filter(|_| !is_no_host(&record));
    // A zombie whose parent does not wait for it has a handle, and has ended.
    let lives = handle.map_or(Ok(false), |handle| handle.wait(Duration::ZERO).map(|ended| !ended))?;
    Ok(lives.then_some(record.host))
}

fn name_process(order: &KeeperOrder) -> Result<(), NoKeeper> {
    set_title(&format!("{KEEPER_TITLE}{}", order.name))?;
    // The kernel cuts it to 15 bytes.
    let short = std::ffi::CString::new(format!("keeper {}", order.name)).unwrap_or_default();
    Ok(set_name(&short)?)
}

fn pid_namespace() -> Result<u64, FileError> {
    let path = Path::new("/proc/self/ns/pid");
    Ok(std::fs::metadata(path).map_err(FileError::of(path, "look at"))?.ino())
}

/// Input is nothing, output is the log, also for what is started.
fn open_standard(files: &HostFiles) -> Result<(), NoKeeper> {
    let null = Path::new("/dev/null");
    dup2_stdin(File::open(null).map_err(FileError::of(null, "open"))?)?;
    Ok(print_into_log(files)?)
}

/// Opens the log by its path and makes it output and error.
pub(super) fn print_into_log(files: &HostFiles) -> Result<(), FileError> {
    let path = files.log();
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(FileError::of(folder, "make directory"))?;
    let log = open_log(&path).map_err(FileError::of(&path, "open"))?;
    let reopened = dup2_stdout(&log).and_then(|()| dup2_stderr(&log));
    reopened.map_err(|errno| FileError::new(&path, "take for output", errno.into()))
}
