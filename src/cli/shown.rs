//! How the daemon's answers read.

use super::table::{Side, table, visible};
use crate::daemon::{
    DaemonStatus, EventsReport, FailsafeReport, PlaceReport, Status, TaskState, TaskStatus, WorkerStatus,
};

use Side::{Left, Right};

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
        shown(queue.map(|queue| queue.bytes)),
        queue.map_or_else(none, |queue| format!("{:.1}%", queue.percent)),
        queue.and_then(|queue| queue.oldest_age_ms).map_or_else(none, seconds),
        rate(task.cpu),
        shown(task.memory),
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
        ("since", task.since.clone().unwrap_or_else(none)),
        ("restarts", task.restarts.to_string()),
        ("messages in per second", rate(task.rate_in)),
        ("messages out per second", rate(task.rate_out)),
        ("messages waiting", shown(queue.map(|queue| queue.messages))),
        ("bytes waiting", shown(queue.map(|queue| queue.bytes))),
        ("queue full", queue.map_or_else(none, |queue| format!("{:.1}%", queue.percent))),
        ("oldest message", queue.and_then(|queue| queue.oldest_age_ms).map_or_else(none, seconds)),
        ("cpu", rate(task.cpu)),
        ("memory", shown(task.memory)),
        ("files", shown(task.files)),
        ("failsafe", task.failsafe.clone().unwrap_or_else(none)),
    ];
    let waits = task.waited_on_by.iter().map(|wait| ("waited on by", format!("{} since {}", wait.task, wait.since)));
    let workers = task.workers.iter().map(|worker| {
        let pid = worker.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
        ("worker", format!("{}: {}{pid}", worker.name, state(worker.state)))
    });
    let line = |(name, value): (&str, String)| format!("{name}: {}\n", visible(&value));
    facts.into_iter().chain(waits).chain(workers).map(line).collect()
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
            section("readings", &report.readings),
            section("config then", &report.config),
            section("last lines", &report.log),
        ];
        let clear = format!("  to clear: multimodule failsafe clear {}", report.name);
        visible(&head) + "\n" + &parts.concat() + &visible(&clear) + "\n"
    };
    reports.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Lines below their title; nothing where there are none.
fn section(title: &str, lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| format!("    {}\n", visible(line))).collect();
    if lines.is_empty() { lines } else { format!("  {title}:\n{lines}") }
}

/// One event a line.
pub(super) fn events(report: &EventsReport) -> String {
    let forgotten = match report.forgotten {
        0 => String::new(),
        count => format!("({count} earlier events are forgotten)\n"),
    };
    let line = |event: &crate::daemon::EventReport| {
        let by = event.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
        let task = event.task.as_deref().unwrap_or("multimodule");
        visible(&format!("{} {} {task} {}: {}{by}", event.number, event.time, event.what, event.how)) + "\n"
    };
    forgotten + &report.events.iter().map(line).collect::<String>()
}

/// To the second.
fn short(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(second, _)| format!("{second}Z"))
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

#[expect(clippy::cast_precision_loss, reason = "an age for people")]
fn seconds(ms: u64) -> String {
    format!("{:.1}s", ms as f64 / 1000.0)
}
