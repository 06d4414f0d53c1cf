//! `multimodule`, the daemon.

use std::process::ExitCode;

use multimodule::cli::{Exit, Failure, multimodule_main};

fn main() -> ExitCode {
    multimodule_main(|_options| Failure::new(Exit::Unavailable, "this build has no daemon").report("multimodule"))
}
