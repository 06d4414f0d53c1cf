//! What a child printed, line by line, as a log that a test can wait on.
//!
//! Invariant: lines stand in the order in which they were read; between standard output and standard error that order
//! is the readers', not the child's.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Error,
}

/// One line, without its line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) stream: Stream,
    pub(crate) text: String,
}

/// The log of one child, shared with the threads that read its pipes.
#[derive(Debug, Clone, Default)]
pub(crate) struct LineLog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    /// Streams that are still being read.
    open: usize,
}

impl LineLog {
    /// Reads a pipe to its end in a thread of its own. What is no UTF-8 is shown as replacement characters.
    pub(crate) fn read(&self, stream: Stream, pipe: impl Read + Send + 'static) {
        self.state().open += 1;
        let log = self.clone();
        thread::spawn(move || {
            log.follow(stream, BufReader::new(pipe));
            log.state().open -= 1;
            log.shared.changed.notify_all();
        });
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.state().lines.clone()
    }

    /// What one stream printed so far, each line closed by a line break.
    pub(crate) fn text(&self, stream: Stream) -> String {
        let state = self.state();
        let lines = state.lines.iter().filter(|line| line.stream == stream);
        lines.map(|line| format!("{}\n", line.text)).collect()
    }

    /// Waits for a line that holds `text`, at or after the line number `from`; its number, or nothing in time.
    /// When the child has closed its streams, nothing more can come, and the answer is there at once.
    pub(crate) fn wait_for(&self, from: usize, text: &str, deadline: Duration) -> Option<usize> {
        let position = |state: &State| {
            let lines = state.lines.iter().enumerate().skip(from);
            lines.filter(|(_, line)| line.text.contains(text)).map(|(number, _)| number).next()
        };
        self.wait_until(deadline, |state| state.open == 0 || position(state).is_some());
        position(&self.state())
    }

    /// Waits until the child, and whoever inherited its streams, has closed them; false when not in time.
    pub(crate) fn wait_closed(&self, deadline: Duration) -> bool {
        self.wait_until(deadline, |state| state.open == 0)
    }

    fn wait_until(&self, deadline: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let end = Instant::now() + deadline;
        let mut state = self.state();
        while !holds(&state) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).expect("no reader panicked").0;
        }
        true
    }

    fn follow(&self, stream: Stream, mut pipe: impl BufRead) {
        let mut bytes = Vec::new();
        while pipe.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
            self.state().lines.push(Line { stream, text });
            self.shared.changed.notify_all();
            bytes.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no reader panicked")
    }
}
