//! The readings of one metric of one subject, as far back as a window reaches.
//!
//! ```text
//!   push ─► recent: the shorter window, finely ─► older: the rest of the longer one, coarsely ─► gone
//! ```
//!
//! Neighbours with one value are kept as one stretch, so that a task which does nothing costs one; so are neighbours
//! which lie closer together than their window can tell. Ten thousand busy tasks have to be affordable.
//!
//! Invariant: of each window at most two stretches more are kept than it has parts, however many readings there were
//! and however long the windows are.

use std::collections::VecDeque;

use super::thresholds::{Window, Windows};

/// How finely the shorter window is divided: 60 s at half a second, twice as finely as readings are made.
const FINE: usize = 120;

/// How finely the longer one is divided beyond that: 300 s at 5 s. A window's edge is off by less than a sixtieth.
const COARSE: usize = 60;

/// What is kept at most: one for each part of a window, and one cut off at either end.
#[cfg(test)]
const MAX_STRETCHES: usize = FINE + 2 + COARSE + 2;

/// How many parts of a window two equal readings may lie apart and still be one stretch: readings once a second that
/// come late are, in the usual windows, and half a minute without any is not.
const MAX_GAP: u64 = 20;

/// An average needs that many readings.
const MIN_READINGS: u64 = 3;

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Reading {
    /// When it was made, in milliseconds of the caller's clock.
    pub at_ms: u64,
    /// What it showed, in the metric's unit.
    pub value: f64,
}

/// Neighbouring readings with one value, or with their mean.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first_ms: u64,
    last_ms: u64,
    readings: u32,
    value: f64,
}

/// The readings of one metric of one subject.
#[derive(Debug, Clone, Default)]
pub struct History {
    recent: VecDeque<Stretch>,
    older: VecDeque<Stretch>,
}

impl History {
    /// Adds the reading `value` of `now_ms` and drops what is older than the longer of `windows`. Times do not go back:
    /// a reading of before the last one counts as of then.
    pub fn push(&mut self, now_ms: u64, value: f64, windows: &Windows) {
        let [fine_ms, keep_ms] = Window::ALL.map(|window| windows.length_ms(window));
        let now_ms = self.recent.back().map_or(now_ms, |last| now_ms.max(last.last_ms));
        let reading = Stretch { first_ms: now_ms, last_ms: now_ms, readings: 1, value };
        append(&mut self.recent, reading, fine_ms / FINE as u64);
        while let Some(stretch) = leaving(&mut self.recent, now_ms.saturating_sub(fine_ms), FINE) {
            append(&mut self.older, stretch, keep_ms / COARSE as u64);
        }
        while leaving(&mut self.older, now_ms.saturating_sub(keep_ms), COARSE).is_some() {}
    }

    /// The mean of the readings in the `window_ms` up to `now_ms`; none if they are fewer than three, or span less than
    /// half of the window. One of exactly `window_ms` ago is of before the window: what it shows happened until then.
    #[must_use]
    pub fn average(&self, now_ms: u64, window_ms: u64) -> Option<f64> {
        let start_ms = now_ms.checked_sub(window_ms).map_or(0, |before_ms| before_ms.saturating_add(1));
        let (mut readings, mut sum, mut oldest_ms) = (0_u64, 0.0, None);
        for stretch in self.newest_first().map_while(|stretch| stretch.since(start_ms)) {
            readings += u64::from(stretch.readings);
            sum += stretch.value * f64::from(stretch.readings);
            oldest_ms = Some(stretch.first_ms);
        }
        let span_ms = self.recent.back()?.last_ms.saturating_sub(oldest_ms?);
        #[expect(clippy::cast_precision_loss, reason = "there are no 2^53 readings")]
        (readings >= MIN_READINGS && span_ms >= window_ms / 2).then(|| sum / readings as f64)
    }

    /// The last readings, at most `most`, oldest first. The times of equal ones are those of the first and the last of
    /// them and evenly spread between.
    #[must_use]
    pub fn last(&self, most: usize) -> Vec<Reading> {
        let mut readings: Vec<_> = self.newest_first().flat_map(Stretch::newest_first).take(most).collect();
        readings.reverse();
        readings
    }

