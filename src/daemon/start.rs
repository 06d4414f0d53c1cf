//! How a daemon begins and ends.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::config_file::ConfigFile;
use super::error::DaemonError;
use super::events::{Ending, Events};
use super::reload::Daemon;
use crate::channel::QueueLine;
use crate::name::{QueueName, TaskName};
use crate::process::{self, InstanceLock};
use crate::runtime::{Node, NodeOptions, Registry, install_panic_hook};
use crate::transit::{self, Transit};

/// How long what is in mailboxes may take at the end: what the original gives its external tasks.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lines of out-of-band channels that are configured to go to queues.
pub type Lines = mpsc::Receiver<QueueLine>;

/// What a daemon is told on its command line.
pub struct DaemonOptions {
    /// The queue that controls it.
    pub control_queue: QueueName,
    /// Where task code is looked for after the built-ins, in order.
    pub prefixes: Vec<String>,
    /// The config's name.
    pub config: Option<PathBuf>,
    /// Where states lie; it is made.
    pub state_dir: PathBuf,
    /// The transit, if not the user's usual one.
    pub transit_dir: Option<PathBuf>,
    /// Changes the debug level while it runs.
    pub set_level: Arc<dyn Fn(u32) + Send + Sync>,
    /// Lines that channels send to queues.
    pub lines: Option<Lines>,
}

/// Runs a daemon with these tasks until it is told to end. Returns when everything is saved.
pub fn run(options: DaemonOptions, registry: Registry) -> Result<(), DaemonError> {
    install_panic_hook();
    let kernel = |what| move |source| DaemonError::Kernel { what, source };
    process::raise_descriptor_limit().map_err(kernel("raising the limit of open files"))?;
    process::ignore_file_size_signal().map_err(kernel("ignoring SIGXFSZ"))?;
    process::watch_bus_errors().map_err(kernel("watching for SIGBUS"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(kernel("starting the runtime's threads"))?;
    let outcome = runtime.block_on(serve(options, registry));
    // A task that blocks its thread must not hold up an end that has been decided.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}

async fn serve(mut options: DaemonOptions, registry: Registry) -> Result<(), DaemonError> {
    let mut events = Events::new()?;
    let mut config_file = options.config.as_deref().map(ConfigFile::find).transpose()?;
    // Read before anything is taken: a broken file at start changes nothing.
    let document = config_file.as_mut().map(ConfigFile::read).transpose()?;
    let _instance = InstanceLock::take(&options.state_dir)?;
    let transit_dir = options.transit_dir.take().map_or_else(transit::default_root, Ok)?;
    let transit = Transit::open(&transit_dir)?;
    let state_dir = std::path::absolute(&options.state_dir).unwrap_or_else(|_| options.state_dir.clone());
    let node_options = NodeOptions {
        transit: transit.clone(),
        state_dir: state_dir.clone(),
        process: process_name(&state_dir),
        description: format!("pid {}, state directory {}", std::process::id(), state_dir.display()),
        control_queue: Some(options.control_queue.clone()),
    };
    events.changed = config_file.as_mut().map(ConfigFile::watch);
    events.lines = options.lines.take();
    let (node, inbox) = Node::start(node_options).await?;
    events.inbox = inbox;
    let mut daemon = Daemon::new(node, registry, transit, options, config_file);
    if let Err(faults) = daemon.first(document).await {
        daemon.stop(PATIENCE).await;
        return Err(faults);
    }
    let ending = events.run(&mut daemon).await;
    finish(ending, daemon, events).await
}

/// Ends in order; a second signal ends at once.
async fn finish(ending: Ending, daemon: Daemon, mut events: Events) -> Result<(), DaemonError> {
    if let Ending::Signal(name) = ending {
        eprintln!("caught {name}. starting orderly exit");
    }
    tokio::select! {
        orderly = daemon.stop(PATIENCE) => if orderly { Ok(()) } else { Err(DaemonError::Disorderly) },
        () = events.second_signal() => Err(DaemonError::Interrupted),
    }
}

/// The daemon's name in lanes. Two daemons may share a transit, and a lane has one writer: the name tells their
/// state directories apart, and is the same at the next start.
fn process_name(state_dir: &Path) -> TaskName {
    let path = std::fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    let hash = crc32c::crc32c(path.as_os_str().as_bytes());
    TaskName::new(format!("main@{hash:08x}")).expect("letters and digits are a name")
}
