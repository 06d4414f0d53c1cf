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

/// Takes the readings of one subject.
struct Readings<'a> {
    name: &'a TaskName,
    subject: Subject,
    judged: &'a mut Judged,
    cores: &'a mut BTreeMap<TaskName, f64>,
    verdicts: &'a mut Vec<(TaskName, Subject, Verdict)>,
    at: Moment<'a>,
}

impl Subjects {
    /// What a tree of processes uses; of the daemon's the same.
    pub(super) fn process(&mut self, name: &TaskName, subject: Subject, usage: &Usage, physical: u64, at: Moment<'_>) {
        let share = usage.resident_bytes as f64 / physical.max(1) as f64;
        let mut readings = self.readings(name, subject, at);
        readings.rate(Metric::CpuOneCore, micros(usage.cpu), 1e-6);
        readings.value(Metric::MemoryOfPhysical, share);
        // Of more processes than are looked at each has one thread at least.
        readings.value(Metric::Threads, usage.threads.max(usage.processes) as f64);
        if let Some(files) = usage.files {
            readings.value(Metric::OpenFiles, files as f64);
        }
        for (metric, bytes) in
            [(Metric::DiskReadBytes, usage.read_bytes), (Metric::DiskWriteBytes, usage.written_bytes)]
        {
            if let Some(bytes) = bytes {
                readings.rate(metric, bytes, 1.0);
            }
        }
    }

    /// How often the host of an external process has begun.
    pub(super) fn starts(&mut self, name: &TaskName, starts: u64, at: Moment<'_>) {
        self.readings(name, Subject::External, at).rate(Metric::ExternalStarts, starts, 1.0);
    }

    /// How often a process that is no task could not be made.
    pub(super) fn unmade(&mut self, name: &TaskName, unmade: u64, at: Moment<'_>) {
        self.readings(name, Subject::External, at).rate_from_0(Metric::ExternalCompileFailures, unmade);
    }

    /// What a task does, and how often the process of its name could not be made. The CPU time of an external one is that
    /// of its process.
    pub(super) fn task(&mut self, name: &TaskName, task: &TaskFacts, unmade: u64, at: Moment<'_>) {
        let TaskFacts { subject, counts, starts, stops } = *task;
        let (started, stopped, failed) = match subject {
            Subject::Internal => {
                (Metric::InternalStartRequests, Metric::InternalStops, Metric::InternalCompileFailures)
            }
            Subject::External | Subject::Daemon => {
                (Metric::ExternalStartRequests, Metric::ExternalStopRequests, Metric::ExternalCompileFailures)
            }
        };
        let mut readings = self.readings(name, subject, at);
        if subject == Subject::Internal {
            readings.rate(Metric::CpuOneCore, micros(counts.busy), 1e-6);
        }
        readings.value(started, starts as f64);
        readings.value(stopped, stops as f64);
        readings.rate_from_0(failed, counts.unmade.saturating_add(unmade));
        readings.rate(Metric::MessageFailures, counts.failed, 1.0);
        readings.rate(Metric::EmittedMessages, counts.emitted, 1.0);
        readings.rate(Metric::PassedMessages, counts.handled, 1.0);
    }

    /// How full its queue is.
    pub(super) fn queue(&mut self, name: &TaskName, subject: Subject, share: f64, at: Moment<'_>) {
        self.readings(name, subject, at).value(Metric::QueueBytesOfMax, share);
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

    fn readings<'a>(&'a mut self, name: &'a TaskName, subject: Subject, at: Moment<'a>) -> Readings<'a> {
        let new = || Judged { subject, judge: Judge::new(name.as_str(), subject), rates: BTreeMap::new() };
        let judged = self.all.entry(name.clone()).or_insert_with(new);
        // A task that has moved is another subject: what it used there is nobody's here.
        if judged.subject != subject {
            *judged = new();
        }
        Readings { name, subject, judged, cores: &mut self.cores, verdicts: &mut self.verdicts, at }
    }
}

