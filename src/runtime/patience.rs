//! How often something is tried again that another process holds: soon at first, for a task that changes its process
//! is given back within milliseconds, and later once a second.

use std::time::Duration;

/// The first pause: a record takes a few milliseconds to be written and given back.
const FIRST: Duration = Duration::from_millis(5);
/// The longest pause; after as much waiting in all, it is worth a line.
const LONGEST: Duration = Duration::from_secs(1);

/// Tries so far.
#[derive(Debug, Default)]
pub(super) struct Patience {
    waited: Duration,
}

impl Patience {
    /// How long to wait before the next try: each time as long as all pauses before.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.waited.clamp(FIRST, LONGEST);
        self.waited += pause;
        pause
    }

    /// Whether it has lasted so long that a person should know.
    pub(super) fn is_long(&self) -> bool {
        self.waited >= LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_a_long_wait_is_told() {
        let mut patience = Patience::default();
        let pauses: Vec<_> = (0..10).map(|_| patience.pause().as_millis()).collect();
        assert_eq!(pauses, [5, 5, 10, 20, 40, 80, 160, 320, 640, 1000]);
        let mut short = Patience::default();
        for _ in 0..8 {
            short.pause();
        }
        assert!(!short.is_long() && patience.is_long());
    }
}
