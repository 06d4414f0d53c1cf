//! Child processes that a spec started.
//!
//! Invariant: a signal goes only to a child of ours that has not been reaped: a thread of its own watches for its end
//! without reaping it, and it is reaped when its `Child` goes. So its pid cannot mean another process.

use std::process::{self, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::lines::{LineLog, Stream};

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It exited by itself, with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// A running child and what it prints. When it goes, the child is killed if it still runs.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    log: LineLog,
    end: Arc<End>,
}

/// How the child ended, once it has.
#[derive(Debug, Default)]
struct End {
    exit: Mutex<Option<Exit>>,
    known: Condvar,
}

impl Child {
    /// Starts the command with both streams read into a log and no standard input.
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let log = LineLog::default();
        log.read(Stream::Out, process.stdout.take().expect("piped above"));
        log.read(Stream::Error, process.stderr.take().expect("piped above"));
        let end = Arc::new(End::default());
        watch(pid_of(&process), Arc::clone(&end));
        Self { process, log, end }
    }

    pub(crate) fn log(&self) -> &LineLog {
        &self.log
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal; one to a child that has ended already reaches nobody and is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        let sent = kill(pid_of(&self.process), signal);
        assert!(matches!(sent, Ok(()) | Err(Errno::ESRCH)), "cannot signal the child: {sent:?}");
    }

    /// Waits for its end; nothing when that does not come in time.
    pub(crate) fn wait(&self, deadline: Duration) -> Option<Exit> {
        let exit = self.end.exit.lock().expect("the watcher does not panic");
        *self.end.known.wait_timeout_while(exit, deadline, |exit| exit.is_none()).expect("the watcher does not panic").0
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // std remembers a reaped child and then sends nothing; both calls fail only for one that is gone.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn pid_of(process: &process::Child) -> Pid {
    Pid::from_raw(i32::try_from(process.id()).expect("a pid fits"))
}

/// Waits for the end of `pid` without reaping it, in a thread of its own.
fn watch(pid: Pid, end: Arc<End>) {
    thread::spawn(move || {
        let exit = loop {
            match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(WaitStatus::Exited(_, code)) => break Exit::Code(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => break Exit::Signal(signal as i32),
                Ok(_) | Err(Errno::EINTR) => {}
                // Its `Child` is gone and has reaped it: nobody is left to tell.
                Err(_) => return,
            }
        };
        *end.exit.lock().expect("no waiter panics with the lock") = Some(exit);
        end.known.notify_all();
    });
}
