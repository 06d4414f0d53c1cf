//! `STATE/running.channels`: how much is said and where it goes where the config says nothing, by the command line of the
//! newest daemon, for the hosts: they outlive the one that started them.
//!
//! A host looks when it starts and with each config, so a daemon that says something else makes a new config of the one
//! that holds. A program of an earlier version knows nothing of it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::channel::{ChannelHandle, Handling, LogFormat};
use crate::process::{Record, RecordError, read_record, write_record};

/// The file's name in the state directory.
const NAME: &str = "running.channels";

/// What a command line says of channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saying {
    /// `-d`, or what a control message has set since.
    level: u32,
    /// `-o`, its files with whole paths.
    handling: String,
    /// `--log-format`
    format: String,
}

impl Record for Saying {
    const KIND: &'static str = "channels";
    const FORMAT: u32 = 1;
}

impl Saying {
    /// What the channels of this process go by.
    pub(super) fn of(channels: &ChannelHandle, level: u32) -> Self {
        let (handling, format) = channels.handled_by();
        Self { level, handling: handling.with_whole_paths().to_string(), format: format.name().to_owned() }
    }

    /// Writes it; true if something else stood there.
    ///
    /// # Errors
    /// The file cannot be written; hosts go on by what stands there.
    pub(super) fn write(&self, state_dir: &Path) -> Result<bool, RecordError> {
        let path = state_dir.join(NAME);
        // What cannot be read is written anew.
        if read_record::<Self>(&path).ok().flatten().as_ref() == Some(self) {
            return Ok(false);
        }
        write_record(&path, self).map(|()| true)
    }

    /// What the newest daemon has written; none, if it has not.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub(crate) fn read(state_dir: &Path) -> Result<Option<Self>, RecordError> {
        read_record(&state_dir.join(NAME))
    }

    /// Has the channels of this process go by it. What it does not understand changes nothing.
    pub(crate) fn hold(&self, channels: &ChannelHandle) {
        // Only a change: a level that is set puts the environment's filter out.
        if self.level != channels.level() {
            channels.set_level(self.level);
        }
        if let (Ok(handling), Some(format)) = (Handling::parse(&self.handling), LogFormat::by_name(&self.format)) {
            channels.handle_by(handling, format);
        }
    }
}
