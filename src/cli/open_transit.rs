//! The words of a command line that say which transit is meant.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser};

use super::exit::{Exit, Failure};
use crate::transit::{Transit, default_root};

/// `-P DIR`, which every command on the transit has.
#[derive(Debug, Args)]
pub(super) struct TransitDir {
    /// The transit directory [default: $MULTIMODULE_TRANSIT; else /var/lib/multimodule/transit for root, and
    /// ~/.local/state/multimodule/transit for others]
    #[arg(short = 'P', short_alias = 'T', long = "transit-dir", value_name = "DIR")]
    transit_dir: Option<PathBuf>,
}

impl TransitDir {
    pub(super) fn open(&self) -> Result<Transit, Failure> {
        let root = match &self.transit_dir {
            Some(dir) => dir.clone(),
            None => default_root()?,
        };
        Ok(Transit::open(&root)?)
    }
}

/// Reads a command line. What it says instead (help, version, a usage error) is printed, and `Err` has the code.
pub(super) fn parse<P: Parser>(words: impl IntoIterator<Item = OsString>) -> Result<P, Exit> {
    P::try_parse_from(words).map_err(|answer| {
        let exit = if answer.use_stderr() { Exit::Usage } else { Exit::Ok };
        // Nobody is left to tell when the terminal is gone.
        if answer.print().is_err() { Exit::IoError } else { exit }
    })
}
