//! How a daemon begins and ends.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::caps::enter_cgroups;
use super::config_file::ConfigFile;
use super::error::DaemonError;
use super::events::{Ending, Events};
use super::program::{process_name, run_in_runtime};
use super::requests::{CALLS, Call};
use super::running::{Daemon, Externals};
use super::share::cpus;
use super::whereabouts::Whereabouts;
use crate::channel::{ChannelHandle, QueueLine};
use crate::config::MAIN;
use crate::monitor::Monitor;
use crate::name::{QueueName, TaskName};
use crate::process::{InstanceLock, Notice, ServiceManager};
use crate::runtime::{Node, NodeOptions, Registry};
use crate::supervisor::{Launch, Supervisor};
use crate::transit::{self, Transit};
use crate::usage::CgroupTree;

/// How long what is in mailboxes may take at the end: what the original gives its external tasks.
const PATIENCE: Duration = Duration::from_secs(2);

/// So much news of processes waits while the daemon is busy: a word or two of each of a hundred.
const NEWS: usize = 256;

/// Lines of out-of-band channels that are configured to go to queues.
pub type Lines = mpsc::Receiver<QueueLine>;

/// Begins to serve whoever wants to call the daemon; called within its runtime when it runs. What it returns ends the
/// service when it is dropped.
pub type Serve = Box<dyn FnOnce(Whereabouts, mpsc::Sender<Call>) -> io::Result<Box<dyn Send>> + Send>;

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
    /// How hosts of external tasks are started.
    pub launch: Launch,
    /// The debug level.
    pub level: u32,
    /// Changes the debug level while it runs.
    pub set_level: Arc<dyn Fn(u32) + Send + Sync>,
    /// Lines that channels send to queues.
    pub lines: Option<Lines>,
    /// Who started the daemon as a service, if somebody did.
    pub service_manager: ServiceManager,
    /// The channels of this process.
    pub channels: ChannelHandle,
    /// The tree of cgroups, of which a part may be delegated to us.
    pub cgroups: CgroupTree,
    /// How it can be called from outside.
    pub serve: Option<Serve>,
}

/// Runs a daemon with these tasks until it is told to end. Returns when everything is saved.
pub fn run(options: DaemonOptions, registry: Registry) -> Result<(), DaemonError> {
    // One alone would hold up everything while a task blocks it.
    let threads = (cpus().get() == 1).then_some(2);
    run_in_runtime(threads, serve(options, registry))
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
        process: process_name(MAIN, &state_dir),
        daemon: process_name(MAIN, &state_dir),
        description: format!("pid {}, state directory {}", std::process::id(), state_dir.display()),
        control_queue: Some(options.control_queue.clone()),
    };
    let (news, heard) = mpsc::channel(NEWS);
    // Before anything is forked: children are where we are.
    let (cgroups, no_cgroups) = enter_cgroups(&options.cgroups, &state_dir);
    let supervisor = Supervisor::start(state_dir.clone(), options.launch.clone(), cgroups, news);
    events.news = Some(heard);
    // One report a second; a daemon that is busy for longer hears of two.
    let (reports, rx) = mpsc::channel(2);
    let monitor = Monitor::start(TaskName::new(MAIN).expect("it is a name"), transit.clone(), reports)
        .map_err(|source| DaemonError::Kernel { what: "a thread that watches", source })?;
    events.reports = Some(rx);
    events.changed = config_file.as_mut().map(ConfigFile::watch);
    events.lines = options.lines.take();
    events.feed_each(options.service_manager.watchdog());
    let serve = options.serve.take();
    let (node, inbox) = Node::start(node_options).await?;
    events.inbox = inbox;
    let whereabouts = Whereabouts { state_dir, transit_dir: transit.root().to_owned() };
    let mut daemon = Daemon::new(node, supervisor, registry, transit, options, config_file, monitor);
    daemon.no_cgroups = no_cgroups;
    let _service = serve.and_then(|serve| open(serve, whereabouts, &mut events));
    let shown = daemon.shown.subscribe();
    if let Err(faults) = events.attend(daemon.first(document), shown).await {
        daemon.stop(PATIENCE, Externals::Stay).await;
        return Err(faults);
    }
    daemon.notify_ready();
    let ending = events.run(&mut daemon).await;
    // Who calls from now on is told that nobody is there, and so is who waits.
    events.refuse_calls();
    finish(ending, daemon, events).await
}

/// Opens the door for calls. A daemon that cannot be called runs all the same.
fn open(serve: Serve, whereabouts: Whereabouts, events: &mut Events) -> Option<Box<dyn Send>> {
    let (calls, rx) = mpsc::channel(CALLS);
    match serve(whereabouts, calls) {
        Ok(service) => {
            events.calls = Some(rx);
            Some(service)
        }
        Err(error) => {
            tracing::error!("status, reload and the other commands do not reach this daemon: {error}");
            None
        }
    }
}

/// Ends in order; a second signal ends at once.
async fn finish(ending: Ending, mut daemon: Daemon, mut events: Events) -> Result<(), DaemonError> {
    daemon.notify(&Notice::Stopping);
    let externals = match ending {
        Ending::Signal(name, externals) => {
            // Its terminal may be what is gone: then there is nobody to tell.
            drop(writeln!(std::io::stderr(), "caught {name}. starting orderly exit"));
            externals
        }
        Ending::Asked(externals) => externals,
    };
    tokio::select! {
        orderly = daemon.stop(PATIENCE, externals) => if orderly { Ok(()) } else { Err(DaemonError::Disorderly) },
        () = events.second_signal() => Err(DaemonError::Interrupted),
    }
}
