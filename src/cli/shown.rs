//! How the daemon's answers read.

use super::table::{Side, table, visible};
use crate::daemon::{
    DaemonStatus, EventReport, EventsReport, FailsafeReport, PlaceReport, Status, TaskState, TaskStatus, WorkerStatus,
};

use Side::{Left, Right};

/// How wide a line of several readings grows: with its indent it fits the hundred columns of a usual window.
const WIDTH: usize = 90;

/// All tasks, one a row; the workers of a pool below it.
pub(super) fn status(status: &Status) -> String {
    let heads = [
        ("task", Left),
        ("place", Left),
        ("pid", Right),
        ("state", Left),
        ("since", Left),
        ("restarts", Right),
        ("in/s", Right),
        ("out/s", Right),
        ("messages", Right),
        ("bytes", Right),
        ("full", Right),
        ("oldest", Right),
        ("cpu", Right),
        ("memory", Right),
        ("files", Right),
        ("remarks", Left),
    ];
    let rows =
        status.tasks.iter().flat_map(|task| std::iter::once(row(task)).chain(task.workers.iter().map(worker_row)));
    daemon(&status.daemon) + &table(heads, rows)
}

fn daemon(daemon: &DaemonStatus) -> String {
    let DaemonStatus { pid, version, state_dir, since, config, applying_since, .. } = daemon;
    let config = config.as_deref().unwrap_or("none, it comes by message");
    let head =
        format!("multimodule {version}, pid {pid}, since {}, config {config}, state in {state_dir}", short(since));
    let applying = applying_since.as_deref().map(|since| format!("a config is being applied since {}\n", short(since)));
    visible(&head) + "\n" + &applying.unwrap_or_default()
}

fn row(task: &TaskStatus) -> [String; 16] {
    let queue = task.queue.as_ref();
    [
        task.name.clone(),
        place(task),
        shown(task.pid),
        state(task.state).to_owned(),
        task.since.as_deref().map_or_else(none, short),
        task.restarts.to_string(),
        rate(task.rate_in),
        rate(task.rate_out),
        shown(queue.map(|queue| queue.messages)),
        queue.map_or_else(none, |queue| size(queue.bytes)),
        queue.map_or_else(none, |queue| format!("{:.1}%", queue.percent)),
        queue.and_then(|queue| queue.oldest_age_ms).map_or_else(none, seconds),
        share(task.cpu),
        task.memory.map_or_else(none, size),
        shown(task.files),
        remarks(task),
    ]
}

fn worker_row(worker: &WorkerStatus) -> [String; 16] {
    let mut row: [String; 16] = std::array::from_fn(|_| String::new());
    row[0] = format!("  {}", worker.name);
    row[2] = shown(worker.pid);
    row[3] = state(worker.state).to_owned();
    row[4] = worker.since.as_deref().map_or_else(none, short);
    row[5] = worker.restarts.to_string();
    row[15] = worker.failsafe.clone().unwrap_or_default();
    row
}

/// One task, one fact a line.
pub(super) fn task(task: &TaskStatus) -> String {
    let queue = task.queue.as_ref();
    let facts = [
        ("task", task.name.clone()),
        ("place", place(task)),
        ("process", task.process.clone().unwrap_or_else(none)),
        ("pid", shown(task.pid)),
        ("state", state(task.state).to_owned()),
        ("since", task.since.as_deref().map_or_else(none, |since| cut(since, 3))),
        ("restarts", task.restarts.to_string()),
        ("messages in per second", rate(task.rate_in)),
        ("messages out per second", rate(task.rate_out)),
        ("messages waiting", shown(queue.map(|queue| queue.messages))),
        ("bytes waiting", queue.map_or_else(none, |queue| size(queue.bytes))),
        ("queue full", queue.map_or_else(none, |queue| format!("{:.1}%", queue.percent))),
        ("oldest message", queue.and_then(|queue| queue.oldest_age_ms).map_or_else(none, seconds)),
        ("cpu", share(task.cpu)),
        ("memory", task.memory.map_or_else(none, size)),
        ("files", shown(task.files)),
        ("failsafe", task.failsafe.clone().unwrap_or_else(none)),
    ];
    let waits =
        task.waited_on_by.iter().map(|wait| ("waited on by", format!("{} since {}", wait.task, cut(&wait.since, 3))));
    let workers = task.workers.iter().map(|worker| {
        let pid = worker.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
        ("worker", format!("{}: {}{pid}", worker.name, state(worker.state)))
    });
    let facts: Vec<_> = facts.into_iter().chain(waits).chain(workers).collect();
    let width = facts.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    let line = |(name, value): (&str, String)| format!("{:width$}  {}\n", format!("{name}:"), visible(&value));
    facts.into_iter().map(line).collect()
}

fn place(task: &TaskStatus) -> String {
    match (task.place, task.process.as_deref()) {
        (PlaceReport::Internal, _) => "internal".to_owned(),
        (PlaceReport::External, Some(process)) if process != task.name => format!("external ({process})"),
        (PlaceReport::External, _) => "external".to_owned(),
        (PlaceReport::Pool, _) => format!("pool of {}", task.workers.len()),
    }
}

fn state(state: TaskState) -> &'static str {
    match state {
        TaskState::Running => "running",
        TaskState::Starting => "starting",
        TaskState::Waiting => "waiting to be restarted",
        TaskState::Ending => "ending",
        TaskState::Ended => "ended",
        TaskState::Stopped => "stopped",
        TaskState::Failsafe => "failsafe",
    }
}

