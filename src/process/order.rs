//! What a keeper is to do, and what comes of it: the words between daemon, spawner and keeper.

use serde::{Deserialize, Serialize};

use super::{Argument, Caps, HostFiles, Intent, ProcessRef};
use crate::name::TaskName;
use crate::restart::Policy;

/// The longest order: twice what the kernel takes for arguments and environment at its usual limit.
pub(super) const MAX_ORDER_BYTES: usize = 4 << 20;

/// A host that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperOrder {
    /// The process's name.
    pub name: TaskName,
    /// The state directory, from the root on.
    pub state_dir: Argument,
    /// The host's arguments, its own name first.
    pub arguments: Vec<Argument>,
    /// The host's whole environment, each `NAME=value`; `MULTIMODULE_NONCE` comes to it. It is held in the keeper's
    /// memory and written to no file.
    pub environment: Vec<Argument>,
    /// Where the host runs.
    pub directory: Argument,
    /// What follows an end.
    pub restart: Policy,
    /// The program's version, in words, for the records.
    pub program_text: String,
    /// What the host may have at most.
    #[serde(default, skip_serializing_if = "Caps::is_none")]
    pub caps: Caps,
    /// What the config says of its tasks: a line of `TASK: JSON` each.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub entries: String,
}

impl KeeperOrder {
    /// What of it is written down.
    #[must_use]
    pub fn intent(&self) -> Intent {
        Intent {
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            directory: self.directory.clone(),
            restart: self.restart,
            program: self.program_text.clone(),
            caps: self.caps.clone(),
            entries: self.entries.clone(),
        }
    }

    /// The files of the process.
    #[must_use]
    pub fn files(&self) -> HostFiles {
        HostFiles::new(self.state_dir.as_path(), &self.name)
    }
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The keeper keeps, and has tried its first start: the record is written.
    Keeping(ProcessRef),
    /// Another keeper has that name.
    Busy,
    /// A failsafe stands there.
    Parked,
    /// A host of that name runs, whose keeper is gone.
    HostRuns(ProcessRef),
    /// It came to nothing, for this reason.
    Failed(String),
}

/// The longest answer: what a pipe takes in one piece.
pub(super) const MAX_ANSWER_BYTES: usize = 4096;

/// How much of a reason goes into an answer, in characters: each may take up to 8 bytes when it is quoted.
const MAX_REASON: usize = 400;

impl Answer {
    /// A failure, its reason cut to what an answer takes.
    pub(super) fn failed(reason: impl std::fmt::Display) -> Self {
        Self::Failed(reason.to_string().chars().take(MAX_REASON).collect())
    }

    /// As bytes, at most [`MAX_ANSWER_BYTES`].
    pub(super) fn encode(&self) -> Vec<u8> {
        ron::to_string(self).unwrap_or_else(|_| "Failed(\"\")".to_owned()).into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        ron::de::from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_fits_whatever_its_reason_is() {
        for reason in ["\u{1}".repeat(5000), "ä\"".repeat(5000), String::new()] {
            let answer = Answer::failed(reason);
            let bytes = answer.encode();
            assert!(bytes.len() <= MAX_ANSWER_BYTES, "{}", bytes.len());
            assert_eq!(Answer::decode(&bytes), Some(answer));
        }
    }
}
