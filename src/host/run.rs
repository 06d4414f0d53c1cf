//! How a host begins and ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::counting::Counting;
use super::events::{Host, Signals};
use super::log::Log;
use super::tasks::{Tasks, is_known};
use crate::channel::ChannelHandle;
use crate::config::MAIN;
use crate::daemon::{DaemonError, Lines, process_name, program_text, read_running_conf, run_in_runtime};
use crate::link::{self, HostHello, HostLink};
use crate::name::TaskName;
use crate::process::{HostLock, NONCE_VARIABLE, keep_rights_from_programs};
use crate::runtime::{Node, NodeOptions, Registry};
use crate::task::{pool_of, worker_name};
use crate::transit::{self, Transit};

/// Threads that run tasks: there are many hosts, each with a task or a few.
const THREADS: usize = 2;
/// How long what is in mailboxes may take at the end. Its keeper gives it 2 s in all.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long it waits for a predecessor's lock: the kernel frees it when the last thread of a killed process is gone.
const PREDECESSOR: Duration = Duration::from_secs(1);

/// What a host is told on its command line.
pub struct HostOptions {
    /// Its name: a task's, or one that tasks share.
    pub process: TaskName,
    /// Where task code is looked for after the built-ins, in order.
    pub prefixes: Vec<String>,
    /// Where states lie.
    pub state_dir: PathBuf,
    /// The transit, if not the user's usual one.
    pub transit_dir: Option<PathBuf>,
    /// Changes the debug level while it runs.
    pub set_level: Arc<dyn Fn(u32) + Send + Sync>,
    /// Lines that channels send to queues.
    pub lines: Option<Lines>,
    /// The channels of this process.
    pub channels: ChannelHandle,
    /// The program that redacts the log of a host that has secrets; this one, as a rule.
    pub redactor: PathBuf,
}

/// Runs a host with these tasks until it is told to end. Returns when everything is saved.
///
/// # Errors
/// There is nothing for a process of this name to run, or what it needs cannot be used.
pub fn run(options: HostOptions, registry: Registry) -> Result<(), DaemonError> {
    // Threads that tasks have come from this one.
    keep_rights_from_programs().map_err(|source| DaemonError::Kernel { what: "giving up rights", source })?;
    run_in_runtime(Some(THREADS), serve(options, registry))
}

async fn serve(options: HostOptions, registry: Registry) -> Result<(), DaemonError> {
    let signals = Signals::new()?;
    let HostOptions { process, prefixes, state_dir, transit_dir, set_level, lines, channels, redactor } = options;
    let state_dir = std::path::absolute(&state_dir).unwrap_or(state_dir);
    let nonce = std::env::var(NONCE_VARIABLE).ok();
    let running = read_running_conf(&state_dir)?.unwrap_or_default();
    // Who was started by a keeper may be about to get something to do; a person has mistyped.
    if nonce.is_none() && !is_known(&process, &running, &registry, &prefixes) {
        return Err(DaemonError::UnknownProcess { process, state_dir });
    }
    let Some(_lock) = lock(&state_dir, &process).await? else {
        tracing::info!("{process} is run by another process already; this one ends");
        return Ok(());
    };
    failpoint!("host.locked");
    let transit = Transit::open(&transit_dir.map_or_else(transit::default_root, Ok)?)?;
    let node = start_node(&process, &state_dir, transit).await?;
    // Before a task reads one.
    let log = Log::guarded(&state_dir, &process, redactor);
    let mut tasks = Tasks::new(process.clone(), prefixes, registry, node, channels);
    tasks.follow_daemon(&state_dir);
    tasks.apply(&running).await;
    failpoint!("host.applied");
    let hello = HostHello {
        version: link::VERSION,
        nonce: nonce.unwrap_or_default(),
        process: process.to_string(),
        program: program_text(),
        generation: tasks.generation(),
    };
    let (link, requests) = HostLink::start(&state_dir, &process, hello)?;
    failpoint!("host.linked");
    let counting = Counting::default();
    let mut host = Host { process, log, state_dir, tasks, link, requests, lines, set_level, signals, counting };
    host.run().await;
    if host.tasks.stop(PATIENCE).await { Ok(()) } else { Err(DaemonError::Disorderly) }
}

async fn start_node(process: &TaskName, state_dir: &Path, transit: Transit) -> Result<Node, DaemonError> {
    let options = NodeOptions {
        transit,
        state_dir: state_dir.to_owned(),
        process: lane_name(process, state_dir),
        daemon: process_name(MAIN, state_dir),
        description: format!("{process}, pid {}, state directory {}", std::process::id(), state_dir.display()),
        control_queue: None,
    };
    Ok(Node::start(options).await?.0)
}

/// The name in lanes: a worker has that of its pool, and its number.
fn lane_name(process: &TaskName, state_dir: &Path) -> TaskName {
    let of_worker =
        pool_of(process).and_then(|(pool, worker)| worker_name(&process_name(pool.as_str(), state_dir), worker).ok());
    of_worker.unwrap_or_else(|| process_name(process.as_str(), state_dir))
}

/// The lock of this name; none if somebody else keeps it.
async fn lock(state_dir: &Path, process: &TaskName) -> Result<Option<HostLock>, DaemonError> {
    let end = Instant::now() + PREDECESSOR;
    loop {
        let lock = HostLock::try_take(state_dir, process)?;
        if lock.is_some() || Instant::now() >= end {
            return Ok(lock);
        }
        sleep(Duration::from_millis(2)).await;
    }
}