fn remarks(task: &TaskStatus) -> String {
    let waits =
        task.waited_on_by.iter().map(|wait| format!("{} waits for room since {}", wait.task, short(&wait.since)));
    task.failsafe.iter().cloned().chain(waits).collect::<Vec<_>>().join("; ")
}

/// What is in failsafe, with its evidence.
pub(super) fn failsafes(reports: &[FailsafeReport]) -> String {
    if reports.is_empty() {
        return "nothing is in failsafe\n".to_owned();
    }
    let text = |report: &FailsafeReport| {
        let head = format!("{}: {}, since {}", report.name, report.reason, report.parked);
        let parts = [
            section("ended", &report.ends),
            section("readings", &folded(&report.readings)),
            section("config then", &report.config),
            section("last lines", &report.log),
        ];
        let clear = format!("  to clear: multimodule failsafe clear {}", report.name);
        visible(&head) + "\n" + &parts.concat() + &visible(&clear) + "\n"
    };
    reports.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Several to a line: a reading each second would push all else off the screen.
fn folded(readings: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for reading in readings {
        match lines.last_mut() {
            Some(line) if line.chars().count() + reading.chars().count() <= WIDTH => *line += &format!(", {reading}"),
            _ => lines.push(reading.clone()),
        }
    }
    lines
}

/// Lines below their title; nothing where there are none.
fn section(title: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("    {}\n", visible(line))).collect();
    if lines.is_empty() { lines } else { format!("  {title}:\n{lines}") }
}

/// One event a line: of a reason with several lines the first, the log has them all.
pub(super) fn events(report: &EventsReport) -> String {
    let forgotten = match report.forgotten {
        0 => String::new(),
        count => format!("({count} earlier events are forgotten)\n"),
    };
    let heads = [("number", Right), ("time", Left), ("task", Left), ("what", Left), ("how", Left)];
    let row = |event: &EventReport| {
        let by = event.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
        let task = event.task.clone().unwrap_or_else(none);
        let how = event.how.split_once('\n').map_or(event.how.clone(), |(first, _)| format!("{first} ..."));
        [event.number.to_string(), cut(&event.time, 3), task, event.what.clone(), format!("{how}{by}")]
    };
    forgotten + &table(heads, report.events.iter().map(row))
}

/// To the second.
fn short(time: &str) -> String {
    cut(time, 0)
}

/// A time in UTC with so many digits behind its seconds.
fn cut(time: &str, digits: usize) -> String {
    let Some((second, rest)) = time.split_once('.') else { return time.to_owned() };
    let rest: String = rest.trim_end_matches('Z').chars().chain(std::iter::repeat('0')).take(digits).collect();
    if digits == 0 { format!("{second}Z") } else { format!("{second}.{rest}Z") }
}

fn none() -> String {
    "-".to_owned()
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(none, |value| value.to_string())
}

fn rate(value: Option<f64>) -> String {
    value.map_or_else(none, |value| format!("{value:.1}"))
}

/// Processors that are busy: 0.05 is a twentieth of one.
fn share(value: Option<f64>) -> String {
    value.map_or_else(none, |value| format!("{value:.2}"))
}

/// Bytes as people read them.
#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn size(bytes: u64) -> String {
    let (mut size, mut unit) = (bytes as f64, "B");
    for next in ["KiB", "MiB", "GiB"] {
        // Four digits are read at a glance.
        if size >= 9999.5 {
            (size, unit) = (size / 1024.0, next);
        }
    }
    format!("{size:.0} {unit}")
}

#[expect(clippy::cast_precision_loss, reason = "an age for people")]
fn seconds(ms: u64) -> String {
    format!("{:.1}s", ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_and_shows_the_first_of_a_reason_with_several() {
        let event = EventReport {
            number: 7,
            time: "2026-11-22T11:31:31.8Z".to_owned(),
            task: None,
            what: "refused".to_owned(),
            how: "a.conf:1:1: wrong\n  | 1 | x\n  | ^".to_owned(),
            by: Some("pid 5 of user 0".to_owned()),
        };
        let text = events(&EventsReport { events: vec![event], forgotten: 0 });
        let line = "     7  2026-11-22T11:31:31.800Z  -     refused  a.conf:1:1: wrong ..., by pid 5 of user 0";
        assert_eq!(text.lines().nth(1), Some(line));
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn readings_stand_several_to_a_line_and_none_is_left_out() {
        let readings: Vec<_> = (0..60).rev().map(|second| format!("{second}.0 s before: 0.98")).collect();
        let lines = folded(&readings);
        assert!(lines.len() <= 15 && lines.iter().all(|line| line.chars().count() <= WIDTH + 2), "{lines:?}");
        assert_eq!(lines.join(", "), readings.join(", "));
    }

    #[test]
    fn sizes_have_at_most_four_digits_and_times_as_many_as_are_asked_for() {
        let sizes = [0, 9_999, 10_240, 36_683_776, 10 << 30, u64::MAX];
        let expected = ["0 B", "9999 B", "10 KiB", "35 MiB", "10 GiB", "17179869184 GiB"];
        assert_eq!(sizes.map(size), expected);
        assert_eq!(cut("2026-11-22T11:31:31.82247042Z", 3), "2026-11-22T11:31:31.822Z");
        assert_eq!(cut("2026-11-22T11:31:31.8Z", 3), "2026-11-22T11:31:31.800Z");
        assert_eq!(short("2026-11-22T11:31:31.8Z"), "2026-11-22T11:31:31Z");
    }
}
