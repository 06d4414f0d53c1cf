//! The daemon of a world, or any long-running child of one: started, spoken to, waited for.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::children::{Child, Exit};
use crate::lines::{Line, Stream};
use crate::world::World;

/// A daemon to be started; the words of its command line in the order in which they are given here.
#[derive(Debug)]
pub(crate) struct DaemonBuilder<'world> {
    world: &'world World,
    command: Command,
}

/// A running daemon. When it goes, the process is killed.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
}

impl<'world> DaemonBuilder<'world> {
    pub(crate) fn new(world: &'world World, program: impl AsRef<OsStr>) -> Self {
        Self { world, command: world.command(program) }
    }

    /// Writes the world's config and names it by `-c`.
    pub(crate) fn config(self, text: &str) -> Self {
        self.world.write_config(text);
        let path = self.world.config_path();
        self.arg("-c").arg(path)
    }

    /// Where tasks are looked up, `-p`.
    pub(crate) fn prefix(self, prefixes: &str) -> Self {
        self.arg("-p").arg(prefixes)
    }

    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// It may have so many descriptors.
    pub(crate) fn with_descriptors(mut self, count: u32) -> Self {
        let mut shell = self.world.command("/bin/sh");
        shell.args(["-c", &format!("ulimit -n {count}; exec \"$0\" \"$@\"")]);
        shell.arg(self.command.get_program()).args(self.command.get_args());
        shell.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.command = shell;
        self
    }

    pub(crate) fn start(mut self) -> Daemon {
        Daemon { child: Child::start(&mut self.command) }
    }
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Everything it printed so far, from both streams.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.child.log().lines()
    }

    /// What it printed so far on standard output.
    pub(crate) fn stdout(&self) -> String {
        self.child.log().text(Stream::Out)
    }

    /// Waits for a line that holds `text`, also one that is there already; its number, counted from 0.
    /// Panics with all it printed when the deadline passes or its streams close first.
    pub(crate) fn wait_for(&self, text: &str, deadline: Duration) -> usize {
        self.wait_for_after(0, text, deadline)
    }

    /// As [`Daemon::wait_for`], for a line at number `from` or later: what came before an action is not its effect.
    pub(crate) fn wait_for_after(&self, from: usize, text: &str, deadline: Duration) -> usize {
        let number = self.child.log().wait_for(from, text, deadline);
        number
            .unwrap_or_else(|| panic!("no line with {text:?} from line {from} in {deadline:?}\n{}", self.transcript()))
    }

    /// SIGINT: Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.child.signal(Signal::SIGINT);
    }

    /// SIGTERM: end, and leave external tasks running.
    pub(crate) fn terminate(&self) {
        self.child.signal(Signal::SIGTERM);
    }

    /// SIGHUP: logs were renamed.
    pub(crate) fn hang_up(&self) {
        self.child.signal(Signal::SIGHUP);
    }

    /// SIGKILL: a crash.
    pub(crate) fn kill(&self) {
        self.child.signal(Signal::SIGKILL);
    }

    /// Waits for its end and says how it came.
    pub(crate) fn exit(&self, deadline: Duration) -> Exit {
        let exit = self.child.wait(deadline);
        exit.unwrap_or_else(|| panic!("it has not ended in {deadline:?}\n{}", self.transcript()))
    }

    /// Waits for its end by itself; panics when a signal ended it.
    pub(crate) fn exit_code(&self, deadline: Duration) -> i32 {
        match self.exit(deadline) {
            Exit::Code(code) => code,
            Exit::Signal(signal) => panic!("signal {signal} ended it\n{}", self.transcript()),
        }
    }

    fn transcript(&self) -> String {
        let lines = self.lines();
        let shown = lines.iter().map(|line| format!("  {:?}: {}\n", line.stream, line.text));
        format!("it printed {} lines\n{}", lines.len(), shown.collect::<String>())
    }
}
