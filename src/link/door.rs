//! The host's side of `STATE/NAME.link`: a one-shot server, and the file that names it.
//!
//! Format 1 of the file is one line, `multimodule link 1 NAME`: NAME is the path of the socket below
//! `STATE/run/NAME.link/`. It is written beside and renamed. While the server listens, the host holds the lock on
//! byte 0 of that very file (`F_OFD_SETLK`), so whoever reads it knows, without a connection, whether somebody is
//! there: a one-shot server has only one to give.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ipc_channel::IpcError;
use ipc_channel::ipc::{IpcOneShotServer, IpcReceiver, IpcSender};

use crate::name::TaskName;
use crate::process::{ByteLock, FileError};

use super::LinkError;
use super::place::Place;
use super::protocol::FromDaemon;

/// The first line of a link file begins with it.
pub(super) const MAGIC: &str = "multimodule link ";
/// The format that this program writes and reads.
pub(super) const FORMAT: u32 = 1;
/// Locked by the host while its server listens.
pub(super) const LISTENING: ByteLock = ByteLock { byte: 0 };

/// Where this process lets the daemon in.
#[derive(Debug)]
pub(super) struct Door {
    place: Place,
    /// A path of the directory of sockets that is short enough.
    sockets: PathBuf,
}

/// A server that waits for its one connection.
pub(super) struct Listening {
    server: IpcOneShotServer<FromDaemon>,
    address: String,
    _lock: File,
}

impl Door {
    /// Makes the directory, once in the life of a process.
    pub(super) fn build(state_dir: &Path, process: &TaskName) -> Result<Self, LinkError> {
        let place = Place::new(state_dir, process);
        let sockets = place.prepare()?;
        Ok(Self { place, sockets })
    }

    /// Makes a fresh server and names it in the link file.
    pub(super) fn open(&self) -> Result<Listening, LinkError> {
        self.place.make_directory()?;
        self.try_socket()?;
        let (server, address) = IpcOneShotServer::new().map_err(LinkError::Socket)?;
        let name = Path::new(&address).strip_prefix(&self.sockets).map_err(|_| {
            // `ipc-channel` no longer asks `tempfile`: then the sockets are not where we say they are.
            LinkError::TemporaryDirectory { set: PathBuf::from(&address) }
        })?;
        let lock = self.publish(name)?;
        Ok(Listening { server, address, _lock: lock })
    }

    /// Removes the file and the sockets.
    pub(super) fn close(&self) -> Result<(), FileError> {
        self.place.remove()
    }

    /// Whether a socket can be made there: `IpcOneShotServer::new` leaks a descriptor each time that it cannot, and a
    /// full disk would cost all of them.
    fn try_socket(&self) -> Result<(), FileError> {
        let path = self.sockets.join("try");
        UnixListener::bind(&path).map(drop).map_err(FileError::of(&path, "make socket"))?;
        fs::remove_file(&path).map_err(FileError::of(&path, "remove"))
    }

    fn publish(&self, name: &Path) -> Result<File, LinkError> {
        let beside = self.place.link_file.with_extension("link.tmp");
        let open = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside);
        let mut file = open.map_err(FileError::of(&beside, "open"))?;
        let write = |file: &mut File| writeln!(file, "{MAGIC}{FORMAT} {}", name.display());
        write(&mut file).map_err(FileError::of(&beside, "write"))?;
        LISTENING.try_take(&file).map_err(FileError::of(&beside, "lock"))?;
        failpoint!("adoption.door_beside");
        fs::rename(&beside, &self.place.link_file).map_err(FileError::of(&self.place.link_file, "rename to"))?;
        failpoint!("adoption.door_open");
        Ok(file)
    }
}

impl Listening {
    /// By which this process reaches its own server.
    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    /// Waits for the connection and its first message, however long that takes. No receiver: whoever came said
    /// nothing that makes sense, or went away; this server is used up.
    pub(super) fn accept(self) -> Option<(IpcReceiver<FromDaemon>, FromDaemon)> {
        // See `pump::receive` for what may panic.
        let accepted: Result<_, IpcError> = catch_unwind(AssertUnwindSafe(|| self.server.accept())).ok()?;
        accepted.inspect_err(|error| tracing::debug!("no control link came of a connection: {error}")).ok()
    }
}

/// Makes a server that waits there find that whoever came is gone.
pub(super) fn knock(address: &str) {
    match IpcSender::<FromDaemon>::connect(address.to_owned()) {
        Ok(gone_at_once) => drop(gone_at_once),
        Err(error) => tracing::debug!("nobody waits at {address}: {error}"),
    }
}
