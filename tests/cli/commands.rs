//! A transit of its own for each test, and the commands run on it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use multimodule::message::Stamp;
use multimodule::name::QueueName;
use multimodule::transit::{Bell, Consumer, Outgoing, Reader, Settings, Transit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// Far over what the slowest machine needs, so that a hang has a name.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A transit directory, which goes with it.
pub(crate) struct Post {
    dir: tempfile::TempDir,
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Post {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::TempDir::with_prefix("multimodule-cli-").unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("transit")
    }

    pub(crate) fn transit(&self) -> Transit {
        Transit::open(&self.path()).unwrap()
    }

    /// Consumes a queue as a daemon would.
    pub(crate) fn consume(&self, transit: &Transit, queue: &str) -> Consumer {
        let description = "pid 77, state directory /s".to_owned();
        let reader = Reader { bell: Bell::open(transit).unwrap(), waker: None, description };
        transit.consumer(&name(queue), None, &reader).unwrap()
    }

    pub(crate) fn set(&self, queue: &str, settings: Settings) {
        self.transit().set_settings(&name(queue), &settings).unwrap();
    }

    pub(crate) fn messages(&self, queue: &str) -> u64 {
        self.transit().status(&name(queue)).unwrap().map_or(0, |status| status.messages)
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let path = match program {
            "multimodule" => env!("CARGO_BIN_EXE_multimodule"),
            "strans" => env!("CARGO_BIN_EXE_strans"),
            "rtrans" => env!("CARGO_BIN_EXE_rtrans"),
            "qtrans" => env!("CARGO_BIN_EXE_qtrans"),
            other => other,
        };
        let mut command = Command::new(path);
        command.current_dir(self.dir.path()).env("MULTIMODULE_TRANSIT", self.path());
        command.env_remove("NO_COLOR").env_remove("RUST_LOG").env_remove("MULTIMODULE_LOG");
        command
    }

    pub(crate) fn run(&self, program: &str, words: &[&str]) -> Outcome {
        self.run_with(program, words, File::open("/dev/null").unwrap().into())
    }

    /// Runs it with a text on standard input.
    pub(crate) fn run_on(&self, program: &str, words: &[&str], input: &[u8]) -> Outcome {
        let path = self.dir.path().join("input");
        File::create(&path).unwrap().write_all(input).unwrap();
        self.run_with(program, words, File::open(path).unwrap().into())
    }

    fn run_with(&self, program: &str, words: &[&str], stdin: Stdio) -> Outcome {
        let output = self.command(program).args(words).stdin(stdin).output().unwrap();
        Outcome {
            code: output.status.code().unwrap_or_else(|| panic!("{program} {words:?}: {output:?}")),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Sends, and expects it to be kept.
    pub(crate) fn send(&self, message: &str, queue: &str) {
        let outcome = self.run("strans", &[message, queue]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert_eq!(outcome.stdout, "");
    }

    /// Puts so many messages on a queue, faster than a command each.
    pub(crate) fn fill(&self, queue: &str, messages: u64) {
        let sender = self.transit().sender(&name(queue), &"process:test".parse().unwrap()).unwrap();
        for _ in 0..messages {
            let out = Outgoing { stamp: Stamp::now(), tag: None, body: &[0x80] };
            sender.append(&out).unwrap();
        }
    }

    /// Starts a command whose output is read line by line.
    pub(crate) fn start(&self, program: &str, words: &[&str]) -> Running {
        let mut command = self.command(program);
        let mut child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Some(BufReader::new(child.stdout.take().unwrap()));
        Running { child, stdout }
    }
}

impl Outcome {
    /// Expects a code, and a reason on standard error.
    pub(crate) fn refused(&self, code: i32, reason: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(reason), "{reason:?} is not in {}", self.stderr);
        assert_eq!(self.stdout, "");
    }
}

pub(crate) fn name(queue: &str) -> QueueName {
    QueueName::new(queue).unwrap()
}

/// A command that runs; it is killed with this.
pub(crate) struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Its next lines, up to one that is `end`.
    pub(crate) fn lines_to(&mut self, end: &str) -> String {
        let mut text = String::new();
        let stdout = self.stdout.as_mut().unwrap();
        killed_at_deadline(&self.child, || {
            while stdout.read_line(&mut text).unwrap() > 0 && text.lines().last() != Some(end) {}
        });
        text
    }

    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn exit_code(mut self) -> i32 {
        let mut status = None;
        killed_at_deadline(&self.child, || {
            status = Some(waitid(Id::Pid(self.pid()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT))
        });
        status.unwrap().unwrap();
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| panic!("it ended with {status}"))
    }

    fn pid(&self) -> Pid {
        pid_of(&self.child)
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Does what waits for a child; kills it when it takes too long. The child is not reaped in here, so its pid stays its
/// own.
fn killed_at_deadline(child: &Child, work: impl FnOnce()) {
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    let pid = pid_of(child);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if rx.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                kill(pid, Signal::SIGKILL).unwrap();
            }
        });
        work();
        drop(tx);
    });
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// Waits until `holds`, which another process brings about without a signal that could be waited for.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < DEADLINE, "{what} has not come about");
        std::thread::yield_now();
    }
}
