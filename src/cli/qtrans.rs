//! The program `qtrans`: lists queues.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::exit::{Exit, Failure};
use super::open_transit::{TransitDir, parse};
use super::version;
use crate::fields;
use crate::message::Stamp;
use crate::transit::{LaneStatus, QueueStatus, Transit};
use crate::value::{Map, Value};

const PROGRAM: &str = "qtrans";

const COLUMNS: usize = 7;
const HEADS: [&str; COLUMNS] = ["queue", "messages", "bytes", "capacity", "full", "oldest", "reader"];

const EXAMPLES: &str = "\
Examples:
  qtrans             the queues that hold messages
  qtrans -a          the empty ones too
  qtrans -a --json   for a program: a list of maps, with each queue's lanes

`capacity` is in bytes. `full` is the larger of the shares of bytes and of messages. `oldest` is
how long ago the oldest message was made. `-` as reader: nobody reads it.

Exit codes: 0 done, 64 usage, 74 files (a queue that cannot be looked at is named, the others
are shown).";

/// Lists queues: messages, bytes, capacity, percent full, and who reads them.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, long_version = version::long(), after_help = EXAMPLES, max_term_width = 100)]
struct Words {
    #[command(flatten)]
    transit: TransitDir,

    /// Also the empty ones
    #[arg(short, long)]
    all: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs `qtrans` with the command line of this process.
#[must_use]
pub fn qtrans_main() -> ExitCode {
    let listed = parse(std::env::args_os()).and_then(|words| list(&words).map_err(|e| e.report(PROGRAM)));
    listed.unwrap_or_else(|exit| exit).into()
}

fn list(words: &Words) -> Result<Exit, Failure> {
    let transit = words.transit.open()?;
    let (mut found, exit) = look(&transit)?;
    found.retain(|queue| words.all || queue.messages > 0);
    let text = if words.json { json(&found)? } else { table(&found, Stamp::now().time_ns) };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(exit),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(exit),
        Err(error) => Err(Failure::new(Exit::IoError, format!("cannot write to standard output: {error}"))),
    }
}

/// Looks at every queue. One that refuses is told at once, and does not hide the others.
fn look(transit: &Transit) -> Result<(Vec<QueueStatus>, Exit), Failure> {
    let (mut found, mut exit) = (Vec::new(), Exit::Ok);
    for queue in transit.queues()? {
        match transit.status(&queue) {
            Ok(status) => found.extend(status),
            Err(error) => exit = Failure::from(error).report(PROGRAM),
        }
    }
    Ok((found, exit))
}

fn table(found: &[QueueStatus], now_ns: u64) -> String {
    let heads = HEADS.map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heads).chain(found.iter().map(|status| row(status, now_ns))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    rows.iter().map(|row| line(row, &widths)).collect()
}

/// Names to the left, numbers to the right, and nothing behind the last column.
fn line(row: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let [queue, numbers @ .., reader] = row;
    let mut line = format!("{queue:width$}  ", width = widths[0]);
    for (number, width) in numbers.iter().zip(&widths[1..]) {
        line += &format!("{number:>width$}  ");
    }
    line + reader + "\n"
}

/// How long ago the oldest message was made. A clock that was set back since makes it now.
fn age(status: &QueueStatus, now_ns: u64) -> String {
    let age = |made| Duration::from_nanos(now_ns.saturating_sub(made));
    status.oldest_ns.map_or_else(|| "-".to_owned(), |made| format!("{:.1}s", age(made).as_secs_f64()))
}

fn row(status: &QueueStatus, now_ns: u64) -> [String; COLUMNS] {
    let reader = status.consumer.as_deref().map_or_else(|| "-".to_owned(), visible);
    [
        visible(status.queue.as_str()),
        status.messages.to_string(),
        status.bytes.to_string(),
        status.settings.max_bytes.to_string(),
        format!("{:.1}%", status.percent()),
        age(status, now_ns),
        reader,
    ]
}

/// A name may hold line breaks and what a terminal obeys; a row of a table may not.
fn visible(text: &str) -> String {
    let show = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(show).collect()
}

fn json(found: &[QueueStatus]) -> Result<String, Failure> {
    let list = Value::List(found.iter().map(|status| Value::Map(queue_fields(status))).collect());
    let text = serde_json::to_string_pretty(&list);
    text.map(|text| text + "\n").map_err(|error| Failure::new(Exit::Data, format!("no JSON: {error}")))
}

fn queue_fields(status: &QueueStatus) -> Map {
    let reader = status.consumer.as_deref().map_or(Value::Null, Value::from);
    fields! {
        queue: status.queue.as_str(),
        messages: status.messages,
        bytes: status.bytes,
        max_messages: status.settings.max_messages,
        max_bytes: status.settings.max_bytes,
        percent_full: status.percent(),
        oldest_ns: status.oldest_ns.map_or(Value::Null, Value::from),
        reader: reader,
        lanes: Value::List(status.lanes.iter().map(|lane| Value::Map(lane_fields(lane))).collect()),
    }
}

fn lane_fields(lane: &LaneStatus) -> Map {
    fields! {
        name: lane.name.to_string(),
        messages: lane.messages,
        bytes: lane.bytes,
        written: lane.written.1,
        finished: lane.finished.1,
        lost: lane.lost,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::name::QueueName;
    use crate::transit::Settings;

    fn status(name: &str, messages: u64, bytes: u64, consumer: Option<&str>) -> QueueStatus {
        let settings = Settings { max_bytes: 1000, max_messages: 10, ..Settings::default() };
        let queue = QueueName::new(name).unwrap();
        let (consumer, oldest_ns) = (consumer.map(Into::into), (messages > 2).then_some(500_000_000));
        QueueStatus { queue, messages, bytes, settings, parked: false, consumer, oldest_ns, lanes: Vec::new() }
    }

    #[test]
    fn the_command_line_is_sound() {
        Words::command().debug_assert();
    }

    #[test]
    fn the_table_has_one_row_a_queue() {
        let found = [status("Example1", 2, 500, Some("pid 7, state directory state")), status("a\nb", 9, 10, None)];
        let expected = "queue     messages  bytes  capacity   full  oldest  reader\n\
                        Example1         2    500      1000  50.0%       -  pid 7, state directory state\n\
                        a\\nb             9     10      1000  90.0%   63.3s  -\n";
        assert_eq!(table(&found, 63_800_000_000), expected);
    }
}
