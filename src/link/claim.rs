//! The daemon's side of `STATE/NAME.link`: who is named there, and the right to connect.
//!
//! Invariants: the file is believed as far as its host's lock goes, and nothing in it leads out of the directory of
//! that host's sockets. One attempt at a time: the lock on byte 1 is the attempt's. Without it, attempts on a stopped
//! host would fill the backlog of its server, and the next would block its thread.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::name::TaskName;
use crate::process::{ByteLock, FileError, is_locked};

use super::LinkError;
use super::door::{FORMAT, LISTENING, MAGIC};
use super::place::Place;

/// Locked by the one attempt to connect.
const ATTEMPT: ByteLock = ByteLock { byte: 1 };
/// The longest link file: one line; a name of ours has some 20 bytes.
const MAX_FILE_BYTES: u64 = 128;

/// The right to connect to the server that is named in a link file, until dropped.
#[derive(Debug)]
pub(super) struct Claim {
    /// By which the server is reached from this process, as long as the claim lives.
    pub(super) address: String,
    _attempt: File,
    _sockets: File,
}

impl Claim {
    pub(super) fn take(state_dir: &Path, process: &TaskName) -> Result<Self, LinkError> {
        let place = Place::new(state_dir, process);
        let path = place.link_file;
        let file = open(&path)?;
        let name = parse(&read(&file, &path)?, &path)?;
        if !ATTEMPT.try_take(&file).map_err(FileError::of(&path, "lock"))? {
            return Err(LinkError::Claimed { path });
        }
        if !is_locked(&file, LISTENING.byte).map_err(FileError::of(&path, "look for the lock of"))? {
            return Err(LinkError::NobodyListens { path });
        }
        let sockets = File::open(&place.sockets).map_err(FileError::of(&place.sockets, "open"))?;
        // A state directory may have a longer path than a socket address holds: not so through its descriptor.
        let address = format!("/proc/self/fd/{}/{name}", sockets.as_raw_fd());
        Ok(Self { address, _attempt: file, _sockets: sockets })
    }
}

fn open(path: &Path) -> Result<File, LinkError> {
    use std::os::unix::fs::OpenOptionsExt;
    // Whatever stands there, opening it must not wait.
    let opened = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path);
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => LinkError::NoLinkFile { path: path.to_owned() },
        io::ErrorKind::IsADirectory => LinkError::NotALinkFile { path: path.to_owned() },
        _ => FileError::new(path, "open", error).into(),
    })
}

fn read(file: &File, path: &Path) -> Result<String, LinkError> {
    let mut text = String::new();
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    match is_file.then(|| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)) {
        Some(Ok(_)) => Ok(text),
        Some(Err(error)) if error.kind() != io::ErrorKind::InvalidData => {
            Err(FileError::new(path, "read", error).into())
        }
        _ => Err(LinkError::NotALinkFile { path: path.to_owned() }),
    }
}

/// The path of the socket below the directory of its host's sockets.
fn parse(text: &str, path: &Path) -> Result<String, LinkError> {
    let not_one = || LinkError::NotALinkFile { path: path.to_owned() };
    let rest = text.strip_prefix(MAGIC).ok_or_else(not_one)?;
    let (format, rest) = rest.split_once(' ').ok_or_else(not_one)?;
    match format.parse().map_err(|_| not_one())? {
        FORMAT => {}
        format if format > FORMAT => return Err(LinkError::NewerLinkFile { path: PathBuf::from(path), format }),
        _ => return Err(not_one()),
    }
    let name = rest.strip_suffix('\n').ok_or_else(not_one)?;
    let good = name.len() as u64 <= MAX_FILE_BYTES && name.split('/').all(is_component);
    good.then(|| name.to_owned()).ok_or_else(not_one)
}

/// A name that stays where it is: not empty, nothing but letters, digits and a single dot before them.
fn is_component(name: &str) -> bool {
    let letters = name.strip_prefix('.').unwrap_or(name);
    !letters.is_empty() && letters.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let name = parse(text, Path::new("x.link"));
        assert_eq!(name.unwrap_or_else(|error| error.to_string()), expected, "{text:?}");
    }

    #[test]
    fn a_link_file_names_a_socket_below_its_directory_and_nothing_else() {
        check("multimodule link 1 .tmpAbCd12/socket\n", ".tmpAbCd12/socket");
        check("multimodule link 2 anything\n", "x.link is a link file of format 2, this program knows 1");
        for text in [
            "",
            "garbage",
            "multimodule link 1 .tmpAbCd12/socket",
            "multimodule link 0 socket\n",
            "multimodule link 1 \n",
            "multimodule link 1 /tmp/socket\n",
            "multimodule link 1 ../socket\n",
            "multimodule link 1 a//socket\n",
            "multimodule link 1 a/./socket\n",
            "multimodule link 1 a/so\0cket\n",
            "multimodule link 1 a\nb\n",
        ] {
            check(text, "x.link is no link file");
        }
    }
}
