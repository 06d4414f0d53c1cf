//! What can be wrong with a record, and with reading and writing records.

use std::fmt;
use std::path::PathBuf;

use super::encoding::{FORMAT, MAX_RECORD_BYTES};
use super::recovery::Aside;
use crate::name::TaskName;
use crate::process::FileError;

/// Why a file holds no whole record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// It is there and holds nothing.
    #[error("it is empty")]
    Empty,
    /// Its first line is not what a record begins with.
    #[error("its first line is no header of a record")]
    NoHeader,
    /// A newer program wrote it.
    #[error("it has format {0}, this program knows formats up to {FORMAT}")]
    NewerFormat(u64),
    /// It is shorter than its header says.
    #[error("it is cut short: {expected} bytes are announced, {found} are there")]
    CutShort {
        /// The length in bytes, header and all, that the header tells.
        expected: u64,
        /// The length of the file in bytes.
        found: u64,
    },
    /// It announces more than a record may hold.
    #[error("it announces {0} bytes, a record holds at most {MAX_RECORD_BYTES}")]
    TooLarge(u64),
    /// The checksum in the header is not that of the content.
    #[error("its checksum is wrong: it was damaged or only partly written")]
    Checksum,
    /// The checksum is right and yet this section makes no sense.
    #[error("its section `{0}` cannot be read")]
    Section(&'static str),
    /// The disk fails at it.
    #[error("the disk cannot read it: {0}")]
    Unreadable(String),
}

/// Why a task's records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be opened, read, written or renamed; the text says what to do.
    #[error(transparent)]
    File(#[from] FileError),
    /// A newer program wrote this file. Nothing was touched.
    #[error(
        "{} has format {found}, this program knows formats up to {FORMAT}: run the newer program; or move the \
         task's `.state` files away, and it starts at zero",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format's number.
        found: u64,
    },
    /// There are records, and none is good. Nothing was touched.
    #[error(
        "task {task} is not started, for none of its records is good: {}; to go on, mend one of them, or put a good \
         copy in the place of {} and remove the `.state.0` and `.state.1` beside it; to start at zero, remove all three",
        Listed(files), state_file.display()
    )]
    NoneGood {
        /// The task.
        task: TaskName,
        /// Its main state file, whether it exists or not.
        state_file: PathBuf,
        /// The files with what is wrong with each; all are where they were.
        files: Vec<Aside>,
    },
    /// The state, or what is under way with it, has grown too large. The record before holds.
    #[error(
        "the record of task {task} would take {bytes} bytes, at most {MAX_RECORD_BYTES} are allowed: its state grows without end"
    )]
    TooLarge {
        /// The task.
        task: TaskName,
        /// What the record would take.
        bytes: usize,
    },
    /// The names of its files would be longer than Linux takes.
    #[error("the name of the stateful task {task} is too long for its files: at most {limit} bytes are possible")]
    NameTooLong {
        /// The task.
        task: TaskName,
        /// The longest possible name in bytes.
        limit: usize,
    },
}

struct Listed<'a>(&'a [Aside]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, file) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{file}")?;
        }
        Ok(())
    }
}
