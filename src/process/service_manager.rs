//! The service manager that started this process, if one did: systemd, by its protocol of notifications.
//!
//! ```text
//!   NOTIFY_SOCKET  ─► READY=1 ─► (RELOADING=1 ─► READY=1)* ─► STOPPING=1        each with STATUS=<one line>
//!   WATCHDOG_USEC  ─► WATCHDOG=1 twice in that time, by whoever turns: see `daemon::events`
//! ```
//!
//! Invariant: what the manager said to this process is not passed on: the variables are taken out of the environment
//! before any task, keeper or host could inherit them and answer in our name.
//!
//! It never waits: a manager that does not read is not waited for.
#![expect(unsafe_code, reason = "variables are taken out of the environment")]

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// How much of a status is sent, in characters: what `systemctl status` shows in a row or two.
const MAX_STATUS: usize = 200;

/// What a service manager is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The service works, by its first config or by a changed one; with what it does, in one line.
    Ready(String),
    /// A changed config is being applied; `Ready` follows.
    Reloading,
    /// The service ends in order.
    Stopping,
    /// It is alive.
    Watchdog,
}

/// The way to the service manager. By default there is none, and telling it does nothing.
#[derive(Debug, Default)]
pub struct ServiceManager {
    door: Option<Door>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Door {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// Takes what the service manager said out of this process's environment.
    ///
    /// To be called while there is one thread.
    ///
    /// # Errors
    /// It names a socket that is none, or the kernel gives none. The variables are taken all the same.
    pub fn take() -> io::Result<Self> {
        let [socket, watchdog, pid] = [SOCKET, WATCHDOG, WATCHDOG_PID].map(std::env::var_os);
        for name in [SOCKET, WATCHDOG, WATCHDOG_PID] {
            // SAFETY: this process has one thread, so nobody reads the environment meanwhile.
            unsafe { std::env::remove_var(name) };
        }
        let door = socket.filter(|name| !name.is_empty()).map(|name| Door::to(&name)).transpose()?;
        let watchdog = watchdog_of(watchdog.as_deref(), pid.as_deref(), std::process::id());
        Ok(Self { watchdog: watchdog.filter(|_| door.is_some()), door })
    }

    /// How often the manager wants to hear [`Notice::Watchdog`], at the least; none where it does not.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells the manager something.
    ///
    /// # Errors
    /// It is gone, or does not read: the notice is lost.
    pub fn tell(&self, notice: &Notice) -> io::Result<()> {
        let Some(Door { socket, address }) = &self.door else { return Ok(()) };
        socket.send_to_addr(notice.text()?.as_bytes(), address).map(drop)
    }
}

impl Door {
    /// A path, or behind `@` a name of the kernel's.
    fn to(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::other(format!("{SOCKET}={} is no socket of this machine", name.display()))),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }
}

impl Notice {
    fn text(&self) -> io::Result<String> {
        Ok(match self {
            Self::Ready(status) => {
                // One line is one assignment.
                let line = status.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_STATUS);
                format!("READY=1\nSTATUS={}", line.collect::<String>())
            }
            Self::Reloading => {
                let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
                format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=applies a changed config", now.as_micros())
            }
            Self::Stopping => "STOPPING=1\nSTATUS=saves and ends".to_owned(),
            Self::Watchdog => "WATCHDOG=1".to_owned(),
        })
    }
}

/// The time within which process `own` must be heard of; none if another one is meant.
fn watchdog_of(usec: Option<&OsStr>, pid: Option<&OsStr>, own: u32) -> Option<Duration> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    let is_ours = pid.is_none_or(|pid| number(pid) == Some(own.into()));
    let usec = usec.and_then(number).filter(|usec| *usec > 0 && is_ours);
    usec.map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(name: &OsStr) -> ServiceManager {
        ServiceManager { door: Some(Door::to(name).unwrap()), watchdog: None }
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn a_manager_hears_at_a_path_and_at_a_name_of_the_kernels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("multimodule-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, address) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            let manager = manager(&address);
            manager.tell(&Notice::Ready("runs\nX=1".to_owned())).unwrap();
            assert_eq!(heard(&socket), "READY=1\nSTATUS=runs X=1");
            manager.tell(&Notice::Reloading).unwrap();
            assert!(heard(&socket).starts_with("RELOADING=1\nMONOTONIC_USEC="));
            manager.tell(&Notice::Watchdog).unwrap();
            assert_eq!(heard(&socket), "WATCHDOG=1");
        }
    }

    #[test]
    fn a_manager_that_does_not_read_or_is_gone_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = manager(path.as_os_str());
        let full = (0..1_000_000).find_map(|_| manager.tell(&Notice::Watchdog).err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        drop(socket);
        assert!(manager.tell(&Notice::Stopping).is_err());
        ServiceManager::default().tell(&Notice::Stopping).unwrap();
    }

    #[test]
    fn an_address_of_another_kind_is_refused() {
        let refusal = Door::to(OsStr::new("vsock:2:1")).unwrap_err().to_string();
        assert!(refusal.contains("no socket of this machine"), "{refusal}");
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_is_named() {
        let check = |usec: &str, pid: Option<&str>, expected: Option<u64>| {
            let found = watchdog_of(Some(OsStr::new(usec)), pid.map(OsStr::new), 7);
            assert_eq!(found, expected.map(Duration::from_micros), "{usec} {pid:?}");
        };
        check("2000000", None, Some(2_000_000));
        check("2000000", Some("7"), Some(2_000_000));
        for (usec, pid) in [("2000000", Some("8")), ("2000000", Some("x")), ("0", None), ("", None), ("-1", None)] {
            check(usec, pid, None);
        }
        assert_eq!(watchdog_of(None, None, 7), None);
    }
}
