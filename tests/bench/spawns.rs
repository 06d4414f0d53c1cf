//! From a daemon's order to its spawner until the external task has handled the message that waits for it, against
//! `fork` and `exec` of a program that does nothing.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use multimodule::config::{Document, RunningConfig};
use multimodule::daemon::{program_text, write_running_conf};
use multimodule::message::Message;
use multimodule::name::{QueueName, TaskName};
use multimodule::process::{Argument, Caps, KeeperOrder, Spawner, make_state_dir};
use multimodule::restart::{Backoff, Budget, Policy, When};
use multimodule::sdk::{Result, fields};
use multimodule::transit::{Bell, Outgoing, Reader, Transit};
use nix::unistd::getgid;

use crate::meter;
use crate::system::{MULTIMODULE, System};

/// The task that is started.
const TASK: &str = "Keeping";
/// How long an append may wait for its lane.
const PATIENCE: Duration = Duration::from_secs(1);

/// Milliseconds of ours.
pub(crate) fn ours() -> Result<f64> {
    let system = System::new()?;
    make_state_dir(&system.state())?;
    // As with a daemon: it runs by a transit with a doorbell and a queue `dead`.
    let transit = Transit::open(&system.transit())?;
    let reader = Reader { bell: Bell::open(&transit)?, waker: None, description: String::new() };
    drop(transit.consumer(&QueueName::new("dead")?, None, &reader)?);
    let text = format!("({TASK}: (meter: {:?}))", system.meter());
    let config = Document::parse("bench.ron", &text).map_err(|_| "the config of this bench is sound")?.root().clone();
    write_running_conf(&system.state(), &RunningConfig { generation: 1, config, ..RunningConfig::default() })?;
    let task = TaskName::new(TASK)?;
    let message = Message::new(fields! { n: 1, ok: true });
    let out = Outgoing { stamp: message.stamp(), tag: None, body: message.encoded()? };
    transit.append_once(&task.queue(), &out, PATIENCE)?;
    let (order, program) = (order(&system, task)?, File::open("/proc/self/exe")?);
    // As with a daemon: its spawner is there.
    let mut spawner = Spawner::start(Path::new("/proc/self/exe"))?;
    let begin = meter::now_ns();
    spawner.spawn(&order, program.as_fd())?;
    let (_, handled) = meter::wait(&system.meter(), 1)?;
    system.end_processes()?;
    Ok((handled - begin) as f64 / 1e6)
}

fn order(system: &System, name: TaskName) -> Result<KeeperOrder> {
    let (state, transit) = (system.state().into_os_string(), system.transit().into_os_string());
    let words = [MULTIMODULE.into(), "-m".into(), name.as_str().into(), "-s".into(), state, "-T".into(), transit];
    let variables = std::env::vars_os().map(|(mut entry, value)| {
        entry.push("=");
        entry.push(value);
        entry
    });
    Ok(KeeperOrder {
        name,
        state_dir: Argument::new(system.state().into_os_string())?,
        arguments: words.into_iter().map(Argument::new).collect::<std::result::Result<_, _>>()?,
        environment: variables.map(Argument::new).collect::<std::result::Result<_, _>>()?,
        directory: Argument::new(system.path())?,
        restart: Policy::new(When::Never, Backoff { first_ms: 1, max_ms: 1 }, Budget { max: 1, within_ms: 1000 })?,
        program_text: program_text(),
        caps: Caps::default(),
        entries: String::new(),
    })
}

/// Milliseconds of `/bin/true`, its end included.
pub(crate) fn bin_true() -> Result<f64> {
    let mut command = Command::new("/bin/true");
    // A child with a group of its own is made by `fork` and `exec`, and not by a call that does both.
    command.env_clear();
    std::os::unix::process::CommandExt::gid(&mut command, getgid().as_raw());
    let begin = Instant::now();
    let status = command.status()?;
    let time = begin.elapsed().as_secs_f64() * 1e3;
    if status.success() { Ok(time) } else { Err("/bin/true is not true".into()) }
}
