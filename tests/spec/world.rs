//! A world of its own for each spec: a directory with config, state and transit, and the real binaries run in it.
//!
//! ```text
//! world/ ── conf/test.conf      what `write_config` writes
//!        ── transit/            MULTIMODULE_TRANSIT of everything that runs here
//!        ── home/               HOME and XDG_STATE_HOME
//!        ── state/              the daemon's default: it runs with `world/` as its directory
//! ```
//!
//! Invariant: nothing outside the world's directory is written, and only children that the world started are signalled.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::children::{Child, Exit};
use crate::daemon::DaemonBuilder;
use crate::lines::Stream;

/// How long a one-shot command may take: far over what the slowest machine needs, so that a hang has a name.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

/// The deadline of what should come at once: generous, since machines are loaded.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The directory of one spec.
#[derive(Debug)]
pub(crate) struct World {
    root: TempDir,
}

/// How a one-shot command ended and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = TempDir::with_prefix("multimodule-spec-").expect("a temporary directory");
        for folder in ["conf", "home"] {
            fs::create_dir(root.path().join(folder)).expect("an empty directory takes a folder");
        }
        Self { root }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Where the queues are; made by the first program that needs it.
    pub(crate) fn transit(&self) -> PathBuf {
        self.path().join("transit")
    }

    /// Where the daemon keeps its state; made by it.
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.path().join("conf/test.conf")
    }

    /// Writes the config beside and renames it: a daemon that watches it never sees half of it.
    pub(crate) fn write_config(&self, text: &str) {
        let beside = self.path().join("conf/.test.conf.new");
        fs::write(&beside, text).expect("the world is writable");
        fs::rename(&beside, self.config_path()).expect("a rename in one directory");
    }

    /// The daemon, `multimodule`.
    pub(crate) fn daemon(&self) -> DaemonBuilder<'_> {
        self.program(env!("CARGO_BIN_EXE_multimodule"))
    }

    /// Any long-running program.
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> DaemonBuilder<'_> {
        DaemonBuilder::new(self, program)
    }

    pub(crate) fn strans(&self, words: &[&str]) -> Outcome {
        self.run(env!("CARGO_BIN_EXE_strans"), words)
    }

    pub(crate) fn rtrans(&self, words: &[&str]) -> Outcome {
        self.run(env!("CARGO_BIN_EXE_rtrans"), words)
    }

    pub(crate) fn qtrans(&self, words: &[&str]) -> Outcome {
        self.run(env!("CARGO_BIN_EXE_qtrans"), words)
    }

    /// What a command to this world's daemon comes to.
    pub(crate) fn ask(&self, words: &[&str]) -> Outcome {
        self.run(env!("CARGO_BIN_EXE_multimodule"), words)
    }

    /// What a command says with `--json`.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str]) -> serde_json::Value {
        let outcome = self.ask(&[words, &["--json"]].concat());
        assert_eq!(outcome.code, 0, "{words:?}: {outcome:?}");
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {outcome:?}"))
    }

    /// Runs a program to its end and to the end of what it prints.
    pub(crate) fn run(&self, program: impl AsRef<OsStr>, words: &[&str]) -> Outcome {
        let mut command = self.command(program);
        let child = Child::start(command.args(words));
        let exit = child.wait(COMMAND_DEADLINE);
        assert!(child.log().wait_closed(COMMAND_DEADLINE), "{command:?} left a child that holds its output");
        let (stdout, stderr) = (child.log().text(Stream::Out), child.log().text(Stream::Error));
        match exit {
            Some(Exit::Code(code)) => Outcome { code, stdout, stderr },
            _ => panic!("{command:?} ended with {exit:?}\n{stdout}\n{stderr}"),
        }
    }

    /// A command that sees this world only.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env("MULTIMODULE_TRANSIT", self.transit());
        command.env("HOME", self.path().join("home")).env("XDG_STATE_HOME", self.path().join("home/state"));
        command.env_remove("RUST_LOG").env_remove("NO_COLOR");
        command
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end_externals();
    }
}
