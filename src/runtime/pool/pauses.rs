//! How long a dispatcher waits, for room and until it looks after its workers again: pure.

use std::time::{Duration, Instant};

use super::super::patience::Patience;
use super::lanes::Asked;

/// How long it waits for room where nobody will ring: at first about as long as sixteen small messages take, at last
/// short against the time of sixteen large ones.
const UNHEARD: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(8)];
/// How long it waits where somebody will ring, and how often it looks after workers that are all there: the longest
/// wait of everybody, in case that a process was killed between what it did and its ring.
pub(super) const CALM: Duration = Duration::from_secs(1);

/// The waits for room.
#[derive(Debug)]
pub(super) struct RoomWait {
    pause: Duration,
    /// Room came last time without the ring that was asked for: a worker's program may be too old to ring.
    unheard: bool,
}

impl Default for RoomWait {
    fn default() -> Self {
        Self { pause: UNHEARD[0], unheard: false }
    }
}

impl RoomWait {
    /// Something was dealt.
    pub(super) fn moved(&mut self) {
        self.pause = UNHEARD[0];
    }

    /// How long to wait after this was `asked`.
    pub(super) fn pause(&mut self, asked: Asked) -> Duration {
        if asked == Asked::Absent || (asked == Asked::Rings && !self.unheard) {
            return CALM;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(UNHEARD[1]);
        pause
    }

    /// The room that was waited for is there, and those whose it is `rang` for it, or did not.
    pub(super) fn is_there(&mut self, rang: bool) {
        self.unheard = !rang;
    }
}

/// When workers are looked after.
#[derive(Debug)]
pub(super) struct Looks {
    next: Instant,
    patience: Patience,
}

impl Looks {
    /// At once.
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, patience: Patience::default() }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Somebody has come or gone, or is said to have, or the terms are new: looks now, and soon again.
    pub(super) fn news(&mut self, now: Instant) {
        (self.next, self.patience) = (now, Patience::default());
    }

    /// They were looked after; `is_changing`: somebody is to come or to go, and may show itself soon.
    pub(super) fn looked(&mut self, is_changing: bool, now: Instant) {
        if !is_changing {
            self.patience = Patience::default();
        }
        self.next = now + if is_changing { self.patience.pause() } else { CALM };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_rung_for_waits_for_the_ring_and_who_is_not_looks_again_and_again() {
        let mut wait = RoomWait::default();
        assert_eq!([wait.pause(Asked::Rings), wait.pause(Asked::Absent)], [CALM; 2]);
        let pauses: Vec<_> = (0..5).map(|_| wait.pause(Asked::Nobody).as_millis()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 8]);
        wait.moved();
        assert_eq!(wait.pause(Asked::Nobody), UNHEARD[0]);
    }

    #[test]
    fn a_worker_that_does_not_ring_is_looked_at_until_one_does() {
        let mut wait = RoomWait::default();
        assert_eq!(wait.pause(Asked::Rings), CALM);
        wait.is_there(false);
        assert_eq!(wait.pause(Asked::Rings), UNHEARD[0]);
        assert_eq!(wait.pause(Asked::Rings), UNHEARD[0] * 2);
        wait.is_there(true);
        assert_eq!(wait.pause(Asked::Rings), CALM);
    }

    #[test]
    fn workers_are_looked_after_soon_while_one_is_to_come_and_else_once_a_second() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        let mut after = |news: bool, is_changing| {
            if news {
                looks.news(now);
            }
            looks.looked(is_changing, now);
            (looks.next() - now).as_millis()
        };
        assert_eq!([after(false, true), after(false, true), after(false, true), after(false, true)], [5, 5, 10, 20]);
        assert_eq!([after(true, true), after(false, true), after(false, true)], [5, 5, 10]);
        assert_eq!([after(false, false), after(false, true), after(false, false)], [1000, 5, 1000]);
    }
}
