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

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};

use super::known::{keep, keep_text, texts};
use super::passage::Passage;
use super::read::MAX_SECRET_BYTES;
use crate::process::{Pidfd, ProcessIdentity, close_others, open_log, with_rights_passed_on};

/// The first word of its command line; the second is the log.
const NAME: &str = "multimodule redactor";

/// How long an order may take: it is a few bytes, and waits behind one write to the log.
const PATIENCE: Duration = Duration::from_secs(2);

const SECRET: u8 = b's';
const TEXT: u8 = b't';
const REOPEN: u8 = b'r';
const BEGIN: u8 = b'b';
const DONE: u8 = b'.';

/// A redactor that runs.
#[derive(Debug)]
pub struct Redactor {
    orders: UnixStream,
    /// The number of the newest order.
    newest: u32,
    process: Pidfd,
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
        command.stdin(pipe.try_clone()?).stdout(open_log(log)?).stderr(Stdio::from(OwnedFd::from(its_end)));
        let mut child = with_rights_passed_on(|| command.spawn())?;
        // Its end of the orders is its alone: one that has ended is known by that.
        drop(command);
        match Self::begun(&child, orders) {
            Ok(redactor) => Ok((redactor, child)),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    fn begun(child: &Child, orders: UnixStream) -> io::Result<Self> {
        // Nobody has waited for it yet, so it is that one.
        let identity = ProcessIdentity::of(child.id()).map_err(io::Error::other)?;
        let process = identity.map(|identity| Pidfd::open(&identity)).transpose().map_err(io::Error::other)?.flatten();
        let process = process.ok_or_else(|| io::Error::other("the process that redacts cannot be seen in /proc"))?;
        let mut redactor = Self { orders, newest: 0, process };
        texts().iter().try_for_each(|text| redactor.order(TEXT, text.as_bytes()))?;
        redactor.order(BEGIN, &[])?;
        Ok(redactor)
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

    /// Gives an order and waits for its answer. An order that took too long may be answered yet: such an answer is not
    /// taken for that of a later one.
    fn order(&mut self, what: u8, text: &[u8]) -> io::Result<()> {
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        self.newest = self.newest.wrapping_add(1);
        let order = [&[what], &self.newest.to_le_bytes()[..], &length.to_le_bytes(), text].concat();
        if let Err(error) = self.orders.write_all(&order) {
            // It may have got a part, and would take the next order for the rest. Another one takes its place.
            self.process.signal(Signal::SIGKILL)?;
            return Err(error);
        }
        loop {
            let mut answer = [0; 5];
            self.orders.read_exact(&mut answer)?;
            let [outcome, number @ ..] = answer;
            match (u32::from_le_bytes(number) == self.newest, outcome) {
                (false, _) => {}
                (true, DONE) => return Ok(()),
                (true, _) => return Err(io::Error::other("what redacts the log could not do as it was told")),
            }
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
    let mut passage = Passage::new(
        io::stdin().as_fd().try_clone_to_owned()?,
        Some(io::stdout().as_fd().try_clone_to_owned()?.into()),
    );
    let orders = UnixStream::from(io::stderr().as_fd().try_clone_to_owned()?);
    while obey(&orders, log, &mut passage)? != BEGIN {}
    let mut orders = Some(orders);
    loop {
        let (has_order, has_input) = wait(orders.as_ref(), &passage)?;
        if has_order {
            // Without its host there are no more orders, and what it has printed is still to be written.
            orders = orders.take().filter(|orders| obey(orders, log, &mut passage).is_ok());
        } else if has_input && !passage.pass()? {
            return Ok(());
        }
    }
}

/// Waits for an order or for text; an order goes first.
fn wait(orders: Option<&UnixStream>, input: &Passage) -> io::Result<(bool, bool)> {
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
fn obey(mut orders: &UnixStream, log: &Path, passage: &mut Passage) -> io::Result<u8> {
    let (mut what, mut number, mut length) = ([0], [0; 4], [0; 4]);
    for part in [&mut what[..], &mut number, &mut length] {
        orders.read_exact(part)?;
    }
    let [what] = what;
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
        REOPEN => passage.reopen(log).is_ok(),
        _ => what == BEGIN,
    };
    let [first, second, third, last] = number;
    orders.write_all(&[if is_done { DONE } else { what }, first, second, third, last])?;
    Ok(what)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::process::Child;

    use super::*;

    fn redactor() -> (Redactor, UnixStream, Child) {
        let (orders, its_end) = UnixStream::pair().unwrap();
        orders.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        orders.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
        let child = Command::new("/bin/sleep").arg("600").spawn().unwrap();
        let process = Pidfd::open(&ProcessIdentity::of(child.id()).unwrap().unwrap()).unwrap().unwrap();
        (Redactor { orders, newest: 0, process }, its_end, child)
    }

    #[test]
    fn an_answer_that_comes_late_is_not_that_of_the_next_order() {
        let (mut redactor, mut its_end, mut child) = redactor();
        assert!(redactor.keep("the first").is_err(), "it is busy");
        its_end.write_all(&[DONE, 1, 0, 0, 0]).unwrap();
        assert!(redactor.keep("the second").is_err(), "it does not know that one yet");
        its_end.write_all(&[DONE, 2, 0, 0, 0, DONE, 3, 0, 0, 0]).unwrap();
        redactor.keep("the third").unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_that_has_got_a_part_of_an_order_is_ended_and_gets_no_other() {
        let (mut redactor, its_end, mut child) = redactor();
        let secret = "x".repeat(MAX_SECRET_BYTES);
        while redactor.keep(&secret).is_err() && child.try_wait().unwrap().is_none() {}
        assert!(its_end.as_raw_fd() > 0 && !child.wait().unwrap().success());
    }
}
