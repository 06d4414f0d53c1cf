//! A host that runs as another user than its daemon, which is root.
//!
//! It opens queues, states, logs and sockets of the daemon all through its life, and those are the daemon's user's
//! alone. So of root's rights it keeps one, to pass by the permissions of files (`CAP_DAC_OVERRIDE`); every other is
//! gone before its program begins. What it starts in turn has none at all: a program of the task is that user's and no
//! more.
//!
//! ```text
//!   root ──become──► user, with that right in the ambient set ──exec──► host: keeps it for itself ──exec──► program: none
//! ```
//!
//! That keeps the task's programs, and the files that they make, the user's. It does not protect from the task's own
//! code, which is compiled in.

use std::io;

use nix::unistd::{Uid, setuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, configure_capability_in_ambient_set,
    set_capabilities, set_keep_capabilities,
};

const FILES: CapabilitySet = CapabilitySet::DAC_OVERRIDE;
const NONE: CapabilitySet = CapabilitySet::empty();

/// Makes this process, which has one thread and is about to execute a host, that of `user`.
pub(super) fn become_user(user: Uid) -> io::Result<()> {
    set_keep_capabilities(true)?;
    setuid(user)?;
    if user.is_root() {
        return Ok(());
    }
    hold(FILES)?;
    Ok(configure_capability_in_ambient_set(FILES, true)?)
}

/// Whether this process is a host that runs as another user than its daemon.
#[must_use]
pub fn is_of_another_user() -> bool {
    !Uid::effective().is_root() && capabilities(None).is_ok_and(|sets| sets.permitted == FILES)
}

/// Keeps the right to the daemon's files from what this process executes. To be called by a host before it has other
/// threads.
///
/// # Errors
/// The system's reason.
pub fn keep_rights_from_programs() -> io::Result<()> {
    if is_of_another_user() {
        clear_ambient_capability_set()?;
        hold(NONE)?;
    }
    Ok(())
}

/// Calls `start`, which starts a program of ours that needs that right as well.
///
/// # Errors
/// The system's reason, or that of `start`.
pub(crate) fn with_rights_passed_on<T>(start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if !is_of_another_user() {
        return start();
    }
    // Each thread has sets of its own: what others start meanwhile gets nothing.
    hold(FILES)?;
    configure_capability_in_ambient_set(FILES, true)?;
    let started = start();
    keep_rights_from_programs()?;
    started
}

/// Has this thread hold the right, and executed programs inherit at most `inheritable`.
fn hold(inheritable: CapabilitySet) -> io::Result<()> {
    Ok(set_capabilities(None, CapabilitySets { effective: FILES, permitted: FILES, inheritable })?)
}
