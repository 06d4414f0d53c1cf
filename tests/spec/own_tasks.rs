//! A daemon with tasks of our own, which break as they are told: this test program, started again as a daemon.
//!
//! The binary knows only the tasks that are compiled in, and none of those fails on purpose.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::future::pending;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use multimodule::channel::{self, Handling, LogFormat};
use multimodule::daemon::{self, DaemonOptions};
use multimodule::host::{self, HostOptions};
use multimodule::name::{QueueName, TaskName};
use multimodule::process::ServiceManager;
use multimodule::runtime::Registry;
use multimodule::sdk::{Context, Deserialize, Message, Result, Serialize, Task, View, fields};
use multimodule::supervisor::{Launch, Program};

use tokio::time::timeout;

use crate::alerts::{ALARMS, Alarm};
use crate::channels::Speaker;
use crate::daemon::DaemonBuilder;
use crate::hogs::{HOGS, hog};
use crate::mill::Mill;
use crate::rough_tasks::{Pulse, Relay, Witness, misbehave};
use crate::secrets::Teller;
use crate::world::World;

/// Names the config; where it is not set, this program is no daemon.
const CONFIG: &str = "MULTIMODULE_SPEC_CONFIG";
/// How this program is called to be a daemon or a host.
const WORDS: [&str; 4] = ["--exact", "own_tasks::this_program_can_be_a_daemon", "--nocapture", "--quiet"];
/// Before the name of a host: the word after it is a pattern to the test runner, and here the name.
const HOST: &str = "--skip";
/// How many counters there are beside: `Crowd0` and so on.
pub(crate) const CROWD: usize = 200;
/// Names the state directory.
const STATE: &str = "MULTIMODULE_SPEC_STATE";

impl World {
    /// A daemon with the tasks of this file, and this config.
    pub(crate) fn own_daemon(&self, config: &str) -> DaemonBuilder<'_> {
        self.own_daemon_of(&std::env::current_exe().expect("this program has a path"), config)
    }

    /// The same, of a copy of this program.
    pub(crate) fn own_daemon_of(&self, program: &Path, config: &str) -> DaemonBuilder<'_> {
        self.write_config(config);
        let daemon = WORDS.into_iter().fold(self.program(program), DaemonBuilder::arg);
        daemon.env(CONFIG, self.config_path())
    }
}

impl DaemonBuilder<'_> {
    /// Another state directory for a daemon with the tasks of this file.
    pub(crate) fn own_state(self, directory: &str) -> Self {
        self.env(STATE, directory)
    }
}

#[test]
fn this_program_can_be_a_daemon() {
    let Some(config) = std::env::var_os(CONFIG) else { return };
    host_name().iter().for_each(|process| {
        misbehave(process.as_str());
        hog(process.as_str());
    });
    let channels = channel::install(Handling::parse("log:1,error:2,alert:2").unwrap(), 0, LogFormat::Text).unwrap();
    let recent = channels.recent();
    let state_dir = std::env::var_os(STATE).unwrap_or_else(|| "state".into()).into();
    let (levels, lines) = (channels.clone(), channels.take_queue_lines());
    let set_level = Arc::new(move |level| levels.set_level(level));
    let tasks = registry();
    let ended = if let Some(process) = host_name() {
        let (prefixes, transit_dir) = (Vec::new(), None);
        let redactor = env!("CARGO_BIN_EXE_multimodule").into();
        let options = HostOptions { process, prefixes, state_dir, transit_dir, set_level, lines, channels, redactor };
        host::run(options, tasks)
    } else {
        let options = DaemonOptions {
            control_queue: QueueName::new("MultiModule_control").unwrap(),
            prefixes: Vec::new(),
            config: Some(config.into()),
            state_dir,
            transit_dir: None,
            launch: launch(),
            level: 0,
            set_level,
            lines,
            channels,
            service_manager: ServiceManager::default(),
            cgroups: crate::cgroups::tree(),
            serve: Some(multimodule::control::service(recent)),
        };
        daemon::run(options, tasks)
    };
    if let Err(error) = &ended {
        eprintln!("{error}");
    }
    // The test runner must not say anything more: this is a daemon.
    std::process::exit(i32::from(ended.is_err()));
}

/// All tasks of the specs.
fn registry() -> Registry {
    let tasks = Registry::new()
        .with::<Echo>("Echo")
        .and_then(|tasks| tasks.with::<Echo>("Second"))
        .expect("names of their own");
    let tasks = tasks.with::<Teller>("Teller").expect("a name of its own");
    let tasks = tasks.with::<Pulse>("Pulse").and_then(|tasks| tasks.with::<Mill>("Mill")).expect("names of their own");
    let tasks = ["Speaker", "Loud"].into_iter().fold(tasks, |tasks, name| tasks.with::<Speaker>(name).expect("a name"));
    let alarms = (0..ALARMS).map(|number| format!("Alarm{number}"));
    let tasks = alarms.fold(tasks, |tasks, name| tasks.with::<Alarm>(name.leak()).expect("a name of its own"));
    let tasks =
        ["Witness", "Ledger"].into_iter().fold(tasks, |tasks, name| tasks.with::<Witness>(name).expect("a name"));
    let tasks =
        tasks.with::<Relay>("Relay").and_then(|tasks| tasks.with::<Pulse>("Filler")).expect("names of their own");
    let counters = ["Counter", "Other", "Quitter", "Stubborn", "Runaway"].into_iter().chain(HOGS);
    let numbered = (0..CROWD).map(|number| format!("Crowd{number}"));
    let names = counters.map(str::to_owned).chain(numbered);
    // The registry keeps names for the life of the program.
    names.fold(tasks, |tasks, name| tasks.with::<Counter>(name.leak()).expect("a name of its own"))
}

