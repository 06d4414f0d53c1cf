//! What becomes of each channel's lines: the value of `-o`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::name::{NameError, QueueName};

/// What is done where nobody says otherwise.
pub const DEFAULT_HANDLING: &str = "log:1,error:2,alert:2,debug:./debug.out";

/// The queue that `router` means: what is sent there is routed.
pub const ROUTER_QUEUE: &str = "Router";

/// The channel whose handling those have that have none.
pub(super) const ERROR: &str = "error";

/// What an entry looks like, for errors.
const SHAPE: &str = "write channel:handling, as in log:1,error:2,debug:./debug.out";

/// Where a channel's lines go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// Standard output, written `1`.
    Stdout,
    /// Standard error, written `2`.
    Stderr,
    /// Appended to this file, written as a path with a `/` in it.
    File(PathBuf),
    /// Messages on this queue, written as its name; `router` is the queue `Router`.
    Queue(QueueName),
}

/// Which channel goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handling {
    sinks: BTreeMap<String, Sink>,
}

/// A text that is no handling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlingError {
    /// There is no entry.
    #[error("no channel is named; {SHAPE}")]
    Empty,
    /// An entry without a colon.
    #[error("{0:?} names a channel without its handling; {SHAPE}")]
    NoHandling(String),
    /// An entry that begins with its colon.
    #[error("{0:?} names no channel; {SHAPE}")]
    NoChannel(String),
    /// A channel stands twice.
    #[error("channel {0:?} stands twice; give it one handling")]
    Twice(String),
    /// A handling that is neither `1`, `2`, `router`, a path nor the name of a queue.
    #[error("channel {channel:?}: {source}; a handling is 1 (stdout), 2 (stderr), router, a path with a /, or a queue")]
    NotAQueue {
        /// The channel.
        channel: String,
        /// Why its handling names no queue.
        source: NameError,
    },
}

impl Handling {
    /// Reads `channel:handling,...`. All that is not named has the handling of `error`; where that is not named
    /// either, it is standard error.
    ///
    /// # Errors
    /// [`HandlingError`], which says what would be right.
    pub fn parse(text: &str) -> Result<Self, HandlingError> {
        let mut sinks = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (channel, handling) = entry.split_once(':').ok_or_else(|| HandlingError::NoHandling(entry.into()))?;
            let (channel, handling) = (channel.trim(), handling.trim());
            if channel.is_empty() {
                return Err(HandlingError::NoChannel(entry.into()));
            }
            if handling.is_empty() {
                return Err(HandlingError::NoHandling(channel.into()));
            }
            if sinks.insert(channel.to_owned(), sink(channel, handling)?).is_some() {
                return Err(HandlingError::Twice(channel.into()));
            }
        }
        if sinks.is_empty() { Err(HandlingError::Empty) } else { Ok(Self { sinks }) }
    }

    /// The same, with the files of paths that are not whole in this process's directory.
    #[must_use]
    pub fn with_whole_paths(&self) -> Self {
        let whole = |sink: &Sink| match sink {
            Sink::File(path) => Sink::File(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            other => other.clone(),
        };
        Self { sinks: self.sinks.iter().map(|(channel, sink)| (channel.clone(), whole(sink))).collect() }
    }

    /// Where the lines of `channel` go.
    #[must_use]
    pub fn sink(&self, channel: &str) -> &Sink {
        self.named(channel).or_else(|| self.named(ERROR)).unwrap_or(&Sink::Stderr)
    }

    /// The same, if that channel itself is named.
    pub(super) fn named(&self, channel: &str) -> Option<&Sink> {
        self.sinks.get(channel)
    }

    /// The channels that are named.
    pub(super) fn channels(&self) -> impl Iterator<Item = &str> {
        self.sinks.keys().map(String::as_str)
    }

    /// The queues that some channel goes to, each once.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueName> {
        let queues = self.sinks.values().filter_map(|sink| match sink {
            Sink::Queue(queue) => Some(queue.clone()),
            Sink::Stdout | Sink::Stderr | Sink::File(_) => None,
        });
        let mut queues: Vec<_> = queues.collect();
        queues.sort();
        queues.dedup();
        queues
    }
}

