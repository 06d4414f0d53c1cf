//! Why there is no link.

use std::io;
use std::path::PathBuf;

use crate::process::FileError;

use super::{OLDEST, VERSION};

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No host has published a server, or it has ended and tidied up.
    #[error("no link file {}", path.display())]
    NoLinkFile {
        /// Where it would stand.
        path: PathBuf,
    },
    /// It is not what a host writes.
    #[error("{} is no link file", path.display())]
    NotALinkFile {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote it in a form that this one does not know.
    #[error("{} is a link file of format {format}, this program knows 1", path.display())]
    NewerLinkFile {
        /// The file.
        path: PathBuf,
        /// The number in it.
        format: u32,
    },
    /// Its host has ended, or its server was used: a fresh one is named as soon as that link ends.
    #[error("nobody listens behind {}", path.display())]
    NobodyListens {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else tries it now, or an earlier attempt of ours still waits for an answer.
    #[error("another attempt by {} still waits for its answer", path.display())]
    Claimed {
        /// The file.
        path: PathBuf,
    },
    /// The host takes the connection, and says nothing: it is stopped, or very busy.
    #[error("process {process} was silent for {waited_ms} ms")]
    Silent {
        /// Its name.
        process: String,
        /// How long we waited.
        waited_ms: u128,
    },
    /// The host ended, or closed the link, before it had said who it is.
    #[error("process {process} ended the link before its Hello")]
    Ended {
        /// Its name.
        process: String,
    },
    /// Somebody answered who is no host.
    #[error("what answers for process {process} says no Hello")]
    NoHello {
        /// Its name.
        process: String,
    },
    /// The host's program is too old.
    #[error("process {process} speaks version {theirs} of the control protocol, this program {OLDEST} to {VERSION}")]
    Version {
        /// Its name.
        process: String,
        /// The newest that it speaks.
        theirs: u32,
    },
    /// The host's program is newer, and no longer speaks to ours.
    #[error(
        "process {process} speaks version {theirs} of the control protocol and lets go of this program, \
         which speaks {OLDEST} to {VERSION}"
    )]
    LetGo {
        /// Its name.
        process: String,
        /// The newest that it speaks.
        theirs: u32,
    },
    /// A process has one host link in its life.
    #[error("this process has started its control link already")]
    AlreadyStarted,
    /// Somebody else has told the `tempfile` crate where to put its files, so sockets cannot be where they belong.
    #[error("the directory for temporary files was already set to {}", set.display())]
    TemporaryDirectory {
        /// To where.
        set: PathBuf,
    },
    /// A file or directory of the link.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system gave no socket.
    #[error("no socket for the control link: {0}")]
    Socket(io::Error),
    /// The system gave no thread.
    #[error("no thread for the control link: {0}")]
    Thread(io::Error),
}
