//! The unasked ends that are remembered, and what follows one more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use super::super::failsafe::utc;
use super::super::{BootId, EndRecord, Failsafe, HostFiles, Intent, RecordError, Restarts, read_record, write_record};
use crate::name::TaskName;
use crate::restart::{Decision, End, Policy, UnaskedEnd, decide, keep_in_window};

/// How much of an end's words is remembered, in characters: enough for a reason, little enough for a thousand ends.
const MAX_HOW: usize = 200;

/// How many ends a person is shown: the newest.
const SHOWN: usize = 100;

/// The ends within the budget's window, also those under an earlier keeper of this boot.
#[derive(Debug)]
pub(super) struct Past {
    restarts: Restarts,
}

impl Past {
    /// What is written down; what cannot be read is told in the log and forgotten.
    pub(super) fn load(files: &HostFiles, boot: &BootId) -> Self {
        let read = read_record::<Restarts>(&files.restarts());
        let known = read.unwrap_or_else(|error| {
            eprintln!("multimodule keeper: {error}; earlier ends do not count");
            None
        });
        let none = Restarts { boot: boot.clone(), ends: Vec::new(), counted: None };
        Self { restarts: known.filter(|restarts| restarts.boot == *boot).unwrap_or(none) }
    }

    /// What follows `end`. If nobody asked for it, it is one more to remember, however often it is asked about.
    pub(super) fn decide(&mut self, policy: &Policy, end: &EndRecord) -> Decision {
        let now_ms = milliseconds_since_boot();
        let this = End { asked: end.asked, failed: end.how.failed() };
        let known = self.restarts.counted.is_some_and(|counted| counted.is_same(&end.id()));
        let ends = &mut self.restarts.ends;
        let earlier = if known { ends.len().saturating_sub(1) } else { ends.len() };
        let decision = decide(policy, &ends[..earlier], this, now_ms, random());
        if !end.asked && !known {
            let how = end.how.to_string().chars().take(MAX_HOW).collect();
            ends.push(UnaskedEnd { at_ms: now_ms, unix_ms: end.ended_unix_ms, how });
            keep_in_window(policy, ends, now_ms);
            self.restarts.counted = Some(end.id());
        }
        decision
    }

    /// Parks the process `name` for `reason`; whoever clears that begins a new count. If it cannot be written down, the
    /// ends still count.
    pub(super) fn park(&mut self, files: &HostFiles, name: &TaskName, reason: String) -> Result<(), RecordError> {
        let (path, log) = (files.failsafe(), files.log());
        let failsafe = Failsafe::new(name, reason, unix_ms(), self.lines(), &path, &log);
        // Whoever parks it knows by this file what it was to do, whether a daemon runs or not.
        let intent = read_record::<Intent>(&files.intent()).ok().flatten();
        let config = intent.map(|intent| intent.entries).unwrap_or_default();
        Failsafe { config, ..failsafe }.write(&path)?;
        self.restarts.ends.clear();
        Ok(())
    }

    /// Writes them down.
    pub(super) fn write(&self, files: &HostFiles) -> Result<(), RecordError> {
        write_record(&files.restarts(), &self.restarts)
    }

    /// The newest ends, each with its time, as a person reads it.
    fn lines(&self) -> Vec<String> {
        let ends = &self.restarts.ends;
        let shown = &ends[ends.len().saturating_sub(SHOWN)..];
        shown.iter().map(|end| format!("{}: {}", utc(end.unix_ms), end.how)).collect()
    }
}

/// Why a process is parked.
pub(super) fn reason(ends: u32, within: Duration) -> String {
    format!("{ends} ends that nobody asked for within {} s", within.as_secs_f32())
}

/// Milliseconds since 1970.
pub(super) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// This clock is never set, and goes on while the machine is suspended.
fn milliseconds_since_boot() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(0, |time| u64::try_from(std::time::Duration::from(time).as_millis()).unwrap_or(u64::MAX))
}

/// Without random bytes there is no jitter, which is the least of such a machine's troubles.
fn random() -> u64 {
    getrandom::u64().unwrap_or(200)
}
