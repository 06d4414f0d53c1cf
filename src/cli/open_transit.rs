//! The words of a command line that say which transit is meant.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;

use clap::{Args, Parser};

use super::exit::{Exit, Failure};
use crate::process::{ignore_file_size_signal, watch_bus_errors};
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
    /// Opens the transit. What the kernel would kill us for (a limit on file sizes, a file cut short under its
    /// mapping) becomes an error with a reason and a code.
    pub(super) fn open(&self) -> Result<Transit, Failure> {
        let guards = ignore_file_size_signal().and_then(|()| watch_bus_errors());
        guards.map_err(|error| Failure::new(Exit::IoError, format!("cannot watch for signals: {error}")))?;
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
        match answer.print() {
            // Whoever closed the pipe has seen enough of the help.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Exit::IoError,
            Ok(()) | Err(_) => exit,
        }
    })
}