impl Default for Handling {
    fn default() -> Self {
        Self::parse(DEFAULT_HANDLING).expect("the default handling is one")
    }
}

impl FromStr for Handling {
    type Err = HandlingError;

    fn from_str(text: &str) -> Result<Self, HandlingError> {
        Self::parse(text)
    }
}

/// As it is written on a command line.
impl fmt::Display for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (channel, sink)) in self.sinks.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{channel}:")?;
            match sink {
                Sink::Stdout => f.write_str("1")?,
                Sink::Stderr => f.write_str("2")?,
                Sink::File(path) => write!(f, "{}", path.display())?,
                Sink::Queue(queue) => write!(f, "{queue}")?,
            }
        }
        Ok(())
    }
}

impl Sink {
    /// Reads one handling: `1`, `2`, `router`, a path with a `/`, or a queue.
    pub(super) fn parse(handling: &str) -> Result<Self, NameError> {
        let queue = match handling {
            "1" => return Ok(Self::Stdout),
            "2" => return Ok(Self::Stderr),
            path if path.contains('/') => return Ok(Self::File(PathBuf::from(path))),
            "router" => ROUTER_QUEUE,
            queue => queue,
        };
        QueueName::new(queue).map(Self::Queue)
    }
}

fn sink(channel: &str, handling: &str) -> Result<Sink, HandlingError> {
    Sink::parse(handling).map_err(|source| HandlingError::NotAQueue { channel: channel.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> Sink {
        Sink::Queue(QueueName::new(name).unwrap())
    }

    fn check(text: &str, channel: &str, expected: &Sink) {
        assert_eq!(Handling::parse(text).unwrap().sink(channel), expected, "{channel} in {text}");
    }

    #[test]
    fn each_form_of_handling_is_read() {
        check(DEFAULT_HANDLING, "log", &Sink::Stdout);
        check(DEFAULT_HANDLING, "error", &Sink::Stderr);
        check(DEFAULT_HANDLING, "alert", &Sink::Stderr);
        check(DEFAULT_HANDLING, "debug", &Sink::File("./debug.out".into()));
        check(" log : /var/log/a:b , ", "log", &Sink::File("/var/log/a:b".into()));
        check("log:router", "log", &queue("Router"));
        check("audit:Audit", "audit", &queue("Audit"));
    }

    #[test]
    fn a_channel_without_handling_uses_that_of_error() {
        check("log:1,error:Errors", "mine", &queue("Errors"));
        check("log:1", "mine", &Sink::Stderr);
    }

    #[test]
    fn a_handling_is_written_as_it_is_read() {
        for text in [DEFAULT_HANDLING, "log:/var/log/a:b,mine:Queue", "log:router,error:2"] {
            let handling = Handling::parse(text).unwrap();
            assert_eq!(Handling::parse(&handling.to_string()).unwrap(), handling, "{text}");
        }
    }

    #[test]
    fn each_queue_is_told_once() {
        let handling = Handling::parse("log:B,error:A,alert:B,debug:./x").unwrap();
        assert_eq!(handling.queues().iter().map(QueueName::as_str).collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn a_fault_says_what_would_be_right() {
        for (text, expected) in [
            ("", "no channel is named"),
            ("log", "\"log\" names a channel without its handling; write channel:handling"),
            ("log:", "\"log\" names a channel without its handling"),
            (":1", "\":1\" names no channel"),
            ("log:1,log:2", "channel \"log\" stands twice"),
            ("log:.hidden", "a handling is 1 (stdout), 2 (stderr), router, a path with a /, or a queue"),
        ] {
            let fault = Handling::parse(text).unwrap_err().to_string();
            assert!(fault.contains(expected), "{text:?}: {fault}");
        }
    }
}
