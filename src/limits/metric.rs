//! What is measured, of whom, in which unit, and which levels it has if nobody says otherwise.

use std::fmt;
use std::num::NonZeroUsize;

use super::rule::{FAILSAFE, Level};

/// The CPU time from which a task is stopped where there are processors enough: 1.9 of one core.
const CPU_FAILSAFE: f64 = 1.9;

/// The share of all processors from which it is stopped in any case: a machine whose one processor is taken never
/// shows 1.9, and its tasks starve.
const CPU_FAILSAFE_SHARE: f64 = 0.95;

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// CPU seconds per second, of one core.
    CpuOneCore,
    /// Resident memory as a share of the machine's.
    MemoryOfPhysical,
    /// Open files.
    OpenFiles,
    /// Threads.
    Threads,
    /// Bytes per second read from disks.
    DiskReadBytes,
    /// Bytes per second written to disks.
    DiskWriteBytes,
    /// Bytes in the task's queue as a share of its bound.
    QueueBytesOfMax,
    /// Starts of the external task per second.
    ExternalStarts,
    /// Failures per second to make an internal task.
    InternalCompileFailures,
    /// Failures per second to make an external task.
    ExternalCompileFailures,
    /// Messages per second whose handling failed.
    MessageFailures,
    /// Messages per minute that the task emitted.
    EmittedMessages,
    /// Messages per minute that were passed to the task.
    PassedMessages,
    /// Stops of an internal task.
    InternalStops,
    /// Requests to stop an external task.
    ExternalStopRequests,
    /// Requests to start an internal task.
    InternalStartRequests,
    /// Requests to start an external task.
    ExternalStartRequests,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// CPU seconds per second.
    Cores,
    /// A share: 1 is all of it.
    Share,
    /// Things.
    Count,
    /// Bytes per second.
    BytesPerSecond,
    /// Events per second.
    PerSecond,
    /// Events per minute.
    PerMinute,
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The daemon itself: it is told about and never stopped.
    Daemon,
    /// An external task: all processes of it together.
    External,
    /// A task within the daemon.
    Internal,
}

struct Facts {
    name: &'static str,
    unit: Unit,
    subjects: &'static [Subject],
    levels: &'static [(&'static str, f64)],
    can_failsafe: bool,
}

const ALL_SUBJECTS: &[Subject] = &[Subject::Daemon, Subject::External, Subject::Internal];
const PROCESSES: &[Subject] = &[Subject::Daemon, Subject::External];
const TASKS: &[Subject] = &[Subject::External, Subject::Internal];
const EXTERNAL: &[Subject] = &[Subject::External];
const INTERNAL: &[Subject] = &[Subject::Internal];

const MANY: &[(&str, f64)] = &[("warn", 100.0), ("severe", 150.0), (FAILSAFE, 200.0)];
const CORES: &[(&str, f64)] = &[("warn", 1.4), ("severe", 1.6), (FAILSAFE, CPU_FAILSAFE)];
const MEMORY: &[(&str, f64)] = &[("warn", 0.1), ("severe", 0.15), (FAILSAFE, 0.3)];
const READ: &[(&str, f64)] = &[("warn", 4_900_831.0), ("severe", 8_801_662.0), (FAILSAFE, 18_603_324.0)];
const WRITTEN: &[(&str, f64)] = &[("warn", 14_900_831.0), ("severe", 18_801_662.0), (FAILSAFE, 118_603_324.0)];
const FULL: &[(&str, f64)] = &[("warn", 0.6), ("severe", 0.8), (FAILSAFE, 0.95)];
const STARTS: &[(&str, f64)] = &[("warn", 0.01), ("severe", 0.1), (FAILSAFE, 0.2)];
const FAILURES: &[(&str, f64)] = &[("warn", 0.01), ("severe", 0.1)];
const MESSAGES: &[(&str, f64)] = &[("warn", 10_000.0), ("severe", 20_000.0)];
const NO_LEVELS: &[(&str, f64)] = &[];

