//! The control link between the daemon and a host: typed orders and answers, and word of each other's end.
//!
//! ```text
//!   daemon                                                        host NAME
//!   DaemonLink::connect ── reads STATE/NAME.link ──┐              HostLink::start: a one-shot server,
//!        │                                         └─ connects ─► its name in STATE/NAME.link
//!        ├── Hello {version, reply} ─────────────────────────────►│
//!        │◄──────────────────────────────────────────── HostHello ┤
//!        ├── ToHost ─────────────────────────────────────────────►│ HostEvent
//!        │◄───────────────────────────────────────────── ToDaemon ┤
//!        ╳ either side ends: the other sees it at once; the host makes a fresh server and names it
//! ```
//!
//! Invariants: `send` never blocks, whatever the peer does; each end has one thread that sends and one that receives,
//! with a bounded queue before each; a link that ends is never used again; nothing depends on the link having been
//! there: no data message goes over it, and what it carries may be lost with it.
//!
//! It knows nothing of what the orders mean, and restarts nobody.

mod claim;
mod daemon;
mod door;
mod error;
mod host;
mod outbox;
mod place;
mod protocol;
mod pump;
#[cfg(test)]
mod tests;

pub use daemon::{DaemonLink, RECEIVED_MESSAGES};
pub use error::LinkError;
pub use host::{EVENTS, HostEvent, HostLink};
pub use outbox::OUTBOX_MESSAGES;
pub use place::remove_remains;
pub use protocol::{COUNTED, HostHello, OLDEST, ToDaemon, ToHost, VERSION};
