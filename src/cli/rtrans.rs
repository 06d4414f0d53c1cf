//! The program `rtrans`: consumes a queue and prints its messages.
//!
//! ```text
//! take ─▶ print, flush ─▶ finish in the queue ─▶ ...        nothing there: wait
//! ```
//!
//! Invariant: a message is finished only after it was printed and flushed. So what a full disk, a closed pipe or a kill
//! kept from being printed is still in the queue; at worst one message is printed again by the next reader.

use std::io::{self, ErrorKind, Stdout, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;

use super::exit::{Exit, Failure, complain};
use super::open_transit::{TransitDir, parse};
use super::version;
use super::waiting::{Event, Interrupts, wait};
use crate::config::advice;
use crate::fields;
use crate::message::{Message, TRANSIT_META};
use crate::name::QueueName;
use crate::transit::{Bell, Consumer, LaneId, Reader, Taken, Transit};
use crate::value::{Map, Value};

const PROGRAM: &str = "rtrans";

/// A day: longer waits are waits without `--timeout`.
const MAX_TIMEOUT_SECONDS: f64 = 86_400.0;

const EXAMPLES: &str = "\
Examples:
  rtrans -s Example1              prints one message, waiting for it if need be
  rtrans -c 10 -r Example1        prints ten, each with id, time and the lane it came by
  rtrans --timeout 0.5 Example1   prints what is there, and ends half a second after the last one
  rtrans Example1                 prints all until Ctrl-C

A message leaves the queue when it was printed. One process reads a queue: while a daemon
runs, its tasks' queues are its.

Exit codes: 0 done, 64 usage, 65 a message that cannot be read, 69 another process reads the queue,
74 files, 75 nothing came (or fewer than -c asks for) before --timeout.";

/// Receives messages from a queue and prints them as JSON with sorted keys.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, long_version = version::long(), after_help = EXAMPLES, max_term_width = 100)]
struct Words {
    #[command(flatten)]
    transit: TransitDir,

    /// One message
    #[arg(short, long, conflicts_with = "count")]
    single: bool,

    /// So many messages
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// With `.ipc_transit_meta`: id and send_ts as in every printed message, lane, and the tag of an exactly-once output
    #[arg(short, long)]
    raw: bool,

    /// How many seconds to wait for each next message [default: for ever]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// The queue
    queue: QueueName,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_TIMEOUT_SECONDS).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("write a number of seconds from 0 to {MAX_TIMEOUT_SECONDS}, as 5 or 0.5")),
    }
}

impl Words {
    fn wanted(&self) -> Option<u64> {
        if self.single { Some(1) } else { self.count }
    }
}

/// Runs `rtrans` with the command line of this process.
#[must_use]
pub fn rtrans_main() -> ExitCode {
    let received = parse(std::env::args_os()).and_then(|words| receive(&words).map_err(|e| e.report(PROGRAM)));
    received.unwrap_or_else(|exit| exit).into()
}

fn receive(words: &Words) -> Result<Exit, Failure> {
    let interrupts = Interrupts::watch()?;
    let transit = words.transit.open()?;
    if let Some(hint) = hint(&transit, &words.queue)? {
        complain(PROGRAM, hint);
    }
    let bell = Bell::open(&transit)?;
    let description = format!("rtrans, pid {}", std::process::id());
    let reader = Reader { bell: bell.clone(), waker: None, description };
    let consumer = transit.consumer(&words.queue, None, &reader)?;
    let (output, wanted) = (io::stdout(), words.wanted());
    let printer = Printer { consumer, bell, interrupts, output, raw: words.raw, wanted, printed: 0 };
    printer.run(words.timeout)
}

/// A queue that is made only by being read may be a slip of the pen.
fn hint(transit: &Transit, queue: &QueueName) -> Result<Option<String>, Failure> {
    if transit.status(queue)?.is_some() {
        return Ok(None);
    }
    let queues = transit.queues()?;
    let meant = advice(queue.as_str(), queues.iter().map(QueueName::as_str));
    Ok(meant.map(|meant| format!("there was no queue {queue} until now. {meant}")))
}

