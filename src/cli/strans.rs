//! The program `strans`: puts one message on a queue, whether or not anything is running.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use super::exit::{Exit, Failure, complain};
use super::message_text;
use super::open_transit::{TransitDir, parse};
use super::version;
use crate::config::advice;
use crate::fields;
use crate::message::Message;
use crate::name::QueueName;
use crate::runtime::{DEAD, WHY};
use crate::transit::{AppendError, Error, Outgoing, Overflow, Settings, Transit};

const PROGRAM: &str = "strans";

/// How long we wait for other one-shot senders; each of them needs some 100 µs.
const LANE_WAIT: Duration = Duration::from_secs(1);

/// How often a full queue is looked at again: seldom enough to cost nothing, often enough not to be noticed.
const FULL_RETRY: Duration = Duration::from_millis(20);

const EXAMPLES: &str = "\
Examples (all four messages are the same):
  strans '<new_ct=>999>' Example1
  strans '{new_ct => 999}' Example1
  strans '{\"new_ct\": 999}' Example1
  strans '(new_ct: 999)' Example1
  echo '{\"text\": \"from a pipe\"}' | strans - Example1

The message survives every crash once strans has ended with 0. If nobody reads the queue,
it waits there.

Exit codes: 0 kept, 64 usage, 65 no message or too large, 69 other hosts, 74 files,
75 the queue stayed full.";

/// Puts one message on a queue.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, long_version = version::long(), after_help = EXAMPLES, max_term_width = 100)]
struct Words {
    #[command(flatten)]
    transit: TransitDir,

    /// The message: a map of fields as JSON, RON, or in the original's forms; `-` reads it from standard input
    message: OsString,

    /// The queue; a task's queue has the task's name
    queue: QueueName,

    /// Another host (not part of this version)
    destination_host: Option<String>,
}

/// Runs `strans` with the command line of this process.
#[must_use]
pub fn strans_main() -> ExitCode {
    let sent = parse(std::env::args_os()).and_then(|words| send(words).map_err(|failure| failure.report(PROGRAM)));
    match sent {
        Ok(hint) => {
            if let Some(hint) = hint {
                complain(PROGRAM, hint);
            }
            Exit::Ok.into()
        }
        Err(exit) => exit.into(),
    }
}

/// Sends; returns what the user may want to know.
fn send(words: Words) -> Result<Option<String>, Failure> {
    if let Some(host) = words.destination_host {
        let text = format!("{host}: sending to another host is not part of this version");
        return Err(Failure::new(Exit::Unavailable, text));
    }
    let message = message_text::read(words.message, std::io::stdin())?;
    let transit = words.transit.open()?;
    match append(&transit, &words.queue, &message)? {
        Kept::InQueue => Ok(hint(&transit, &words.queue)?),
        Kept::InDead { reason } => Ok(Some(format!("{reason}; the message is kept there"))),
    }
}

/// Where a message is now.
enum Kept {
    InQueue,
    InDead { reason: String },
}

/// Appends, waiting for room as long as the queue's settings say.
fn append(transit: &Transit, queue: &QueueName, message: &Message) -> Result<Kept, Failure> {
    let out = Outgoing { stamp: message.stamp(), tag: None, body: message.encoded()? };
    let begin = Instant::now();
    loop {
        match transit.append_once(queue, &out, LANE_WAIT) {
            Ok(()) => return Ok(Kept::InQueue),
            Err(full @ AppendError::Full { .. }) => {
                let most = transit.settings(queue)?.unwrap_or_else(Settings::default).block_timeout;
                if begin.elapsed() >= most {
                    let text =
                        format!("{full}; it stayed so for {} s, and the message was not kept", most.as_secs_f64());
                    return Err(Failure::new(Exit::TempFail, text));
                }
                std::thread::sleep(FULL_RETRY.min(most));
            }
            Err(diverted @ AppendError::DeadLetter { .. }) => {
                let reason = diverted.to_string();
                bury(transit, queue, message, &reason)?;
                return Ok(Kept::InDead { reason });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Puts a message that its queue diverts into `dead`, which drops its oldest rather than to be full.
fn bury(transit: &Transit, queue: &QueueName, message: &Message, reason: &str) -> Result<(), Failure> {
    let dead = QueueName::new(DEAD)?;
    if transit.settings(&dead)?.is_none() {
        transit.set_settings(&dead, &Settings { overflow: Overflow::DropOldest, ..Settings::default() })?;
    }
    let mut fields = message.fields().clone();
    fields.insert(WHY, fields! { task: queue.as_str(), reason: reason });
    let letter = Message::stamped(message.stamp(), fields);
    let out = Outgoing { stamp: letter.stamp(), tag: None, body: letter.encoded()? };
    Ok(transit.append_once(&dead, &out, LANE_WAIT)?)
}

/// Says so when nobody reads the queue, and which one may be meant.
fn hint(transit: &Transit, queue: &QueueName) -> Result<Option<String>, Error> {
    if transit.status(queue)?.is_some_and(|status| status.consumer.is_some()) {
        return Ok(None);
    }
    let mut read = transit.queues()?;
    // A queue that cannot be looked at is not suggested; the message is kept all the same.
    read.retain(|queue| matches!(transit.status(queue), Ok(Some(status)) if status.consumer.is_some()));
    let meant = advice(queue.as_str(), read.iter().map(QueueName::as_str));
    let meant = meant.map(|meant| format!(". {meant}")).unwrap_or_default();
    Ok(Some(format!("nobody reads queue {queue} now; the message waits there{meant}")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Words::command().debug_assert();
    }
}
