//! Processes and what the kernel lets them hold: locks, limits, identity.

mod lock;

pub use lock::{ByteLock, is_locked};
