//! The spawner's whole life: read an order, fork a keeper, answer; end when the daemon's end of the socket closes.
//!
//! It is a process of its own with one thread, so that keepers are forked before any thread, runtime or lock exists.
//! It holds nothing that matters: killed at any moment, it is started again.
#![expect(unsafe_code, reason = "fork")]

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::descriptors::close_others;
use super::order::{Answer, MAX_ANSWER_BYTES};
use super::pidfd::poll_timeout;
use super::spawner::SPAWNER_NAME;
use super::{KeeperOrder, frame, keeper};

/// How long a keeper may take to begin: thousands of times what it needs; a file system that hangs takes longer.
const KEEPER_DEADLINE: Duration = Duration::from_secs(5);

/// Whether this process was started to be a spawner. To be asked first thing: before any thread or file is there.
#[must_use]
pub fn is_spawner() -> bool {
    std::env::args_os().next().is_some_and(|name| name == SPAWNER_NAME)
}

/// Is the spawner: returns when the other end of the socket on standard input is closed, or is none.
#[must_use]
pub fn spawner_main() -> ExitCode {
    close_others(&[]);
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{SPAWNER_NAME}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    while let Some((order, program)) = frame::receive_with(&stream)? {
        failpoint!("keeper.ordered");
        frame::send(&stream, &answer_to(&order, program))?;
    }
    Ok(())
}

/// What comes of an order, in an answer's bytes.
fn answer_to(order: &[u8], program: Option<OwnedFd>) -> Vec<u8> {
    let order = match ron::de::from_bytes::<KeeperOrder>(order) {
        Ok(order) => order,
        Err(error) => return Answer::failed(format_args!("its order cannot be read: {error}")).encode(),
    };
    let Some(program) = program else { return Answer::failed("its order has no program").encode() };
    make_keeper(order, program).unwrap_or_else(|error| Answer::failed(format_args!("cannot fork: {error}")).encode())
}

fn make_keeper(order: KeeperOrder, program: OwnedFd) -> io::Result<Vec<u8>> {
    let (answer, keepers_end) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // A keeper takes no signal before it waits for them.
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    let forked = unsafe { fork() };
    if matches!(forked, Ok(ForkResult::Child)) {
        fork_again(order, program, keepers_end);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    drop(keepers_end);
    if let ForkResult::Parent { child } = forked? {
        wait_for(child)?;
    }
    failpoint!("keeper.forked");
    read_answer(&answer)
}

/// Forks the keeper and ends, so that the keeper is nobody's child here.
fn fork_again(order: KeeperOrder, program: OwnedFd, answer: OwnedFd) -> ! {
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => keeper::keep(order, program, answer),
        Ok(ForkResult::Parent { .. }) => end(0),
        Err(_) => end(1),
    }
}

/// Ends a forked process at once: what is to be done at exit is the parent's.
pub(super) fn end(code: i32) -> ! {
    // SAFETY: `_exit` takes a number and does not return.
    unsafe { libc::_exit(code) }
}

fn wait_for(child: Pid) -> io::Result<()> {
    loop {
        match waitpid(child, None) {
            Err(nix::errno::Errno::EINTR) => {}
            waited => return Ok(waited.map(drop)?),
        }
    }
}

/// A keeper writes its answer in one piece. Nothing means that it ended before.
fn read_answer(answer: &OwnedFd) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + KEEPER_DEADLINE;
    loop {
        match poll(&mut [PollFd::new(answer.as_fd(), PollFlags::POLLIN)], poll_timeout(deadline)) {
            Ok(0) if Instant::now() < deadline => {}
            Ok(0) => return Ok(Answer::failed("it does not say within 5 s that it keeps").encode()),
            Ok(_) => break,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut bytes = vec![0; MAX_ANSWER_BYTES];
    let length = std::fs::File::from(answer.try_clone()?).read(&mut bytes)?;
    bytes.truncate(length);
    Ok(if length == 0 { Answer::failed("it ended before it said that it keeps").encode() } else { bytes })
}