fn host_name() -> Option<TaskName> {
    std::env::args().skip_while(|word| word != HOST).nth(1).map(|name| TaskName::new(name).expect("a host's name"))
}

/// Hosts are this program; its keepers are forked by the real one, which has no threads.
fn launch() -> Launch {
    let program = std::env::current_exe().expect("this program has a path");
    let arguments = |name: &TaskName| {
        let words = ["spec"].into_iter().chain(WORDS).chain([HOST, name.as_str()]);
        words.map(OsString::from).collect()
    };
    Launch {
        spawner: env!("CARGO_BIN_EXE_multimodule").into(),
        program: Program::open(&program).expect("this program can be opened"),
        program_text: daemon::program_text(),
        arguments: Arc::new(arguments),
        environment: Vec::new(),
    }
}

/// Remembers every number it hears, in order and by sender, and emits it; fails, panics and blocks as it is told.
/// Stateful. A state in which a `stranger` was heard it does not take back.
#[derive(Default)]
struct Counter {
    handled: u64,
}

/// The config of both tasks.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    label: String,
}

/// What survives.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Heard(pub(crate) BTreeMap<String, Vec<i64>>);

impl Task for Counter {
    type Config = Config;
    type State = Heard;

    fn check(state: &Heard) -> Result {
        if state.0.contains_key("stranger") { Err("a stranger was heard".into()) } else { Ok(()) }
    }

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        println!("{}: started {}", ctx.name(), ctx.config.label);
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        self.handled += 1;
        if let (Some(from), Some(n)) = (text(&message, "from"), number(&message, "n")) {
            ctx.state.0.entry(from).or_default().push(n);
        }
        ctx.emit(
            fields! { text: "emitted", from: text(&message, "from").unwrap_or_default(), n: number(&message, "n") },
        );
        obey(&message)?;
        let heard: usize = ctx.state.0.values().map(Vec::len).sum();
        println!("{}: has heard {heard}.", ctx.name());
        Ok(())
    }

    async fn stop(&mut self, ctx: &mut Context<Self>) -> Result {
        println!("{}: stopped", ctx.name());
        Ok(())
    }
}

/// Says what it hears, waits as long, and emits as many messages as it is told. Stateless.
#[derive(Default)]
struct Echo;

impl Task for Echo {
    type Config = Config;
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        println!("{}: started {}", ctx.name(), ctx.config.label);
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        for number in 0..number(&message, "emit").unwrap_or(0) {
            ctx.emit(fields! { text: format!("number {number}"), wait_ms: 1 });
        }
        obey(&message)?;
        let text = text(&message, "text").unwrap_or_default();
        if let Some(wait) = number(&message, "wait_ms") {
            println!("{}: took {text}", ctx.name());
            // Nothing comes: this is a wait that holds up the task and not its thread.
            let _timed_out = timeout(Duration::from_millis(wait.unsigned_abs()), pending::<()>()).await;
        }
        println!("{}: {text}.", ctx.name());
        Ok(())
    }
}

/// Does to the task what the message asks for.
fn obey(message: &Message) -> Result {
    if let Some(block) = number(message, "block_ms") {
        // Nobody sends: this is a wait that holds up the thread.
        let (_tx, rx) = mpsc::channel::<()>();
        let _timed_out = rx.recv_timeout(Duration::from_millis(block.unsigned_abs()));
    }
    if let Some(script) = text(message, "child") {
        let child = Command::new("/bin/sh").args(["-c", &script]).spawn()?;
        println!("has child {}.", child.id());
    }
    if is_set(message, "leak") {
        while let Ok(file) = File::open("/dev/null") {
            std::mem::forget(file);
        }
        println!("has no descriptor left.");
    }
    for number in 0..number(message, "print").unwrap_or(0) {
        println!("line {number} {}", "x".repeat(1000));
    }
    assert!(!is_set(message, "panic"), "told to panic");
    if is_set(message, "fail") { Err("told to fail".into()) } else { Ok(()) }
}

fn text(message: &Message, key: &str) -> Option<String> {
    message.get(key).and_then(View::as_text).map(str::to_owned)
}

fn number(message: &Message, key: &str) -> Option<i64> {
    message.get(key).and_then(View::as_i64)
}

fn is_set(message: &Message, key: &str) -> bool {
    message.get(key).is_some_and(|value| value.is_true())
}