impl Readings<'_> {
    /// A reading of something that counts up; `unit` of it is one of the metric's.
    fn rate(&mut self, metric: Metric, counter: u64, unit: f64) {
        let rate = self.judged.rates.entry(metric).or_default();
        if let Some(per_second) = rate.next(self.at.now_ms, counter) {
            self.value(metric, metric.of_rate(per_second * unit));
        }
    }

    /// The same, of what was at 0 when the subject began: what failed before the first look has failed in the second
    /// before it.
    fn rate_from_0(&mut self, metric: Metric, counter: u64) {
        let begun_ms = self.at.now_ms.saturating_sub(SECOND_MS);
        self.judged.rates.entry(metric).or_insert_with(|| Rate::begun(begun_ms));
        self.rate(metric, counter, 1.0);
    }

    fn value(&mut self, metric: Metric, value: f64) {
        if metric == Metric::CpuOneCore {
            self.cores.insert(self.name.clone(), value);
        }
        let verdicts = self.judged.judge.next(self.at.now_ms, metric, value, self.at.thresholds);
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Failsafe(_))) {
            // It is stopped for what was read; after a person has let it run again that does not count.
            self.judged.judge.forget(metric);
        }
        self.verdicts.extend(verdicts.into_iter().map(|verdict| (self.name.clone(), self.subject, verdict)));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Counts;

    /// The alerts on a task of which `unmade` and `failed` are seen in turn, a second apart.
    fn alerts(subject: Subject, readings: &[(u64, u64)]) -> Vec<String> {
        let thresholds = Thresholds::defaults(std::num::NonZeroUsize::MIN);
        let (name, mut subjects) = (TaskName::new("T").unwrap(), Subjects::default());
        for (second, (unmade, failed)) in (1..).zip(readings) {
            let counts = Counts { unmade: *unmade, failed: *failed, ..Counts::default() };
            let task = TaskFacts { subject, counts, starts: 1, stops: 0 };
            subjects.task(&name, &task, 0, Moment { now_ms: second * SECOND_MS, thresholds: &thresholds });
        }
        assert_eq!(subjects.take_cores().len(), usize::from(subject == Subject::Internal));
        let summary = |(_, _, verdict)| match verdict {
            Verdict::Alert(alert) => alert.summary,
            Verdict::Failsafe(trip) => panic!("{trip:?}"),
        };
        subjects.take().into_iter().map(summary).collect()
    }

    #[test]
    fn what_failed_before_the_first_look_is_told_where_that_is_a_failure_to_make_it() {
        let readings = [(1, 1); 40];
        for (subject, place) in [(Subject::Internal, "internal"), (Subject::External, "external")] {
            let [alert] = &alerts(subject, &readings)[..] else { panic!("one alert") };
            let metric = format!("one_minute: T:local.admin.task_compile_failure.{place}: ");
            assert!(alert.starts_with(&metric) && alert.ends_with(" (0.01) is warn"), "{alert}");
        }
    }

    #[test]
    fn counts_that_are_absurd_are_judged_and_no_panic() {
        let (thresholds, most) = (Thresholds::defaults(std::num::NonZeroUsize::MIN), u64::MAX);
        let (name, mut subjects) = (TaskName::new("T").unwrap(), Subjects::default());
        let counts = Counts { handled: most, failed: most, emitted: most, busy: Duration::MAX, unmade: most };
        for (second, counts) in (1..).zip([Counts::default(), counts, Counts::default(), counts]) {
            for subject in [Subject::Internal, Subject::External] {
                let task = TaskFacts { subject, counts, starts: most, stops: most };
                subjects.task(&name, &task, most, Moment { now_ms: second * SECOND_MS, thresholds: &thresholds });
            }
        }
        assert!(subjects.take().iter().all(|(_, _, verdict)| matches!(verdict, Verdict::Alert(_))));
    }

    #[test]
    fn a_task_is_judged_by_its_failures_wherever_it_runs() {
        let readings: Vec<_> = (0..40).map(|second| (0, second)).collect();
        for subject in [Subject::Internal, Subject::External] {
            let [alert] = &alerts(subject, &readings)[..] else { panic!("one alert") };
            assert_eq!(alert, "one_minute: T:local.admin.task_message_failure: 1 (0.1) is severe");
        }
    }
}