    fn newest_first(&self) -> impl Iterator<Item = &Stretch> {
        self.recent.iter().rev().chain(self.older.iter().rev())
    }

    /// How much room it takes, in stretches.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.recent.len() + self.older.len()
    }
}

fn append(stretches: &mut VecDeque<Stretch>, next: Stretch, resolution_ms: u64) {
    match stretches.back_mut() {
        Some(last) if last.takes(&next, resolution_ms) => last.add(&next),
        _ => stretches.push_back(next),
    }
}

/// Takes the oldest stretch out if it ended before `oldest_ms`, or if there are more than a window of `parts` can have.
fn leaving(stretches: &mut VecDeque<Stretch>, oldest_ms: u64, parts: usize) -> Option<Stretch> {
    let is_over = stretches.front()?.last_ms < oldest_ms || stretches.len() > parts + 2;
    if is_over { stretches.pop_front() } else { None }
}

impl Stretch {
    /// Whether `next` belongs to this stretch and makes no new one. Equal values with a long time between are apart.
    fn takes(&self, next: &Self, resolution_ms: u64) -> bool {
        let is_equal = self.value.to_bits() == next.value.to_bits();
        let is_near = next.first_ms - self.last_ms <= resolution_ms.saturating_mul(MAX_GAP);
        (is_equal && is_near) || next.last_ms - self.first_ms < resolution_ms
    }

    fn add(&mut self, next: &Self) {
        let [before, after] = [self.readings, next.readings].map(f64::from);
        if self.value.to_bits() != next.value.to_bits() {
            self.value = (self.value * before + next.value * after) / (before + after);
        }
        self.readings = self.readings.saturating_add(next.readings);
        self.last_ms = next.last_ms;
    }

    /// The part of it that is not before `start_ms`; none if there is no such part.
    fn since(&self, start_ms: u64) -> Option<Self> {
        if self.last_ms < start_ms {
            return None;
        }
        if self.first_ms >= start_ms {
            return Some(*self);
        }
        let gaps = u64::from(self.readings) - 1;
        let length_ms = self.last_ms - self.first_ms;
        let inside = (self.last_ms - start_ms).saturating_mul(gaps) / length_ms;
        let first_ms =
            self.last_ms - u64::try_from(u128::from(inside) * u128::from(length_ms) / u128::from(gaps)).ok()?;
        Some(Self { first_ms, readings: u32::try_from(inside + 1).ok()?, ..*self })
    }

