//! The queue `dead`: messages that could not be handled, each with the reason.

use std::time::Duration;

use tokio::time::Instant;

use super::office::Office;
use crate::fields;
use crate::message::Message;
use crate::name::QueueName;
use crate::transit::{Error, Overflow, POISON, Settings, Transit};

/// The queue's name.
pub const DEAD: &str = "dead";
/// The field that says why a message is there: `{task, reason}`.
pub const WHY: &str = ".dead";

/// How long another process may change the queue at our start: after a reboot it walks through what the queue holds.
const BUSY_PATIENCE: Duration = Duration::from_secs(30);
/// How often we look meanwhile.
const BUSY_RETRY: Duration = Duration::from_millis(50);

/// `dead` drops its oldest: a task that fails every message must not stop the others.
pub(super) fn settings() -> Settings {
    Settings { overflow: Overflow::DropOldest, ..Settings::default() }
}

pub(super) fn queue() -> QueueName {
    QueueName::new(DEAD).expect("`dead` is a name")
}

/// Makes the queue as it is to be. Another process that is changing it is waited for, without holding up a thread.
pub(super) async fn open(transit: &Transit) -> Result<(), Error> {
    let deadline = Instant::now() + BUSY_PATIENCE;
    loop {
        match transit.set_settings(&queue(), &settings()) {
            Err(Error::IndexBusy { .. }) if Instant::now() < deadline => tokio::time::sleep(BUSY_RETRY).await,
            outcome => return outcome,
        }
    }
}

/// Why an input is given up that processes ended on.
pub(super) fn poison() -> String {
    format!("poison: {POISON} processes ended while they handled it")
}

/// A message that `task` could not handle, or could not send, with the reason.
pub(super) fn letter(message: &Message, task: &str, reason: &str) -> Message {
    let mut fields = message.fields().clone();
    fields.insert(WHY, fields! { task: task, reason: reason });
    Message::stamped(message.stamp(), fields)
}

/// Puts a message that `task` could not handle into `dead`. If even that fails, the message is printed with the
/// error, so that it can be found in the log.
pub(super) fn bury(office: &Office, message: &Message, task: &str, reason: &str) {
    let letter = letter(message, task, reason);
    if let Err(refusal) = office.append(&queue(), &letter, &mut Vec::new()) {
        tracing::error!(task, "the queue `dead` did not take a message ({refusal}): {letter}");
    }
}
