//! The queue `dead`: messages that could not be handled, each with the reason.

use super::office::Office;
use crate::fields;
use crate::message::Message;
use crate::name::QueueName;
use crate::transit::{Overflow, POISON, Settings};

/// The queue's name.
pub const DEAD: &str = "dead";
/// The field that says why a message is there: `{task, reason}`.
pub const WHY: &str = ".dead";

/// `dead` drops its oldest: a task that fails every message must not stop the others.
pub(super) fn settings() -> Settings {
    Settings { overflow: Overflow::DropOldest, ..Settings::default() }
}

pub(super) fn queue() -> QueueName {
    QueueName::new(DEAD).expect("`dead` is a name")
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
