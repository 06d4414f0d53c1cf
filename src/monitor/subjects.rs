//! Turns what was measured into readings, and has them judged: one judge for each subject. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::facts::TaskFacts;
use crate::limits::{Judge, Metric, Rate, Subject, Thresholds, Verdict};
use crate::name::TaskName;
use crate::usage::Usage;

/// One that is judged.
struct Judged {
    subject: Subject,
    judge: Judge,
    rates: BTreeMap<Metric, Rate>,
}

/// All that are judged.
#[derive(Default)]
pub(super) struct Subjects {
    all: BTreeMap<TaskName, Judged>,
    cores: BTreeMap<TaskName, f64>,
    verdicts: Vec<(TaskName, Subject, Verdict)>,
}

/// How long after one look the next one comes.
const SECOND_MS: u64 = 1000;

/// A moment of judging.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now_ms: u64,
    pub(super) thresholds: &'a Thresholds,
}

impl Subjects {
    /// What a tree of processes uses; of the daemon's the same.
    pub(super) fn process(&mut self, name: &TaskName, subject: Subject, usage: &Usage, physical: u64, at: Moment<'_>) {
        let share = usage.resident_bytes as f64 / physical.max(1) as f64;
        self.rate(name, subject, Metric::CpuOneCore, micros(usage.cpu), 1e-6, at);
        self.value(name, subject, Metric::MemoryOfPhysical, share, at);
        // Of more processes than are looked at each has one thread at least.
        self.value(name, subject, Metric::Threads, usage.threads.max(usage.processes) as f64, at);
        if let Some(files) = usage.files {
            self.value(name, subject, Metric::OpenFiles, files as f64, at);
        }
        for (metric, bytes) in
            [(Metric::DiskReadBytes, usage.read_bytes), (Metric::DiskWriteBytes, usage.written_bytes)]
        {
            if let Some(bytes) = bytes {
                self.rate(name, subject, metric, bytes, 1.0, at);
            }
        }
    }

    /// How often the host of an external process has begun.
    pub(super) fn starts(&mut self, name: &TaskName, starts: u64, at: Moment<'_>) {
        self.rate(name, Subject::External, Metric::ExternalStarts, starts, 1.0, at);
    }

    /// How often a task, or a process, could not be made.
    pub(super) fn unmade(&mut self, name: &TaskName, subject: Subject, unmade: u64, at: Moment<'_>) {
        let metric = match subject {
            Subject::Internal => Metric::InternalCompileFailures,
            Subject::External | Subject::Daemon => Metric::ExternalCompileFailures,
        };
        // What failed before the first look has failed since that was last possible.
        let begun = Rate::begun(at.now_ms.saturating_sub(SECOND_MS));
        self.judged(name, subject).rates.entry(metric).or_insert(begun);
        self.rate(name, subject, metric, unmade, 1.0, at);
    }

    /// What a task does. The CPU time of an external one is that of its process.
    pub(super) fn task(&mut self, name: &TaskName, task: &TaskFacts, at: Moment<'_>) {
        let TaskFacts { subject, counts, starts, stops } = *task;
        let (started, stopped) = match subject {
            Subject::Internal => (Metric::InternalStartRequests, Metric::InternalStops),
            Subject::External | Subject::Daemon => (Metric::ExternalStartRequests, Metric::ExternalStopRequests),
        };
        if subject == Subject::Internal {
            self.rate(name, subject, Metric::CpuOneCore, micros(counts.busy), 1e-6, at);
        }
        self.value(name, subject, started, starts as f64, at);
        self.value(name, subject, stopped, stops as f64, at);
        self.rate(name, subject, Metric::MessageFailures, counts.failed, 1.0, at);
        self.rate(name, subject, Metric::EmittedMessages, counts.emitted, 1.0, at);
        self.rate(name, subject, Metric::PassedMessages, counts.handled, 1.0, at);
    }

    /// How full its queue is.
    pub(super) fn queue(&mut self, name: &TaskName, subject: Subject, share: f64, at: Moment<'_>) {
        self.value(name, subject, Metric::QueueBytesOfMax, share, at);
    }

    /// What was read of it before does not count any more.
    pub(super) fn forget(&mut self, name: &TaskName) {
        if let Some(judged) = self.all.get_mut(name) {
            Metric::ALL.into_iter().for_each(|metric| judged.judge.forget(metric));
        }
    }

    /// Keeps those alone that are still there.
    pub(super) fn retain(&mut self, is_there: impl Fn(&TaskName) -> bool) {
        self.all.retain(|name, _| is_there(name));
    }

    /// What came of it since this was last asked.
    pub(super) fn take(&mut self) -> Vec<(TaskName, Subject, Verdict)> {
        std::mem::take(&mut self.verdicts)
    }

    /// The newest readings of CPU time since this was last asked.
    pub(super) fn take_cores(&mut self) -> BTreeMap<TaskName, f64> {
        std::mem::take(&mut self.cores)
    }

    /// A reading of something that counts up; `unit` of it is one of the metric's.
    fn rate(&mut self, name: &TaskName, subject: Subject, metric: Metric, counter: u64, unit: f64, at: Moment<'_>) {
        let rate = self.judged(name, subject).rates.entry(metric).or_default();
        if let Some(per_second) = rate.next(at.now_ms, counter) {
            self.value(name, subject, metric, metric.of_rate(per_second * unit), at);
        }
    }

    fn value(&mut self, name: &TaskName, subject: Subject, metric: Metric, value: f64, at: Moment<'_>) {
        if metric == Metric::CpuOneCore {
            self.cores.insert(name.clone(), value);
        }
        let judged = self.judged(name, subject);
        let verdicts = judged.judge.next(at.now_ms, metric, value, at.thresholds);
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Failsafe(_))) {
            // It is stopped for what was read; after a person has let it run again that does not count.
            judged.judge.forget(metric);
        }
        self.verdicts.extend(verdicts.into_iter().map(|verdict| (name.clone(), subject, verdict)));
    }

    fn judged(&mut self, name: &TaskName, subject: Subject) -> &mut Judged {
        let new = || Judged { subject, judge: Judge::new(name.as_str(), subject), rates: BTreeMap::new() };
        let judged = self.all.entry(name.clone()).or_insert_with(new);
        // A task that has moved is another subject: what it used there is nobody's here.
        if judged.subject != subject {
            *judged = new();
        }
        judged
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
