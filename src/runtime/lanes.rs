//! The lanes that one sender has open, by queue.
//!
//! Invariant: a lane that nothing was sent by for a minute or two is given back, so the table holds what is in use and
//! not every queue that ever was.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::name::QueueName;
use crate::transit::Sender;

/// How often idle lanes are given back: opening one again takes some 100 µs, which is nothing once a minute.
pub(super) const SWEEP: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Looked into for each message; the names are a config's.
    senders: HashMap<QueueName, Open, RandomState>,
    swept: Instant,
}

#[derive(Debug)]
struct Open {
    sender: Sender,
    /// Since the last sweep. A clock would be read for each message.
    used: bool,
}

impl Lanes {
    pub(super) fn new(now: Instant) -> Self {
        Self { senders: HashMap::default(), swept: now }
    }

    /// The sender of a queue, opened where it is not.
    pub(super) fn sender<E>(
        &mut self,
        queue: &QueueName,
        open: impl FnOnce() -> Result<Sender, E>,
    ) -> Result<&Sender, E> {
        if !self.senders.contains_key(queue) {
            self.senders.insert(queue.clone(), Open { sender: open()?, used: true });
        }
        let lane = self.senders.get_mut(queue).expect("it is there, or was put there");
        lane.used = true;
        Ok(&lane.sender)
    }

    /// The sender of a queue, where it is open.
    pub(super) fn get(&self, queue: &QueueName) -> Option<&Sender> {
        self.senders.get(queue).map(|lane| &lane.sender)
    }

    /// Every lane that is open.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&QueueName, &Sender)> {
        self.senders.iter().map(|(queue, lane)| (queue, &lane.sender))
    }

    /// Once a second: returns the lanes to give back, if it is time to. They go with their senders.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<(QueueName, Sender)> {
        if now.saturating_duration_since(self.swept) < SWEEP {
            return Vec::new();
        }
        self.swept = now;
        let idle = self.senders.extract_if(|_, lane| !std::mem::replace(&mut lane.used, false));
        idle.map(|(queue, lane)| (queue, lane.sender)).collect()
    }

    /// Gives all back.
    pub(super) fn clear(&mut self) {
        self.senders.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::LaneName;
    use crate::transit::{Error, Transit};

    #[test]
    fn a_lane_that_is_idle_for_a_minute_or_two_is_given_back_and_one_in_use_is_not() {
        let place = tempfile::tempdir().unwrap();
        let (transit, other) = (Transit::open(place.path()).unwrap(), Transit::open(place.path()).unwrap());
        let start = Instant::now();
        let (mut lanes, lane) = (Lanes::new(start), "process:a".parse::<LaneName>().unwrap());
        let [idle, busy] = ["idle", "busy"].map(|name| QueueName::new(name).unwrap());
        let send = |lanes: &mut Lanes, queue: &QueueName| {
            lanes.sender(queue, || transit.sender(queue, &lane)).unwrap();
        };
        send(&mut lanes, &idle);
        for minute in 1..=3 {
            send(&mut lanes, &busy);
            let given_back = lanes.sweep(start + SWEEP * minute);
            let names: Vec<_> = given_back.iter().map(|(queue, _)| queue.as_str()).collect();
            assert_eq!(names, if minute == 2 { vec!["idle"] } else { vec![] }, "minute {minute}");
            assert_eq!(lanes.sweep(start + SWEEP * minute + SWEEP / 2).len(), 0, "it is not time");
        }
        assert!(other.sender(&idle, &lane).is_ok(), "another process may have the lane now");
        assert!(matches!(other.sender(&busy, &lane), Err(Error::LaneBusy { .. })));
    }
}
