//! The program `multimodule`, with any tasks: one program that is the daemon, each host, and the spawner of keepers.
//!
//! ```text
//!   argv[0] is `multimodule spawner`   the spawner: before anything else, with one thread
//!           or `multimodule redactor`  what keeps secrets out of a host's log
//!   as process 1 of a container        what reaps, and the rest in a child of it
//!   a command, as `status`              a call to a daemon that runs
//!   -m NAME                            the host of NAME
//!   else                               the daemon
//! ```

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::exit::{Exit, Failure};
use super::open_transit::parse;
use super::options::Options;
use super::remote;
use crate::channel;
use crate::control;
use crate::daemon::{self, DaemonError, DaemonOptions};
use crate::host::{self, HostOptions};
use crate::name::TaskName;
use crate::process::{self, ServiceManager};
use crate::runtime::{Registry, RegistryError};
use crate::secret;
use crate::supervisor::{Launch, Program};
use crate::usage::CgroupTree;

/// Where a program finds itself: its file, whatever its name is now.
const OURSELVES: &str = "/proc/self/exe";

/// The whole of `multimodule` with the tasks of `registry`: reads the command line of this process and does what it
/// says. Help, version and usage errors are answered here.
pub fn multimodule_main(registry: fn() -> Result<Registry, RegistryError>) -> ExitCode {
    // Before anything that makes a thread.
    if process::is_spawner() {
        return process::spawner_main();
    }
    if secret::is_redactor() {
        return secret::redactor_main();
    }
    match process::stay_process_one() {
        Ok(None) => {}
        Ok(Some(code)) => return ExitCode::from(code),
        // Nobody is reaped then, and everything else works.
        Err(error) => eprintln!("multimodule: as process 1 it does not reap what others leave: {error}"),
    }
    let service_manager = ServiceManager::take().unwrap_or_else(|error| {
        eprintln!("multimodule: the service manager is told nothing: {error}");
        ServiceManager::default()
    });
    let exit = match parse(std::env::args_os()) {
        Ok(Options { command: Some(command), state_dir, transit_dir, .. }) => {
            remote::run(command, &state_dir, transit_dir)
        }
        Ok(options) => match run(options, service_manager, registry) {
            Ok(()) => Exit::Ok,
            Err(failure) => failure.report("multimodule"),
        },
        Err(exit) => exit,
    };
    exit.into()
}

fn run(
    options: Options,
    service_manager: ServiceManager,
    registry: fn() -> Result<Registry, RegistryError>,
) -> Result<(), Failure> {
    let launch = launch(&options)?;
    let channels = channel::install(options.out_of_band, options.debug, options.log_format)?;
    let (lines, recent) = (channels.take_queue_lines(), channels.recent());
    let levels = channels.clone();
    let set_level = Arc::new(move |level| levels.set_level(level));
    let registry = registry().map_err(|error| failure(error.into()))?;
    let (prefixes, state_dir, transit_dir) = (options.prefixes, options.state_dir, options.transit_dir);
    if let Some(process) = options.module {
        let redactor = OURSELVES.into();
        let host_options =
            HostOptions { process, prefixes, state_dir, transit_dir, set_level, lines, channels, redactor };
        return host::run(host_options, registry).map_err(failure);
    }
    let daemon_options = DaemonOptions {
        control_queue: options.control_queue,
        prefixes,
        config: options.config,
        state_dir,
        transit_dir,
        launch,
        level: options.debug,
        set_level,
        lines,
        service_manager,
        channels,
        cgroups: CgroupTree::of_this_process(),
        serve: Some(control::service(recent)),
    };
    daemon::run(daemon_options, registry).map_err(failure)
}

/// Hosts run this very program, with our own words and `-m NAME`.
fn launch(options: &Options) -> Result<Launch, Failure> {
    let words = options.words_of_a_host();
    let program = std::env::args_os().next().unwrap_or_else(|| OsString::from("multimodule"));
    let arguments = move |process: &TaskName| {
        let own = [program.clone(), "-m".into(), process.as_str().into()];
        own.into_iter().chain(words.iter().cloned()).collect()
    };
    let ourselves = Path::new(OURSELVES);
    Ok(Launch {
        spawner: ourselves.to_owned(),
        program: Program::open(ourselves)?,
        arguments: Arc::new(arguments),
        program_text: daemon::program_text(),
        environment: Vec::new(),
    })
}

/// Which code a program that did not end in order ends with.
fn failure(error: DaemonError) -> Failure {
    let exit = match error {
        DaemonError::Instance(error) => return error.into(),
        DaemonError::Transit(error) => return error.into(),
        DaemonError::File(error) => return error.into(),
        DaemonError::UnknownProcess { .. } => Exit::Usage,
        DaemonError::Config(_) | DaemonError::ConfigFile { .. } | DaemonError::Registry(_) => Exit::Config,
        DaemonError::RunningConf(_) => Exit::Config,
        // A start looks for nothing of this: it comes of a reload alone.
        DaemonError::CannotBuild(_) => Exit::TempFail,
        DaemonError::Kernel { .. } | DaemonError::Disorderly | DaemonError::Link(_) => Exit::IoError,
        DaemonError::Interrupted => Exit::Interrupted,
    };
    Failure::new(exit, error)
}
