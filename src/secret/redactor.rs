//! The redactor of a host that has secrets: a process of its own, through which goes what the host prints.
//!
//! ```text
//!   host ──stdout, stderr──► pipe ──► redactor ──► STATE/log/NAME.log
//!     └────── orders: a secret, or "open the log anew"; each is answered when it is done ──► its standard error
//! ```
//!
//! It is a process, and no thread of the host, because what a host says last says most: when it is killed, or aborts,
//! what stands in the pipe is still read here. It ends when nobody holds the other end of the pipe any more, and heeds
//! no signal but KILL until then. If it is killed itself, its host starts another one on the same pipe.
//!
//! Invariant: it knows a secret before the task does, for the host waits for the answer; and it reads nothing before it
//! knows those that the tasks have.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;

use super::known::{keep, keep_text, texts};
use super::pieces::Pieces;
use super::read::MAX_SECRET_BYTES;
use crate::process::{close_others, with_rights_passed_on};

/// The first word of its command line; the second is the log.
const NAME: &str = "multimodule redactor";

/// How long an order may take: it is a few bytes, and waits behind one write to the log.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much is read at once: what a pipe holds.
const PIECE: usize = 64 << 10;

const SECRET: u8 = b's';
const TEXT: u8 = b't';
const REOPEN: u8 = b'r';
const BEGIN: u8 = b'b';
const DONE: u8 = b'.';

/// A redactor that runs.
#[derive(Debug)]
pub struct Redactor {
    orders: UnixStream,
}

impl Redactor {
    /// Starts one, by `program`, that writes what comes out of `pipe` to the file `log`, and knows all secrets of this
    /// process.
    ///
    /// # Errors
    /// No process can be made, or it does not answer.
    pub fn start(program: &Path, pipe: &OwnedFd, log: &Path) -> io::Result<(Self, Child)> {
        let (orders, its_end) = UnixStream::pair()?;
        orders.set_read_timeout(Some(PATIENCE))?;
        orders.set_write_timeout(Some(PATIENCE))?;
        let mut command = Command::new(program);
        // Without our environment it has no secrets that are not needed, and no mark by which it would be ended.
        command.arg0(NAME).arg(log).env_clear().current_dir("/");
        command.stdin(pipe.try_clone()?).stdout(open(log)?).stderr(Stdio::from(OwnedFd::from(its_end)));
        let mut redactor = Self { orders };
        let mut child = with_rights_passed_on(|| command.spawn())?;
        match redactor.begin() {
            Ok(()) => Ok((redactor, child)),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        texts().iter().try_for_each(|text| self.order(TEXT, text.as_bytes()))?;
        self.order(BEGIN, &[])
    }

    /// Has it look for a secret from now on.
    ///
    /// # Errors
    /// It does not answer.
    pub fn keep(&mut self, secret: &str) -> io::Result<()> {
        self.order(SECRET, secret.as_bytes())
    }

    /// Has it open the log by its name anew.
    ///
    /// # Errors
    /// It cannot, or does not answer.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.order(REOPEN, &[])
    }

    fn order(&mut self, what: u8, text: &[u8]) -> io::Result<()> {
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        let order = [&[what], &length.to_le_bytes()[..], text].concat();
        self.orders.write_all(&order)?;
        let mut answer = [0];
        self.orders.read_exact(&mut answer)?;
        if answer == [DONE] {
            Ok(())
        } else {
            Err(io::Error::other("what redacts the log could not do as it was told"))
        }
    }
}

/// Whether this process was started to be a redactor. To be asked first thing.
#[must_use]
pub fn is_redactor() -> bool {
    std::env::args_os().next().is_some_and(|name| name == NAME)
}

/// Is the redactor: returns when what it reads from standard input has ended.
#[must_use]
pub fn redactor_main() -> ExitCode {
    close_others(&[]);
    // Whoever ends a host ends what is below it; the last words of those are written first. A log that may not grow is
    // an error of that write.
    if SigSet::all().thread_block().is_err() {
        return ExitCode::FAILURE;
    }
    let log = std::env::args_os().nth(1).map(PathBuf::from).unwrap_or_default();
    match serve(&log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(log: &Path) -> io::Result<()> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let orders = UnixStream::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (mut pieces, mut piece) = (Pieces::default(), vec![0; PIECE]);
    while obey(&orders, log, &mut output)? != BEGIN {}
    let mut orders = Some(orders);
    loop {
        let (has_order, has_input) = wait(orders.as_ref(), &input)?;
        if has_order {
            // Without its host there are no more orders, and what it has printed is still to be written.
            orders = orders.take().filter(|orders| obey(orders, log, &mut output).is_ok());
        } else if has_input {
            let length = input.read(&mut piece)?;
            let said = if length == 0 { pieces.rest() } else { pieces.next(&piece[..length]) };
            // A disk that is full loses what it does not take, as it does where a host writes by itself.
            drop(output.write_all(&said));
            if length == 0 {
                return Ok(());
            }
        }
    }
}

/// Waits for an order or for text; an order goes first.
fn wait(orders: Option<&UnixStream>, input: &File) -> io::Result<(bool, bool)> {
    let watched = |descriptor| PollFd::new(descriptor, PollFlags::POLLIN);
    let mut both: Vec<_> =
        [watched(input.as_fd())].into_iter().chain(orders.map(|orders| watched(orders.as_fd()))).collect();
    match poll(&mut both, PollTimeout::NONE) {
        Err(Errno::EINTR) => return Ok((false, false)),
        polled => polled?,
    };
    let ready = |number: usize| both.get(number).is_some_and(|one| one.any().unwrap_or(true));
    Ok((ready(1), ready(0)))
}

/// Does what it is told, and says which kind of order that was.
fn obey(mut orders: &UnixStream, log: &Path, output: &mut File) -> io::Result<u8> {
    let mut head = [0; 5];
    orders.read_exact(&mut head)?;
    let [what, length @ ..] = head;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    // A form of a secret, quoted, is at most six times as long.
    if length > 6 * MAX_SECRET_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length];
    orders.read_exact(&mut text)?;
    let is_done = match what {
        SECRET => String::from_utf8(text).is_ok_and(|secret| keep(&secret)),
        TEXT => String::from_utf8(text).is_ok_and(keep_text),
        REOPEN => open(log).map(|file| *output = file).is_ok(),
        _ => what == BEGIN,
    };
    orders.write_all(&[if is_done { DONE } else { what }])?;
    Ok(what)
}

fn open(log: &Path) -> io::Result<File> {
    let mut options = File::options();
    // Not blocking: somebody may have put a FIFO there.
    options.append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(log)
}
