//! How a plain thread waits for the doorbell.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;

use super::bell::LONGEST_WAIT;

/// The token that is no queue's.
pub(super) const HEARTBEAT: [u8; 8] = [0; 8];

/// The FIFO opened once more, for reads that wait, and the thread that ends them each second. (A blocking read with
/// a thread beside it takes two thirds of what `poll` with a time-out and a read take.)
#[derive(Debug)]
pub(super) struct Blocking {
    pub(super) fifo: File,
    stop: Option<Sender<()>>,
    heart: Option<JoinHandle<()>>,
}

impl Blocking {
    pub(super) fn new(path: &Path, fifo: &File) -> io::Result<Self> {
        let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
        let blocking = open(libc::O_NOATIME).or_else(|_| open(0))?;
        let (mut beat, (stop, stopped)) = (fifo.try_clone()?, mpsc::channel());
        let heart = std::thread::Builder::new().name("bell".to_owned()).spawn(move || {
            while stopped.recv_timeout(LONGEST_WAIT) == Err(RecvTimeoutError::Timeout) {
                // A full FIFO ends the read without us.
                if let Err(error) = beat.write_all(&HEARTBEAT)
                    && error.kind() != ErrorKind::WouldBlock
                {
                    tracing::error!("the doorbell's heartbeat failed: {error}");
                }
            }
        })?;
        Ok(Self { fifo: blocking, stop: Some(stop), heart: Some(heart) })
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.heart.take().is_some_and(|heart| heart.join().is_err()) {
            tracing::error!("the doorbell's heartbeat panicked");
        }
    }
}
