//! Lines that go to queues: a bounded buffer between whoever says something and the daemon, which forwards them.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::line::Line;
use crate::name::QueueName;
use crate::value::Map;

/// How many lines wait for the daemon: some seconds of a chatty task, a few hundred KiB at most.
pub const QUEUE_LINES: usize = 1024;

/// A line that is for a queue, and the fields of its message: `channel`, `level`, `text`, `time` (seconds since 1970),
/// `pid`, `task` if a task said it, `dropped` if so many lines before this one found no room, and those of the event
/// that have other names.
pub type QueueLine = (QueueName, Map);

/// Where lines for queues go in.
#[derive(Debug)]
pub(super) struct QueueLines {
    tx: mpsc::Sender<QueueLine>,
    dropped: AtomicU64,
}

/// What came of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It waits for the daemon, or was dropped and counted.
    Done,
    /// Nobody will ever take it.
    Closed,
}

impl QueueLines {
    pub(super) fn new() -> (Self, mpsc::Receiver<QueueLine>) {
        let (tx, rx) = mpsc::channel(QUEUE_LINES);
        (Self { tx, dropped: AtomicU64::new(0) }, rx)
    }

    /// Never waits.
    pub(super) fn offer(&self, queue: &QueueName, line: &Line) -> Offered {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let mut fields = fields_of(line);
        if dropped > 0 {
            fields.insert("dropped", dropped);
        }
        match self.tx.try_send((queue.clone(), fields)) {
            Ok(()) => Offered::Done,
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
                Offered::Done
            }
            Err(TrySendError::Closed(_)) => Offered::Closed,
        }
    }
}

/// The line as a message.
pub(super) fn fields_of(line: &Line) -> Map {
    let of_event = line.fields.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let mut fields: Map = of_event.collect();
    fields.insert("channel", line.channel.as_str());
    fields.insert("level", line.level.as_str());
    fields.insert("text", line.whole_text());
    fields.insert("time", line.time.as_second());
    fields.insert("pid", line.pid);
    if let Some(task) = &line.task {
        fields.insert("task", task.as_str());
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::super::line::Level;
    use super::*;
    use crate::fields;
    use crate::value::Value;

    fn line(text: &str) -> Line {
        let time = "2026-11-22T00:20:13Z".parse().unwrap();
        let (channel, task) = ("alert".to_owned(), Some("Example1".to_owned()));
        Line { time, pid: 7, channel, level: Level::Warning, task, text: text.to_owned(), fields: Vec::new() }
    }

    #[test]
    fn a_line_for_a_queue_is_a_message() {
        let (lines, mut rx) = QueueLines::new();
        let queue = QueueName::new("Alerts").unwrap();
        assert_eq!(lines.offer(&queue, &line("hot")), Offered::Done);
        let expected = fields! {
            channel: "alert", level: "warning", text: "hot", time: 1_795_306_813, pid: 7, task: "Example1",
        };
        assert_eq!(rx.try_recv().unwrap(), (queue, expected));
    }

    #[test]
    fn the_fields_of_an_event_are_those_of_the_message_but_for_ours() {
        let of_event = [("metric", Value::from("cpu")), ("value", Value::from(1.5)), ("pid", Value::from(3))];
        let fields = of_event.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let message = fields_of(&Line { fields, ..line("hot") });
        assert_eq!((message.get("metric"), message.get("pid")), (Some(&Value::from("cpu")), Some(&Value::from(7))));
        assert_eq!(message.get("text"), Some(&Value::from("hot metric=cpu value=1.5 pid=3")));
    }

    #[test]
    fn lines_without_room_are_dropped_and_counted_in_the_next() {
        let (lines, mut rx) = QueueLines::new();
        let queue = QueueName::new("Log").unwrap();
        for _ in 0..QUEUE_LINES + 3 {
            assert_eq!(lines.offer(&queue, &line("x")), Offered::Done);
        }
        assert_eq!(rx.try_recv().unwrap().1.get("dropped"), None);
        lines.offer(&queue, &line("next"));
        let last = std::iter::from_fn(|| rx.try_recv().ok()).last().unwrap();
        assert_eq!(last.1.get("dropped"), Some(&Value::from(3)));
    }

    #[test]
    fn lines_that_nobody_will_take_are_given_back() {
        let (lines, rx) = QueueLines::new();
        drop(rx);
        assert_eq!(lines.offer(&QueueName::new("Log").unwrap(), &line("x")), Offered::Closed);
    }
}
