//! The socket's path: bound and reached also where it is longer than a socket address holds (107 bytes).
//!
//! The directory is held open, and the socket named below `/proc/self/fd/N`, which is short.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

/// The socket's name in the state directory.
pub(super) const SOCKET: &str = "control.sock";

/// The name under which it is bound, until only its owner may use it.
const UNREADY: &str = ".control.sock.new";

/// A listening socket with the path that it is removed by.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) path: PathBuf,
}

impl Drop for Door {
    fn drop(&mut self) {
        // One that stays is dead, and replaced by the next daemon.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Listens in `state_dir`; whoever calls it holds that directory's lock, so a socket that stands there is dead.
pub(super) fn listen(state_dir: &Path) -> io::Result<(Door, tokio::net::UnixListener)> {
    let directory = File::open(state_dir)?;
    let below = short(&directory);
    let (unready, path) = (below.join(UNREADY), state_dir.join(SOCKET));
    remove_socket(&unready)?;
    let listener = UnixListener::bind(&unready)?;
    std::fs::set_permissions(&unready, Permissions::from_mode(0o600))?;
    remove_socket(&path)?;
    // Nobody sees it with other permissions than these.
    std::fs::rename(&unready, &path)?;
    listener.set_nonblocking(true)?;
    Ok((Door { path }, tokio::net::UnixListener::from_std(listener)?))
}

/// What stands there is removed if it is a socket; anything else is somebody's file.
fn remove_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::other(format!("{} is no socket; move it away", path.display()))),
    }
}

/// Calls the daemon of `state_dir`.
pub(super) async fn connect(state_dir: &Path) -> io::Result<UnixStream> {
    let directory = File::open(state_dir)?;
    UnixStream::connect(short(&directory).join(SOCKET)).await
}

fn short(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_reached_also_by_a_path_longer_than_an_address_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(200)).join("e".repeat(200));
        std::fs::create_dir_all(&deep).unwrap();
        for _ in 0..2 {
            let (door, listener) = listen(&deep).unwrap();
            let (called, accepted) = tokio::join!(connect(&deep), listener.accept());
            assert!(called.is_ok() && accepted.is_ok());
            assert_eq!(std::fs::metadata(&door.path).unwrap().permissions().mode() & 0o777, 0o600);
            // As after a kill: the socket stays, and is dead.
            std::mem::forget(door);
        }
        assert!(connect(dir.path()).await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(SOCKET), "mine").unwrap();
        assert!(listen(dir.path()).unwrap_err().to_string().contains("is no socket"));
        assert_eq!(std::fs::read_to_string(dir.path().join(SOCKET)).unwrap(), "mine");
    }
}