    fn newest_first(&self) -> impl Iterator<Item = Reading> {
        let Self { first_ms, last_ms, readings, value } = *self;
        let gaps = u64::from(readings.saturating_sub(1)).max(1);
        let back_ms = move |gap: u64| u128::from(last_ms - first_ms) * u128::from(gap) / u128::from(gaps);
        let at_ms = move |gap| last_ms - u64::try_from(back_ms(gap)).unwrap_or(last_ms - first_ms);
        (0..u64::from(readings)).map(move |gap| Reading { at_ms: at_ms(gap), value })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn windows(short_ms: u64, long_ms: u64) -> Windows {
        Windows::new(Duration::from_millis(short_ms), Duration::from_millis(long_ms)).unwrap()
    }

    fn history(readings: impl IntoIterator<Item = (u64, f64)>) -> History {
        let mut history = History::default();
        readings.into_iter().for_each(|(at_ms, value)| history.push(at_ms, value, &Windows::default()));
        history
    }

    #[test]
    fn an_average_needs_three_readings_and_half_a_window() {
        assert_eq!(history([(0, 1.0), (60_000, 3.0)]).average(60_000, 60_000), None);
        assert_eq!(history([(0, 1.0), (10_000, 2.0), (20_000, 3.0)]).average(20_000, 60_000), None);
        assert_eq!(history([(0, 1.0), (10_000, 2.0), (30_000, 3.0)]).average(30_000, 60_000), Some(2.0));
        assert_eq!(history([]).average(30_000, 60_000), None);
    }

    #[test]
    fn only_readings_in_the_window_count() {
        let history = history((0..300).map(|second| (second * 1000, if second < 240 { 5.0 } else { 1.0 })));
        assert_eq!(history.average(299_000, 60_000), Some(1.0));
        assert_eq!(history.average(299_000, 300_000), Some(4.2));
        assert_eq!(history.average(500_000, 60_000), None);
    }

    #[test]
    fn a_task_that_does_nothing_takes_one_stretch_and_its_average_is_nothing() {
        let history = history((0..100_000).map(|second| (second * 1000, 0.0)));
        assert_eq!((history.len(), history.average(99_999_000, 300_000)), (1, Some(0.0)));
    }

    #[test]
    fn the_last_readings_are_told_with_their_times() {
        let history = history([(1000, 1.0), (2000, 2.0), (3000, 2.0), (4000, 2.0), (5000, 3.0)]);
        let last: Vec<_> = history.last(4).iter().map(|reading| (reading.at_ms, reading.value)).collect();
        assert_eq!(last, [(2000, 2.0), (3000, 2.0), (4000, 2.0), (5000, 3.0)]);
        assert_eq!(history.last(100).len(), 5);
    }

    #[test]
    fn a_restless_task_takes_as_many_stretches_as_its_windows_have_parts() {
        let history = history((0..3600).map(|second| (second * 1000, f64::from(u32::try_from(second % 7).unwrap()))));
        assert!((100..=120).contains(&history.len()), "{}", history.len());
        let average = history.average(3_599_000, 300_000).unwrap();
        assert!((average - 3.0).abs() < 0.05, "{average}");
    }

    proptest! {
        #[test]
        fn the_average_is_the_mean_of_the_readings_of_the_window(
            values in vec(prop_oneof![Just(0.0), Just(1.0), 0.0..100.0], 3..700), window in 3_u64..=300,
        ) {
            let readings: Vec<_> = (0_u64..).zip(&values).map(|(second, value)| (second * 1000, *value)).collect();
            let history = history(readings.iter().copied());
            let now_ms = readings.last().unwrap().0;
            let inside: Vec<_> = readings.iter().filter(|(at_ms, _)| *at_ms + window * 1000 > now_ms).collect();
            let average = history.average(now_ms, window * 1000);
            let is_enough = inside.len() >= 3 && now_ms - inside[0].0 >= window * 500;
            prop_assert_eq!(average.is_some(), is_enough);
            if let Some(average) = average {
                let mean = inside.iter().map(|(_, value)| value).sum::<f64>() / f64::from(u32::try_from(inside.len()).unwrap());
                // Beyond the shorter window a stretch of up to 5 s may lie half inside.
                let off = if window <= 60 { 1e-9 } else { 100.0 * 6.0 / f64::from(u32::try_from(inside.len()).unwrap()) };
                prop_assert!((average - mean).abs() < off, "{average} {mean}");
            }
        }

        #[test]
        fn any_readings_at_any_times_are_bounded(
            readings in vec((0_u64..5_000, prop_oneof![Just(0.0), -1e9..1e9]), 1..2_000),
            spans in vec((3_000_u64..500_000, 0_u64..500_000), 1..4), base in prop_oneof![Just(0), Just(u64::MAX / 2), Just(u64::MAX)],
        ) {
            let (mut history, mut now_ms) = (History::default(), base);
            for (index, (step_ms, value)) in readings.into_iter().enumerate() {
                now_ms = now_ms.saturating_add(step_ms);
                let (short_ms, more_ms) = spans[index % spans.len()];
                history.push(now_ms, value, &windows(short_ms, short_ms + more_ms));
                prop_assert!(history.len() <= MAX_STRETCHES);
                prop_assert!(history.average(now_ms, short_ms).is_none_or(f64::is_finite));
            }
            prop_assert!(history.last(30).is_sorted_by(|a, b| a.at_ms <= b.at_ms));
        }
    }
}
