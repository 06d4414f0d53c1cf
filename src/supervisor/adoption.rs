//! What a daemon finds out about a process that an earlier daemon started: one outcome each, with its evidence.
//!
//! ```text
//!   record ─┬─ other boot, or neither keeper nor host lives ─┬─ its end is on record ─► ended while away
//!           │                                                └─ else ─────────────────► gone
//!           └─ host lives ─┬─ answers, knows the nonce ─┬─ by the same config ───────► adopted
//!                          │                            └─ by another ───────────────► adopted, config changed
//!                          └─ silent ────────────────────────────────────────────────► alive but silent
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::life::Seen;
use crate::link::{HostHello, LinkError};
use crate::name::TaskName;
use crate::process::{EndRecord, HostFiles, HostRecord, is_of_this_boot, read_record};

/// The adoption of one process, until its outcome is told.
pub(super) struct Adoption {
    looked: bool,
    /// A live host was found, and has not answered yet.
    open: bool,
    /// Whether the keeper lived at the first look.
    keeper: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It runs on.
    Adopted { evidence: String, same_config: bool },
    /// It had ended.
    EndedWhileAway { how: String },
    /// It lives and says nothing: nobody kills it for that.
    AliveButSilent { evidence: String },
    /// Nothing is left of it, and nobody knows how it ended.
    Gone { why: String },
}

/// The adoptions of a daemon's start, until all are over.
pub(super) struct Adoptions {
    begun: Instant,
    open: Mutex<BTreeSet<TaskName>>,
    adopted: AtomicUsize,
}

impl Adoptions {
    /// Those of `found` begin now.
    pub(super) fn begin(found: &[TaskName]) -> Self {
        let open = Mutex::new(found.iter().cloned().collect());
        Self { begun: Instant::now(), open, adopted: AtomicUsize::new(0) }
    }

    /// One is over, with an outcome if there is something to tell. The last one is told with how long all took.
    pub(super) fn over(&self, process: &TaskName, outcome: Option<&Outcome>) {
        if matches!(outcome, Some(Outcome::Adopted { .. })) {
            self.adopted.fetch_add(1, Ordering::Relaxed);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let adopted = self.adopted.load(Ordering::Relaxed);
        if open.remove(process) && open.is_empty() && adopted > 0 {
            tracing::info!("adopted {adopted} processes in {} ms", self.begun.elapsed().as_millis());
        }
    }
}

impl Adoption {
    /// Whether a host may still answer.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn begin() -> Self {
        Self { looked: false, open: false, keeper: false }
    }

    /// The first look at it.
    pub(super) fn first_look(&mut self, seen: Seen, record: Option<&HostRecord>, files: &HostFiles) -> Option<Outcome> {
        if std::mem::replace(&mut self.looked, true) {
            return None;
        }
        let record = record?;
        (self.open, self.keeper) = (seen.host, seen.keeper);
        if seen.host || seen.keeper {
            failpoint!("adoption.seen");
            return None;
        }
        if !is_of_this_boot(record) {
            return Some(Outcome::Gone { why: format!("it ran in an earlier boot of this machine, {}", record.boot) });
        }
        let end = read_record::<EndRecord>(&files.end()).ok().flatten().filter(|end| end.host == Some(record.host));
        Some(match end {
            Some(end) => Outcome::EndedWhileAway { how: format!("{}, {}", self.who(record), end.how) },
            None => Outcome::Gone { why: format!("{} is no more, and nobody saw its end", self.who(record)) },
        })
    }

    /// The host has answered and proven its nonce.
    pub(super) fn answered(&mut self, record: Option<&HostRecord>, hello: &HostHello, same: bool) -> Option<Outcome> {
        if !std::mem::replace(&mut self.open, false) {
            return None;
        }
        let evidence = format!("{}, proven by its nonce, protocol {}", self.who(record?), hello.version);
        Some(Outcome::Adopted { evidence, same_config: same })
    }

    /// The host has not answered. A host that has just begun has no link yet: that is no silence.
    pub(super) fn no_answer(&mut self, record: Option<&HostRecord>, error: &LinkError) -> Option<Outcome> {
        if !self.open
            || !matches!(error, LinkError::Silent { .. } | LinkError::Version { .. } | LinkError::LetGo { .. })
        {
            return None;
        }
        self.open = false;
        Some(Outcome::AliveButSilent { evidence: format!("{}: {error}", self.who(record?)) })
    }

    fn who(&self, record: &HostRecord) -> String {
        let keeper = if self.keeper { format!("keeper {}", record.keeper.pid) } else { "without keeper".to_owned() };
        format!("pid {}, started at tick {}, {keeper}", record.host.pid, record.host.start_ticks)
    }
}

impl Outcome {
    /// One line on the channels.
    pub(super) fn tell(&self, process: &TaskName) {
        let task = process.as_str();
        match self {
            Self::AliveButSilent { .. } => tracing::error!(task, "{process}: {self}"),
            _ => tracing::info!(task, "{process}: {self}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopted { evidence, same_config: true } => write!(f, "adopted: {evidence}"),
            Self::Adopted { evidence, same_config: false } => write!(f, "adopted, config changed: {evidence}"),
            Self::EndedWhileAway { how } => write!(f, "ended while away: {how}"),
            Self::AliveButSilent { evidence } => {
                write!(f, "alive but silent: {evidence}; it is left alone, and called again each second")
            }
            Self::Gone { why } => write!(f, "gone: {why}"),
        }
    }
}
