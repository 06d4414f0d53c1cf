//! Rates of what only counts up.

/// Makes rates of the readings of a counter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    last: Option<(u64, u64)>,
}

impl Rate {
    /// Of a counter that began at 0 at `now_ms`.
    #[must_use]
    pub fn begun(now_ms: u64) -> Self {
        Self { last: Some((now_ms, 0)) }
    }

    /// By how much per second the counter, which shows `counter` at `now_ms`, grew since its last reading; none at its
    /// first, and none if no time has passed. A counter that shows less than before began again at 0, as that of a
    /// process does which was started again.
    pub fn next(&mut self, now_ms: u64, counter: u64) -> Option<f64> {
        let Some((last_ms, last)) = self.last else {
            self.last = Some((now_ms, counter));
            return None;
        };
        let elapsed_ms = now_ms.checked_sub(last_ms).filter(|elapsed| *elapsed > 0)?;
        self.last = Some((now_ms, counter));
        let grown = counter.checked_sub(last).unwrap_or(counter);
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
        let rate = grown as f64 * 1000.0 / elapsed_ms as f64;
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_was_added_per_second() {
        let mut rate = Rate::default();
        let readings = [(1000, 5, None), (2000, 15, Some(10.0)), (2500, 20, Some(10.0)), (2500, 30, None)];
        for (now_ms, counter, expected) in readings {
            assert_eq!(rate.next(now_ms, counter), expected, "{now_ms}: {counter}");
        }
        assert_eq!(rate.next(4500, 40), Some(10.0), "a reading at no new time is as if it had not been");
    }

    #[test]
    fn of_a_counter_that_began_at_a_known_time_the_first_reading_counts() {
        assert_eq!(Rate::begun(1000).next(2000, 3), Some(3.0));
    }

    #[test]
    fn a_counter_that_began_again_counts_from_0() {
        let mut rate = Rate::default();
        assert_eq!(
            [(0, 1000), (1000, 3), (2000, 4), (1000, 9)].map(|(now, counter)| rate.next(now, counter)),
            [None, Some(3.0), Some(1.0), None]
        );
    }
}