struct Printer {
    consumer: Consumer,
    bell: Arc<Bell>,
    interrupts: Interrupts,
    output: Stdout,
    raw: bool,
    wanted: Option<u64>,
    printed: u64,
}

/// What came of a batch.
enum Progress {
    More,
    Enough,
    OutputClosed,
}

impl Printer {
    fn run(mut self, timeout: Option<Duration>) -> Result<Exit, Failure> {
        let mut batch = Vec::new();
        let mut deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            batch.clear();
            let taken = self.consumer.take(&mut batch)?;
            self.consumer.incidents().iter().for_each(|incident| complain(PROGRAM, incident));
            match self.print_all(&batch)? {
                Progress::More => {}
                Progress::Enough | Progress::OutputClosed => return Ok(Exit::Ok),
            }
            if taken > 0 {
                deadline = timeout.map(|timeout| Instant::now() + timeout);
                continue;
            }
            match wait(&mut self.consumer, &self.bell, &self.interrupts, &self.output, deadline)? {
                Event::Look => {}
                Event::Interrupted | Event::OutputClosed => return Ok(Exit::Ok),
                Event::TimedOut => return self.timed_out(),
            }
        }
    }

    fn print_all(&mut self, batch: &[Taken]) -> Result<Progress, Failure> {
        for taken in batch {
            if self.interrupts.came() {
                return Ok(Progress::Enough);
            }
            let text = self.text_of(taken)?;
            match self.print(&text) {
                Ok(()) => self.consumer.finish(taken.lane, taken.end, taken.count),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Progress::OutputClosed),
                Err(error) => {
                    let text = format!("cannot write to standard output: {error}; the message is still in the queue");
                    return Err(Failure::new(Exit::IoError, text));
                }
            }
            self.printed += 1;
            if self.wanted.is_some_and(|wanted| self.printed >= wanted) {
                return Ok(Progress::Enough);
            }
        }
        Ok(Progress::More)
    }

    fn print(&self, text: &str) -> io::Result<()> {
        let mut output = self.output.lock();
        output.write_all(text.as_bytes())?;
        output.flush()
    }

    fn text_of(&mut self, taken: &Taken) -> Result<String, Failure> {
        let message = Message::from_encoded(taken.stamp, taken.body.clone())?;
        let fields = if self.raw { self.with_headers(&message, taken) } else { message.into_fields() };
        let text = serde_json::to_string_pretty(&fields);
        text.map(|text| text + "\n").map_err(|error| Failure::new(Exit::Data, format!("no JSON: {error}")))
    }

    fn with_headers(&mut self, message: &Message, taken: &Taken) -> Map {
        let mut fields = message.with_meta();
        if let Some(Value::Map(meta)) = fields.get_mut(TRANSIT_META) {
            meta.insert("lane", self.lane_name(taken.lane));
            if let Some(tag) = &taken.tag {
                meta.insert("tag", fields! { epoch: tag.epoch, n: tag.n, index: tag.index });
            }
        }
        fields
    }

    fn lane_name(&mut self, id: LaneId) -> String {
        let lane = self.consumer.lanes().into_iter().find(|lane| lane.id == id);
        lane.map_or_else(|| "unknown".to_owned(), |lane| lane.name)
    }

    fn timed_out(&self) -> Result<Exit, Failure> {
        let text = match (self.printed, self.wanted) {
            (0, _) => "nothing came in time".to_owned(),
            (_, None) => return Ok(Exit::Ok),
            (printed, Some(wanted)) => format!("{printed} of {wanted} messages came in time"),
        };
        Err(Failure::new(Exit::TempFail, text))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Words::command().debug_assert();
    }

    #[test]
    fn a_timeout_is_a_number_of_seconds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["-1", "NaN", "inf", "1e9", "soon", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
