//! The readings of one metric of one subject, as far back as a window reaches.
//!
//! Neighbours with one value are kept as one stretch, so that a task which does nothing costs one; so are neighbours
//! which lie closer together than a window can tell.
//!
//! Invariant: at most [`MAX_STRETCHES`] are kept, however many readings there were and however long the window is.

use std::collections::VecDeque;

/// How finely the longest window is divided: 300 s at half a second, twice as finely as readings are made.
const RESOLUTION: u64 = 600;

/// What is kept at most: one for each part of the longest window, and one cut off at either end.
const MAX_STRETCHES: usize = RESOLUTION as usize + 2;

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
    stretches: VecDeque<Stretch>,
}

impl History {
    /// Adds the reading `value` of `now_ms` and drops what is older than `keep_ms`, the longest window. Times do not go
    /// back: a reading of before the last one counts as of then.
    pub fn push(&mut self, now_ms: u64, value: f64, keep_ms: u64) {
        let now_ms = self.stretches.back().map_or(now_ms, |last| now_ms.max(last.last_ms));
        match self.stretches.back_mut() {
            Some(last) if last.takes(now_ms, value, keep_ms / RESOLUTION) => last.add(now_ms, value),
            _ => self.stretches.push_back(Stretch { first_ms: now_ms, last_ms: now_ms, readings: 1, value }),
        }
        let oldest_ms = now_ms.saturating_sub(keep_ms);
        while self.stretches.front().is_some_and(|stretch| stretch.last_ms < oldest_ms) {
            self.stretches.pop_front();
        }
        while self.stretches.len() > MAX_STRETCHES {
            self.stretches.pop_front();
        }
    }

    /// The mean of the readings in the `window_ms` up to `now_ms`; none if they are fewer than three, or span less than
    /// half of the window. One of exactly `window_ms` ago is of before the window: what it shows happened until then.
    #[must_use]
    pub fn average(&self, now_ms: u64, window_ms: u64) -> Option<f64> {
        let start_ms = now_ms.checked_sub(window_ms).map_or(0, |before_ms| before_ms.saturating_add(1));
        let (mut readings, mut sum, mut oldest_ms) = (0_u64, 0.0, None);
        let stretches = self.stretches.iter().rev().map_while(|stretch| stretch.since(start_ms));
        for stretch in stretches {
            readings += u64::from(stretch.readings);
            sum += stretch.value * f64::from(stretch.readings);
            oldest_ms = Some(stretch.first_ms);
        }
        let span_ms = self.stretches.back()?.last_ms.saturating_sub(oldest_ms?);
        #[expect(clippy::cast_precision_loss, reason = "there are no 2^53 readings")]
        (readings >= MIN_READINGS && span_ms >= window_ms / 2).then(|| sum / readings as f64)
    }

    /// The last readings, at most `most`, oldest first. The times of equal ones are those of the first and the last of
    /// them and evenly spread between.
    #[must_use]
    pub fn last(&self, most: usize) -> Vec<Reading> {
        let newest_first = self.stretches.iter().rev().flat_map(Stretch::newest_first);
        let mut readings: Vec<_> = newest_first.take(most).collect();
        readings.reverse();
        readings
    }

    /// How much room it takes, in stretches.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.stretches.len()
    }
}

impl Stretch {
    /// Whether a reading belongs to this stretch and makes no new one. Equal values of a process that was away for
    /// long are apart.
    fn takes(&self, now_ms: u64, value: f64, resolution_ms: u64) -> bool {
        let is_equal = self.value.to_bits() == value.to_bits();
        let is_next = now_ms - self.last_ms <= resolution_ms.saturating_mul(MAX_GAP);
        (is_equal && is_next) || now_ms - self.first_ms < resolution_ms
    }

    fn add(&mut self, now_ms: u64, value: f64) {
        let readings = f64::from(self.readings);
        if self.value.to_bits() != value.to_bits() {
            self.value = (self.value * readings + value) / (readings + 1.0);
        }
        self.readings = self.readings.saturating_add(1);
        self.last_ms = now_ms;
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

/// How many parts of a window two equal readings may lie apart and still be one stretch: readings once a second that
/// come late are, in the usual windows, and half a minute without any is not.
const MAX_GAP: u64 = 20;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const KEEP_MS: u64 = 300_000;

    fn history(readings: impl IntoIterator<Item = (u64, f64)>) -> History {
        let mut history = History::default();
        readings.into_iter().for_each(|(at_ms, value)| history.push(at_ms, value, KEEP_MS));
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
        assert_eq!((history.len(), history.average(99_999_000, KEEP_MS)), (1, Some(0.0)));
    }

    #[test]
    fn the_last_readings_are_told_with_their_times() {
        let history = history([(1000, 1.0), (2000, 2.0), (3000, 2.0), (4000, 2.0), (5000, 3.0)]);
        let last: Vec<_> = history.last(4).iter().map(|reading| (reading.at_ms, reading.value)).collect();
        assert_eq!(last, [(2000, 2.0), (3000, 2.0), (4000, 2.0), (5000, 3.0)]);
        assert_eq!(history.last(100).len(), 5);
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
                prop_assert!((average - mean).abs() < 1e-9, "{average} {mean}");
            }
        }

        #[test]
        fn any_readings_at_any_times_are_bounded(
            readings in vec((0_u64..5_000, prop_oneof![Just(0.0), -1e9..1e9]), 1..2_000),
            keeps in vec(3_000_u64..1_000_000, 1..4), base in prop_oneof![Just(0), Just(u64::MAX / 2), Just(u64::MAX)],
        ) {
            let (mut history, mut now_ms) = (History::default(), base);
            for (index, (step_ms, value)) in readings.into_iter().enumerate() {
                now_ms = now_ms.saturating_add(step_ms);
                let keep_ms = keeps[index % keeps.len()];
                history.push(now_ms, value, keep_ms);
                prop_assert!(history.len() <= MAX_STRETCHES);
                prop_assert!(history.average(now_ms, keep_ms).is_none_or(f64::is_finite));
            }
            prop_assert!(history.last(30).is_sorted_by(|a, b| a.at_ms <= b.at_ms));
        }
    }
}
