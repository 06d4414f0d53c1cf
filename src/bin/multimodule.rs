//! `multimodule`: the daemon (and its spawner, by argument 0). Reads the command line, installs the channels, runs the daemon, ends with its code.

use std::process::ExitCode;
use std::sync::Arc;

use multimodule::channel;
use multimodule::cli::{Exit, Failure, Options, multimodule_main};
use multimodule::daemon::{self, DaemonError, DaemonOptions};
use multimodule::process;
use multimodule::tasks;

/// Messages are made by one thread and dropped by another, which costs glibc's allocator a lock each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First thing: keepers are forked from a process in which nothing has begun yet.
    if process::is_spawner() {
        return process::spawner_main();
    }
    multimodule_main(|options| match run(options) {
        Ok(()) => Exit::Ok,
        Err(failure) => failure.report("multimodule"),
    })
}

fn run(options: Options) -> Result<(), Failure> {
    let channels = channel::install(options.out_of_band, options.debug)?;
    let lines = channels.take_queue_lines();
    let daemon_options = DaemonOptions {
        control_queue: options.control_queue,
        prefixes: options.prefixes,
        config: options.config,
        state_dir: options.state_dir,
        transit_dir: options.transit_dir,
        set_level: Arc::new(move |level| channels.set_level(level)),
        lines,
    };
    let registry = tasks::registry().map_err(|error| failure(error.into()))?;
    daemon::run(daemon_options, registry).map_err(failure)
}

/// Which code a daemon that did not end in order ends with.
fn failure(error: DaemonError) -> Failure {
    let exit = match error {
        DaemonError::Instance(error) => return error.into(),
        DaemonError::Transit(error) => return error.into(),
        DaemonError::File(error) => return error.into(),
        DaemonError::Config(_) | DaemonError::ConfigFile { .. } | DaemonError::Registry(_) => Exit::Config,
        DaemonError::Kernel { .. } | DaemonError::Disorderly => Exit::IoError,
        DaemonError::Interrupted => Exit::Interrupted,
    };
    Failure::new(exit, error)
}
