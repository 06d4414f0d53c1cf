//! The named timers of one task.
//!
//! Invariant: one timer per name. A timer that comes late is not made up for: ticks never pile up. No clock in
//! here, `now` is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::sdk::TimerRequest;

/// Shorter intervals would make a timer a busy loop; zero means "again as soon as there is nothing else to do".
const SHORTEST: Duration = Duration::from_micros(1);

/// The timers of one task, and the config's word on their intervals.
#[derive(Debug, Default)]
pub(super) struct Timers {
    timers: Vec<Timer>,
    overrides: BTreeMap<String, Duration>,
}

#[derive(Debug)]
struct Timer {
    name: String,
    interval: Duration,
    next: Instant,
}

impl Timers {
    /// Takes the config's `intervals`; they hold for timers that are set from now on.
    pub(super) fn set_overrides(&mut self, overrides: BTreeMap<String, Duration>) {
        self.overrides = overrides;
    }

    /// Does what a task asked for.
    pub(super) fn apply(&mut self, request: TimerRequest, now: Instant) {
        match request {
            TimerRequest::Every { name, interval } => self.every(name, interval, now),
            TimerRequest::Cancel { name } => self.timers.retain(|timer| timer.name != name),
        }
    }

    fn every(&mut self, name: String, interval: Duration, now: Instant) {
        let interval = self.overrides.get(&name).copied().unwrap_or(interval).max(SHORTEST);
        match self.timers.iter_mut().find(|timer| timer.name == name) {
            Some(timer) if timer.interval == interval => {}
            Some(timer) => {
                timer.interval = interval;
                timer.next = timer.next.min(now + interval);
            }
            None => self.timers.push(Timer { name, interval, next: now }),
        }
    }

    /// When the next timer is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.timers.iter().map(|timer| timer.next).min()
    }

    /// The name of the timer that is due longest, if any is; it is set to its next time.
    pub(super) fn due(&mut self, now: Instant) -> Option<String> {
        let timer = self.timers.iter_mut().filter(|timer| timer.next <= now).min_by_key(|timer| timer.next)?;
        timer.next += timer.interval;
        if timer.next <= now {
            timer.next = now + timer.interval;
        }
        Some(timer.name.clone())
    }

    /// Ends all timers.
    pub(super) fn clear(&mut self) {
        self.timers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(name: &str, seconds: u64) -> TimerRequest {
        TimerRequest::Every { name: name.into(), interval: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_timer_ticks_at_once_and_then_each_interval() {
        let (mut timers, start) = (Timers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        timers.apply(every("a", 10), start);
        assert_eq!(timers.due(start).as_deref(), Some("a"));
        assert_eq!(timers.due(at(9)), None);
        assert_eq!(timers.due(at(10)).as_deref(), Some("a"));
        assert_eq!(timers.next(), Some(at(20)));
    }

    #[test]
    fn asking_again_changes_the_interval_and_nothing_else() {
        let (mut timers, start) = (Timers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        timers.apply(every("a", 10), start);
        timers.due(start);
        timers.apply(every("a", 10), at(5));
        assert_eq!(timers.next(), Some(at(10)));
        timers.apply(every("a", 2), at(5));
        assert_eq!(timers.next(), Some(at(7)));
        assert_eq!(timers.timers.len(), 1);
    }

    #[test]
    fn late_ticks_do_not_pile_up() {
        let (mut timers, start) = (Timers::default(), Instant::now());
        timers.apply(every("a", 1), start);
        let late = start + Duration::from_secs(60);
        assert!(timers.due(late).is_some());
        assert_eq!(timers.due(late), None);
    }

    #[test]
    fn the_config_overrides_an_interval_by_name() {
        let (mut timers, start) = (Timers::default(), Instant::now());
        timers.set_overrides([("a".into(), Duration::from_millis(5))].into());
        timers.apply(every("a", 10), start);
        timers.due(start);
        assert_eq!(timers.next(), Some(start + Duration::from_millis(5)));
    }
}
