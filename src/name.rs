//! Names: what identifies a task, a queue, a writer of a lane.
//!
//! Invariant: a name is parsed once, at the border. Whoever holds one may use it as the name of a file: it is
//! 1 to 255 bytes of UTF-8 without `/` and NUL, and it is neither `.` nor `..` nor begins with a dot (dot names
//! are ours: temporary files, doorbells).
//!
//! A task and its queue always have the same name; the two types keep a reader from mixing up what is meant.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: what Linux file systems take (`NAME_MAX`).
pub const MAX_NAME_BYTES: usize = 255;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name may not be empty")]
    Empty,
    /// The text is longer than [`MAX_NAME_BYTES`].
    #[error("a name has at most {MAX_NAME_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// The text holds a character that no file name can hold.
    #[error("name {name:?} holds {character:?}, which no name may hold")]
    Forbidden {
        /// The text, cut to its first 80 characters.
        name: String,
        /// The first offending character.
        character: char,
    },
    /// The text begins with a dot.
    #[error("name {0:?} begins with a dot; such names are kept for MultiModule's own files")]
    LeadingDot(String),
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(text.len()));
    }
    if let Some(character) = text.chars().find(|c| matches!(c, '/' | '\0')) {
        let name = text.chars().take(80).collect();
        return Err(NameError::Forbidden { name, character });
    }
    if text.starts_with('.') {
        return Err(NameError::LeadingDot(text.to_owned()));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses `text`; see the module for what is refused.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let text = text.as_ref();
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name_type! {
    /// The name of a task.
    TaskName
}
name_type! {
    /// The name of a queue, and of the directory that holds it.
    QueueName
}

impl TaskName {
    /// The task's queue: it has the same name.
    #[must_use]
    pub fn queue(&self) -> QueueName {
        QueueName(self.0.clone())
    }
}

impl QueueName {
    /// The task that a queue belongs to, if any does: it has the same name.
    #[must_use]
    pub fn task(&self) -> TaskName {
        TaskName(self.0.clone())
    }
}

/// What wrote a lane: the lane's name within its queue.
///
/// The written forms are `task:NAME`, `process:NAME`, `pool:NAME.3` and `anon:0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LaneName {
    /// What is emitted in the course of a stateful task's activations, wherever that task runs.
    Task(TaskName),
    /// Everything else that a process of this name emits (`main` is the daemon).
    Process(TaskName),
    /// What a pool's worker emits.
    Pool(TaskName, u32),
    /// What one-shot senders share (`strans`).
    Anonymous,
}

/// A text that names no lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no lane: `task:NAME`, `process:NAME`, `pool:NAME.3` or `anon:0` do")]
pub struct LaneNameError(pub String);

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(name) => write!(f, "task:{name}"),
            Self::Process(name) => write!(f, "process:{name}"),
            Self::Pool(name, worker) => write!(f, "pool:{name}.{worker}"),
            Self::Anonymous => f.write_str("anon:0"),
        }
    }
}

impl FromStr for LaneName {
    type Err = LaneNameError;

    fn from_str(text: &str) -> Result<Self, LaneNameError> {
        let fault = || LaneNameError(text.chars().take(80).collect());
        let name = |name: &str| TaskName::new(name).map_err(|_| fault());
        match text.split_once(':').ok_or_else(fault)? {
            ("task", rest) => Ok(Self::Task(name(rest)?)),
            ("process", rest) => Ok(Self::Process(name(rest)?)),
            ("pool", rest) => {
                let (pool, worker) = rest.rsplit_once('.').ok_or_else(fault)?;
                Ok(Self::Pool(name(pool)?, worker.parse().map_err(|_| fault())?))
            }
            ("anon", "0") => Ok(Self::Anonymous),
            _ => Err(fault()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_refuses_what_could_leave_its_directory() {
        for text in ["", "a/b", "../x", "..", ".", ".hidden", "a\0b", "/"] {
            assert!(TaskName::new(text).is_err(), "{text:?} was taken");
            assert!(QueueName::new(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        assert!(TaskName::new("x".repeat(255)).is_ok());
        assert_eq!(TaskName::new("x".repeat(256)), Err(NameError::TooLong(256)));
        assert_eq!(TaskName::new("ä".repeat(128)), Err(NameError::TooLong(256)));
    }

    #[test]
    fn a_lane_name_reads_back_what_it_writes() {
        for text in ["task:Example1", "process:main", "pool:resize.3", "anon:0", "pool:a.b.12"] {
            assert_eq!(text.parse::<LaneName>().unwrap().to_string(), text);
        }
        for text in ["", "task:", "task:../x", "pool:x", "pool:x.y", "anon:1", "who:x"] {
            assert!(text.parse::<LaneName>().is_err(), "{text:?} was taken");
        }
    }
}