impl Facts {
    const fn stopping(
        name: &'static str,
        unit: Unit,
        subjects: &'static [Subject],
        levels: &'static [(&'static str, f64)],
    ) -> Self {
        Self { name, unit, subjects, levels, can_failsafe: true }
    }

    const fn telling(
        name: &'static str,
        unit: Unit,
        subjects: &'static [Subject],
        levels: &'static [(&'static str, f64)],
    ) -> Self {
        Self { name, unit, subjects, levels, can_failsafe: false }
    }
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 17] = [
        Self::CpuOneCore,
        Self::MemoryOfPhysical,
        Self::OpenFiles,
        Self::Threads,
        Self::DiskReadBytes,
        Self::DiskWriteBytes,
        Self::QueueBytesOfMax,
        Self::ExternalStarts,
        Self::InternalCompileFailures,
        Self::ExternalCompileFailures,
        Self::MessageFailures,
        Self::EmittedMessages,
        Self::PassedMessages,
        Self::InternalStops,
        Self::ExternalStopRequests,
        Self::InternalStartRequests,
        Self::ExternalStartRequests,
    ];

    #[rustfmt::skip]
    const fn facts(self) -> Facts {
        use Unit::{BytesPerSecond, Cores, Count, PerMinute, PerSecond, Share};
        match self {
            Self::CpuOneCore => Facts::stopping("local.cpu.one_core", Cores, ALL_SUBJECTS, CORES),
            Self::MemoryOfPhysical => Facts::stopping("local.memory.vss_of_box_physical", Share, PROCESSES, MEMORY),
            Self::OpenFiles => Facts::stopping("local.handles.fh.count", Count, PROCESSES, MANY),
            Self::Threads => Facts::stopping("local.handles.tasks.count", Count, PROCESSES, MANY),
            Self::DiskReadBytes => Facts::stopping("local.io.disk.read_bytes", BytesPerSecond, PROCESSES, READ),
            Self::DiskWriteBytes => Facts::stopping("local.io.disk.write_bytes", BytesPerSecond, PROCESSES, WRITTEN),
            Self::QueueBytesOfMax => Facts::telling("local.queue.bytes_of_max", Share, ALL_SUBJECTS, FULL),
            // The original only told of it; what starts again and again is stopped here.
            Self::ExternalStarts => Facts::stopping("local.admin.start.external", PerSecond, EXTERNAL, STARTS),
            Self::InternalCompileFailures => Facts::telling("local.admin.task_compile_failure.internal", PerSecond, INTERNAL, FAILURES),
            Self::ExternalCompileFailures => Facts::telling("local.admin.task_compile_failure.external", PerSecond, EXTERNAL, FAILURES),
            Self::MessageFailures => Facts::telling("local.admin.task_message_failure", PerSecond, TASKS, FAILURES),
            Self::EmittedMessages => Facts::telling("local.admin.emit_messages", PerMinute, TASKS, MESSAGES),
            Self::PassedMessages => Facts::telling("local.admin.passed_messages", PerMinute, TASKS, MESSAGES),
            Self::InternalStops => Facts::telling("local.admin.stop.internal", Count, INTERNAL, NO_LEVELS),
            Self::ExternalStopRequests => Facts::telling("local.admin.stop_request.external", Count, EXTERNAL, NO_LEVELS),
            Self::InternalStartRequests => Facts::telling("local.admin.start_request.internal", Count, INTERNAL, NO_LEVELS),
            Self::ExternalStartRequests => Facts::telling("local.admin.start_request.external", Count, EXTERNAL, NO_LEVELS),
        }
    }

    /// The metric as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The metric that `name` is, if it is one.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// What its values count.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.facts().unit
    }

    /// Whether it is measured of `subject`.
    #[must_use]
    pub fn applies_to(self, subject: Subject) -> bool {
        self.facts().subjects.contains(&subject)
    }

    /// Whether its level `failsafe` stops a task if nobody says otherwise.
    #[must_use]
    pub const fn can_failsafe(self) -> bool {
        self.facts().can_failsafe
    }

    /// Its levels on a machine with `cpus` processors if nobody says otherwise, the lowest first. Those of the CPU lie
    /// lower where `cpus` are too few to reach them.
    #[must_use]
    pub fn levels(self, cpus: NonZeroUsize) -> Vec<Level> {
        let scale = if self == Self::CpuOneCore { cpu_scale(cpus) } else { 1.0 };
        let level = |(name, threshold): &(&str, f64)| Level { name: (*name).to_owned(), threshold: threshold * scale };
        self.facts().levels.iter().map(level).collect()
    }

    /// The value that a rate per second is, in this metric's unit.
    #[must_use]
    pub fn of_rate(self, per_second: f64) -> f64 {
        if self.unit() == Unit::PerMinute { per_second * 60.0 } else { per_second }
    }
}

/// What the levels of the CPU are multiplied by: 1 but on a machine with one processor.
fn cpu_scale(cpus: NonZeroUsize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "no machine has 2^53 processors")]
    let share = CPU_FAILSAFE_SHARE * cpus.get() as f64;
    (share / CPU_FAILSAFE).min(1.0)
}

/// Its name.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As its name.
impl serde::Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
