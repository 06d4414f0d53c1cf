//! From a pipe to a log, and no secret gets through.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::pieces::Pieces;
use crate::process::open_log;

/// How much is read at once: what a pipe holds.
const PIECE: usize = 64 << 10;

/// Where text goes from a pipe to a log.
#[derive(Debug)]
pub struct Passage {
    input: File,
    /// None: what comes is lost.
    output: Option<File>,
    pieces: Pieces,
    piece: Vec<u8>,
}

impl Passage {
    /// Into `log`, which appends, goes what comes out of `pipe`.
    #[must_use]
    pub fn new(pipe: OwnedFd, log: Option<File>) -> Self {
        Self { input: File::from(pipe), output: log, pieces: Pieces::default(), piece: vec![0; PIECE] }
    }

    /// Opens the file `log` and goes on there; the old one is kept where that is not possible.
    ///
    /// # Errors
    /// The system's reason.
    pub fn reopen(&mut self, log: &Path) -> io::Result<()> {
        self.output = Some(open_log(log)?);
        Ok(())
    }

    /// Goes on in `log`; what comes back is where it was before.
    pub fn exchange(&mut self, log: Option<File>) -> Option<File> {
        std::mem::replace(&mut self.output, log)
    }

    /// Lets through what is there, or waits for something; false: nothing comes any more.
    ///
    /// # Errors
    /// The pipe cannot be read.
    pub(super) fn pass(&mut self) -> io::Result<bool> {
        let length = self.input.read(&mut self.piece)?;
        let said = if length == 0 { self.pieces.rest() } else { self.pieces.next(&self.piece[..length]) };
        self.say(&said);
        Ok(length > 0)
    }

    /// Lets through what comes within `time`. If it ends with what may be the beginning of a secret, there are stars
    /// instead: somebody else reads the rest, and does not know it for one.
    ///
    /// # Errors
    /// The pipe cannot be read, or nothing comes any more.
    pub fn pass_for(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        while self.has_input(until)? {
            if !self.pass()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let stars = self.pieces.covered();
        self.say(stars.as_bytes());
        Ok(())
    }

    /// Says something else in between.
    pub fn say(&mut self, text: &[u8]) {
        // A disk that is full loses what it does not take, as it does where a host writes by itself.
        drop(self.output.as_mut().map(|output| output.write_all(text)));
    }

    /// Waits for text, at most until then.
    fn has_input(&self, until: Instant) -> io::Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let patience = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.input.as_fd(), PollFlags::POLLIN)], patience) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => self.has_input(until),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Passage {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.input.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::keep;
    use super::*;

    #[test]
    fn who_stands_in_for_a_while_says_no_beginning_of_a_secret_and_waits_for_nothing() {
        assert!(keep("passage-of-a-secret"));
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("log");
        let (pipe, printed) = nix::unistd::pipe().unwrap();
        let mut printed = File::from(printed);
        let mut passage = Passage::new(pipe, open_log(&log).ok());
        printed.write_all(b"<passage-of-a-secret> <passage-of").unwrap();
        passage.pass_for(Duration::from_millis(1)).unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "<***> <***");
        std::fs::rename(&log, place.path().join("old")).unwrap();
        passage.reopen(&log).unwrap();
        printed.write_all(b"all that").unwrap();
        drop(printed);
        assert!(passage.pass_for(Duration::from_secs(600)).is_err(), "it has ended");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "all that");
    }
}
