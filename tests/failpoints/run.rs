//! One run through all steps: the same pipeline is killed at one after another.

use std::fmt;
use std::time::{Duration, Instant};

use crate::pipeline::Pipeline;
use crate::points::{Cause, group, is_of};

/// How the counters deliver, and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) exactly_once: bool,
    /// Whether they are in processes of their own.
    pub(crate) external: bool,
}

impl Run {
    pub(crate) const ALL: [Self; 4] = [
        Self { exactly_once: true, external: true },
        Self { exactly_once: true, external: false },
        Self { exactly_once: false, external: true },
        Self { exactly_once: false, external: false },
    ];

    /// The name of the delivery in a config.
    pub(crate) fn delivery(self) -> &'static str {
        if self.exactly_once { "exactly_once" } else { "at_least_once" }
    }

    /// The process that comes to a step for the so manyth time is killed: where much happens, in the middle of it.
    fn hits(self, point: &str, cause: Cause) -> u32 {
        // A move goes through these twice.
        let twice = matches!(point, "migration.config_published" | "migration.table_switched" | "migration.left");
        match (cause, group(point)) {
            (Cause::Move, _) if twice && !self.exactly_once => 2,
            (Cause::Flow, "segment") if !self.exactly_once => 2,
            (Cause::Flow, "segment") => 1,
            (Cause::Flow, _) if self.exactly_once => 3,
            (Cause::Flow, _) => 7,
            _ => 1,
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.delivery(), if self.external { "external" } else { "in the daemon" })
    }
}

/// A process was killed at a step.
#[derive(Debug)]
pub(crate) struct Kill {
    pub(crate) point: String,
    run: Run,
    cause: Cause,
    /// From the cause to the kill.
    until_killed: Duration,
    /// From the kill until everything was through.
    until_quiet: Duration,
}

/// What happened in all runs.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) kills: Vec<Kill>,
    /// Second kills, of who came after them.
    pub(crate) again: usize,
    /// Numbers that went through.
    pub(crate) numbers: i64,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Kill { point, run, cause, until_killed, until_quiet } in &self.kills {
            let (cause, run) = (format!("{cause:?}"), run.to_string());
            let (killed, quiet) = (until_killed.as_millis(), until_quiet.as_millis());
            writeln!(f, "  {point:32} {cause:12} {run:30} killed after {killed:5} ms, through after {quiet:5} ms")?;
        }
        Ok(())
    }
}

/// Kills at each of `points` that this run comes to; all that was wrong.
pub(crate) fn run(run: Run, points: &[&str], score: &mut Score) -> Vec<String> {
    let mut faults = Vec::new();
    let mine: Vec<&str> = points.iter().copied().filter(|point| is_of(point, run)).collect();
    let cause = |point: &str| Cause::of(point, run.external);
    let (fresh, later): (Vec<&str>, Vec<&str>) = mine.into_iter().partition(|point| cause(point).is_first());
    for points in fresh.iter().map(std::slice::from_ref).chain([later.as_slice()]) {
        if points.is_empty() {
            continue;
        }
        let mut pipeline = Pipeline::new(run);
        let failed =
            points.iter().find_map(|point| Some((point, kill_at(&mut pipeline, point, cause(point), score).err()?)));
        score.numbers += pipeline.came.sent;
        if let Some((point, fault)) = failed {
            faults.push(format!("{run}: {point}: {fault}"));
            pipeline.keep();
        } else {
            faults.extend(pipeline.finish().into_iter().map(|fault| format!("{run}: at the end: {fault}")));
        }
    }
    faults
}

/// Where whoever comes after a process that was killed in the middle of its work is killed too, in turn.
const AGAIN: [&str; 4] =
    ["recovery.record_taken", "recovery.tags_read", "recovery.segments_opened", "recovery.pending_handed_out"];

fn kill_at(pipeline: &mut Pipeline, point: &str, cause: Cause, score: &mut Score) -> Result<(), String> {
    let run = pipeline.run;
    let again = (cause == Cause::Flow).then(|| AGAIN[score.kills.len() % AGAIN.len()]);
    for (point, hits) in again.map(|again| (again, 1)).into_iter().chain([(point, run.hits(point, cause))]) {
        pipeline.arm(point, hits);
    }
    let begin = Instant::now();
    pipeline.come_to(point, cause)?;
    if let Some(again) = again {
        pipeline
            .come_after(again, Cause::of(again, run.external))
            .map_err(|fault| format!("and then {again}: {fault}"))?;
        score.again += 1;
    }
    let (killed, until_killed) = (Instant::now(), begin.elapsed());
    pipeline.go_on()?;
    score.kills.push(Kill { point: point.to_owned(), run, cause, until_killed, until_quiet: killed.elapsed() });
    Ok(())
}
