//! The commands of `multimodule` for a daemon that runs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::name::TaskName;

/// What may be asked of a daemon that runs.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// What runs where, since when, and what waits
    Status {
        /// Only this one, with all that is known of it
        task: Option<TaskName>,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// The last lines of a task, or of the daemon
    Log {
        /// And then what comes
        #[arg(short, long)]
        follow: bool,
        /// How many lines
        #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100)]
        lines: u64,
        /// Whose lines; without, the daemon's
        task: Option<TaskName>,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// Lets a task run that was stopped or has ended
    Start {
        /// Which
        task: TaskName,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// Ends a task until it is started, or the daemon is
    Stop {
        /// Which
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        task: Option<TaskName>,
        /// All tasks and the daemon
        #[arg(long)]
        all: bool,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// Ends a task and starts it
    Restart {
        /// Which
        task: TaskName,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// Moves a task into the daemon or into a process of its own, until the config file says otherwise
    Migrate {
        /// Which
        task: TaskName,
        /// Where to
        place: PlaceWord,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// Reads the config file and applies it, whole or not at all
    Reload {
        /// Only says what would change
        #[arg(long)]
        dry_run: bool,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// Lists what is in failsafe, and why
    #[command(args_conflicts_with_subcommands = true)]
    Failsafe {
        /// What to do about it
        #[command(subcommand)]
        action: Option<FailsafeCommand>,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// What happened to tasks, and by whom
    Events {
        /// Only this one's
        task: Option<TaskName>,
        /// Only those after the event of this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: u64,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// Shows or sets a task's state
    #[command(subcommand)]
    State(StateCommand),
    /// Prints what makes a shell complete these commands
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Prints the manual page, or that of one command, for `man -l -`
    Man {
        /// Which command, as `status` or `failsafe clear`
        command: Vec<String>,
    },
}

/// Which daemon is meant, and how the answer is printed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct Called {
    /// The daemon's state directory [default: ./state, or the only daemon that runs]
    #[arg(short, long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// The transit directory in which running daemons are known
    #[arg(short = 'T', long, value_name = "DIR")]
    pub transit_dir: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Where a task may be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlaceWord {
    /// Into the daemon.
    Internal,
    /// Into a process of its own.
    External,
}

/// What is done about a failsafe.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum FailsafeCommand {
    /// Lets it run again
    Clear {
        /// The task or process
        name: TaskName,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
}

/// What is done with a state.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum StateCommand {
    /// Prints the state in the task's newest record, as RON
    Show {
        /// Whose
        task: TaskName,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
    /// Gives a stopped task another state
    Set {
        /// Whose
        task: TaskName,
        /// The state as RON; - reads standard input
        state: String,
        /// Which daemon.
        #[command(flatten)]
        called: Called,
    },
}
