//! A sender's hold on its queue's doorbell, and a consumer's on that of a sender who waits for it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Weak};

use super::bell::Bell;
use super::index::{Index, Ringing};
use super::open::Inner;

/// Where a ring goes.
#[derive(Debug)]
enum Target {
    /// Nobody waits: no consumer, or one that died.
    Nobody,
    /// A consumer of this process: its waker is called, the kernel is not.
    Ours(Weak<Bell>, u64),
    /// Another process, by its FIFO.
    Theirs(File, u64),
}

/// The bell of a queue's consumer, opened once for as long as the consumer stays the same.
#[derive(Debug)]
pub(super) struct Ringer {
    version: u64,
    target: Target,
}

impl Ringer {
    pub(super) fn new() -> Self {
        // No consumer's version is odd when it is complete, so the first ring looks.
        Self { version: 1, target: Target::Nobody }
    }

    /// Rings. A consumer that cannot be rung for is gone, or looks at everything before it waits.
    pub(super) fn ring(&mut self, transit: &Inner, index: &Index) {
        let version = index.consumer_version();
        // Nobody may have become somebody: a FIFO that was removed is made anew under its name. A dead consumer costs
        // one look more, for it is asleep once.
        if version != self.version || matches!(self.target, Target::Nobody) {
            let Some(ringing) = index.ringing() else { return };
            *self = Self { version, target: open(transit, ringing) };
        }
        if self.target.ring_once() {
            let Some(ringing) = index.ringing() else { return };
            *self = Self { version, target: open(transit, ringing) };
            if self.target.ring_once() {
                self.target = Target::Nobody;
            }
        }
    }
}

/// The bell of a lane's writer that waits, opened once for as long as it stays the same.
#[derive(Debug)]
pub(super) struct WriterRinger {
    ringing: Ringing,
    target: Target,
}

impl WriterRinger {
    pub(super) fn new() -> Self {
        Self { ringing: Ringing::default(), target: Target::Nobody }
    }

    /// Rings. A writer that cannot be rung for is gone, or looks by itself after a while.
    pub(super) fn ring(&mut self, transit: &Inner, ringing: Ringing) {
        if ringing != self.ringing || matches!(self.target, Target::Nobody) {
            *self = Self { ringing, target: open(transit, ringing) };
        }
        if self.target.ring_once() {
            self.target = Target::Nobody;
        }
    }
}

impl Target {
    /// True when whom it rings for is gone.
    fn ring_once(&mut self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Ours(bell, token) => bell.upgrade().is_none_or(|bell| {
                bell.wake(*token);
                false
            }),
            Self::Theirs(fifo, token) => match fifo.write(&token.to_le_bytes()) {
                // A full FIFO holds more tokens than the reader reads one by one: it looks at every queue.
                Ok(_) => false,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            },
        }
    }
}

fn open(transit: &Inner, ringing: Ringing) -> Target {
    if let Some(bell) = transit.own_bell(ringing.bell).filter(|bell| bell.has_waker(ringing.token)) {
        return Target::Ours(Arc::downgrade(&bell), ringing.token);
    }
    let path = super::bell::path(&transit.root, ringing.bell);
    // Without a reader this fails (ENXIO), as it does where the FIFO was removed: then nobody waits.
    match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(fifo) => Target::Theirs(fifo, ringing.token),
        Err(_) => Target::Nobody,
    }
}
