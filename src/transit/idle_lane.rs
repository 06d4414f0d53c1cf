//! Gives back the files of a lane that nobody writes any more: those of one-shot senders, and of dead processes.
//!
//! ```text
//! tidy:  drained, and at the same position for as long as asked? ── no ─▶ note since when
//!        written here, or locked elsewhere? ── yes ─▶ its writer sees to it; look again after as long
//!        take the lane's lock; still drained? ── remove its files but the one of its last tag; give the lock back
//! ```
//!
//! Invariant: files are removed under the lane's lock, so no writer opens the lane meanwhile: a one-shot sender waits
//! for the lock, and another is told that the lane is busy, as it is when two processes want it.
//!
//! What this does not do: it does not look for files that a writer leaves which dies before its first record; the
//! next writer, or the next consumer, finds those.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::Error;
use super::lane_reader::LaneReader;
use super::lane_writer::LaneWriter;
use super::open::Inner;
use super::queue::Queue;

/// Since when a lane stands still, as its consumer has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stillness {
    /// It holds something, or was not looked at yet.
    #[default]
    Moving,
    /// It was found drained at this position then.
    Since(u64, Instant),
    /// Drained at this position it gave its files back.
    GivenBack(u64),
}

impl Stillness {
    /// What a look at a lane makes of it, and whether its files are to go now.
    fn next(self, drained_at: Option<u64>, now: Instant, idle: Duration) -> (Self, bool) {
        match (self, drained_at) {
            (_, None) => (Self::Moving, false),
            (Self::GivenBack(position), Some(at)) if position == at => (self, false),
            (Self::Since(position, since), Some(at)) if position == at => {
                (self, now.saturating_duration_since(since) >= idle)
            }
            (_, Some(at)) => (Self::Since(at, now), false),
        }
    }
}

impl LaneReader {
    /// Gives the lane's files back once it has been drained, and nobody's, for `idle`.
    pub(super) fn tidy(
        &mut self,
        transit: &Inner,
        queue: &Arc<Queue>,
        now: Instant,
        idle: Duration,
    ) -> Result<(), Error> {
        let written = queue.index.slot(self.at).written().position;
        let drained = self.finished.position >= written && self.read.position >= written;
        let (next, due) = self.stillness.next(drained.then_some(written), now, idle);
        self.stillness = next;
        if !due {
            return Ok(());
        }
        // A mapping keeps a removed file's blocks. What comes next is looked up by its position.
        self.close();
        self.stillness = Stillness::Since(written, now);
        if give_back(transit, queue, self.at)? {
            self.stillness = Stillness::GivenBack(written);
        }
        Ok(())
    }
}

/// Removes the files of the drained lane in slot `at`; false where it has a writer, or is not drained any more.
fn give_back(transit: &Inner, queue: &Arc<Queue>, at: usize) -> Result<bool, Error> {
    let Some(name) = queue.index.slot(at).name() else { return Ok(false) };
    let given_back = transit.as_writer(queue, at, &name, || {
        // As a writer that opens the lane, and has nothing to write.
        LaneWriter::open(queue.clone(), at, &name)?.give_back_if_drained()
    })?;
    Ok(given_back.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_due_once_a_lane_stood_drained_for_as_long_as_asked() {
        let begin = Instant::now();
        let (at, idle) = (|seconds| begin + Duration::from_secs(seconds), Duration::from_secs(10));
        let check = |before: Stillness, drained_at, seconds, after, due| {
            assert_eq!(before.next(drained_at, at(seconds), idle), (after, due), "{before:?}");
        };
        let since = Stillness::Since;
        check(Stillness::Moving, None, 0, Stillness::Moving, false);
        check(Stillness::Moving, Some(8), 1, since(8, at(1)), false);
        check(since(8, at(1)), Some(8), 10, since(8, at(1)), false);
        check(since(8, at(1)), Some(8), 11, since(8, at(1)), true);
        check(since(8, at(1)), Some(16), 11, since(16, at(11)), false);
        check(since(8, at(1)), None, 11, Stillness::Moving, false);
        check(Stillness::GivenBack(8), Some(8), 99, Stillness::GivenBack(8), false);
        check(Stillness::GivenBack(8), Some(16), 99, since(16, at(99)), false);
    }
}
