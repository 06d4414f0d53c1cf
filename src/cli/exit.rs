//! What our programs end with, and which error leads to what.
//!
//! The numbers are those of `sysexits.h`, so that a script or a unit file can tell a mistake from bad luck: 64, 65 and
//! 78 come again until somebody changes something, 75 is worth another try.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::channel::ChannelError;
use crate::codec::CodecError;
use crate::config::Faults;
use crate::name::NameError;
use crate::process::{FileError, InstanceError};
use crate::transit;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is done, or the end was asked for.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// The message, or what a queue holds, is wrong.
    Data = 65,
    /// There is nothing to talk to, or somebody else has it.
    Unavailable = 69,
    /// A file or directory could not be used.
    IoError = 74,
    /// Something took too long; it may work later.
    TempFail = 75,
    /// The config, the environment or the choice of a directory is wrong.
    Config = 78,
    /// A second interrupt ended it at once.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a program ends, and with what. Every error of the product becomes one by `?`; this is the one place that says
/// which code it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What is wrong, as a lowercase fragment.
    pub text: String,
}

impl Failure {
    /// A failure that ends with `exit` and says `text`.
    pub fn new(exit: Exit, text: impl fmt::Display) -> Self {
        Self { exit, text: text.to_string() }
    }

    /// Says it on standard error as `program: text`; returns the code.
    #[must_use]
    pub fn report(&self, program: &str) -> Exit {
        complain(program, &self.text);
        self.exit
    }
}

/// Says something on standard error as `program: text`.
pub(super) fn complain(program: &str, text: impl fmt::Display) {
    // Where standard error is closed nobody is left to tell, and the code says the most important; `eprintln!` would
    // panic and take that too.
    drop(writeln!(io::stderr(), "{program}: {text}"));
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

impl From<Faults> for Failure {
    /// Of a message; a config's faults are [`Exit::Config`], as whoever reads configs knows.
    fn from(faults: Faults) -> Self {
        Self::new(Exit::Data, faults)
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        Self::new(Exit::Data, error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::new(Exit::IoError, error)
    }
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        Self::new(Exit::Config, error)
    }
}

impl From<InstanceError> for Failure {
    fn from(error: InstanceError) -> Self {
        let exit = match &error {
            InstanceError::Running { .. } | InstanceError::RunningUnseen { .. } => Exit::Unavailable,
            InstanceError::File(_) => Exit::IoError,
        };
        Self::new(exit, error)
    }
}

impl From<transit::Error> for Failure {
    fn from(error: transit::Error) -> Self {
        use transit::Error as E;
        let exit = match &error {
            E::NoRoot | E::NotADirectory { .. } | E::NotOurs { .. } | E::ForeignFileSystem { .. } => Exit::Config,
            E::Io { .. } | E::NotWritable { .. } | E::Damaged { .. } => Exit::IoError,
            E::LaneBusy { .. } | E::IndexBusy { .. } => Exit::TempFail,
            E::ConsumedBy { .. } | E::TooManyLanes { .. } | E::LaneIsShared => Exit::Unavailable,
        };
        Self::new(exit, error)
    }
}

impl From<transit::AppendError> for Failure {
    fn from(error: transit::AppendError) -> Self {
        use transit::AppendError as E;
        match error {
            E::Full { .. } | E::DroppedNewest { .. } | E::DeadLetter { .. } => Self::new(Exit::TempFail, error),
            E::TooLarge { .. } => Self::new(Exit::Data, error),
            E::Queue(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::QueueName;

    fn check(failure: impl Into<Failure>, expected: u8) {
        let failure = failure.into();
        assert_eq!(failure.exit as u8, expected, "{}", failure.text);
    }

    #[test]
    fn each_error_has_the_code_that_sysexits_gives_it() {
        let queue = QueueName::new("Q").unwrap();
        let path = std::path::PathBuf::from("/t");
        let io = || std::io::Error::from_raw_os_error(libc::ENOSPC);
        check(QueueName::new("../x").unwrap_err(), 64);
        check(CodecError::TooDeep, 65);
        check(transit::AppendError::TooLarge { queue: queue.clone(), bytes: 2, max_bytes: 1 }, 65);
        check(transit::Error::ConsumedBy { queue: queue.clone(), description: "pid 1".into() }, 69);
        check(InstanceError::Running { pid: 1, state_dir: path.clone() }, 69);
        check(FileError::new(&path, "write", io()), 74);
        check(transit::Error::NotWritable { path: path.clone(), source: io() }, 74);
        check(transit::AppendError::from(transit::Error::Io { path: path.clone(), source: io() }), 74);
        let full = transit::AppendError::Full { queue, messages: 1, max_messages: 1, bytes: 1, max_bytes: 1 };
        check(full, 75);
        check(transit::Error::NotOurs { path, owner: 1, ours: 2 }, 78);
    }
}
