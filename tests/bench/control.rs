//! What a look at a daemon costs: the status of ten thousand tasks, over the socket.
//!
//! A fact against a limit, not against a peer: the peer's column shows the limit. Each task has a queue of its own.
//! Where the hard limit of open files is below 20,200 there are fewer tasks, and the limit is lower by as much.

#[path = "pairs.rs"]
mod pairs;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use multimodule::channel::{Handling, LogFormat, install};
use multimodule::control::client::{Client, Target};
use multimodule::control::service;
use multimodule::daemon::{self, DaemonOptions, Done, Status};
use multimodule::name::QueueName;
use multimodule::process::ServiceManager;
use multimodule::runtime::Registry;
use multimodule::sdk::{Context, Message, Result, Task};
use multimodule::supervisor::{Launch, Program};
use multimodule::usage::CgroupTree;
use pairs::{Better, Row};

const TASKS: u64 = 10_000;
/// Each has a queue of two open files; so many are left for all else.
const OTHER_FILES: u64 = 200;
/// The most that the status of all may take.
const LIMIT_MS: f64 = 100.0;

/// A task that does nothing.
#[derive(Default)]
struct Idler;

impl Task for Idler {
    type Config = ();
    type State = ();

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Ok(())
    }
}

fn main() -> Result {
    let place = tempfile::tempdir()?;
    let (_, files) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    let tasks = TASKS.min(files.saturating_sub(OTHER_FILES) / 2);
    let names: Vec<String> = (0..tasks).map(|number| format!("Idler{number}")).collect();
    if tasks < TASKS {
        println!("{tasks} tasks instead of {TASKS}: {files} files may be open here");
    }
    // The registry keeps names for the life of the program.
    let registry = names.iter().try_fold(Registry::new(), |tasks, name| tasks.with::<Idler>(name.clone().leak()))?;
    let config = place.path().join("bench.conf");
    std::fs::write(
        &config,
        format!("{{ {} }}", names.iter().map(|name| format!("{name} => {{}}, ")).collect::<String>()),
    )?;
    let state_dir = place.path().join("state");
    let options = options(place.path(), &state_dir, config)?;
    let daemon = std::thread::spawn(move || daemon::run(options, registry).map_err(|error| error.to_string()));
    let client = Client::find(Some(&state_dir), place.path())?;
    while !client.runs() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let ask = || client.ask::<Status>(Method::GET, Target::new("status"), String::new());
    // Who asks while the first config is applied is answered by what there is.
    while ask()?.daemon.applying_since.is_some() {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(ask()?.tasks.len() as u64 == tasks, "all tasks are there");
    let with_queue = std::cell::Cell::new(0);
    let look = || {
        let begin = Instant::now();
        let status = ask().expect("the daemon runs");
        // Where the limit of open files is low, some wait for their queues.
        with_queue.set(status.tasks.iter().filter(|task| task.queue.is_some()).count());
        begin.elapsed().as_secs_f64() * 1e3
    };
    let limit = LIMIT_MS * tasks as f64 / TASKS as f64;
    let row = Row::run(&format!("status of {tasks} tasks"), "ms", Better::Lower, Some(1.0), look, || limit);
    let _done: Done = client.ask(Method::POST, Target::new("stop"), String::new())?;
    daemon.join().map_err(|_| "the daemon panicked")??;
    println!("{} of the tasks have a queue", with_queue.get());
    pairs::print(&[row]);
    Ok(())
}

fn options(place: &Path, state_dir: &Path, config: std::path::PathBuf) -> Result<DaemonOptions> {
    let channels = install(Handling::parse("log:2,error:2")?, 0, LogFormat::Text)?;
    let ourselves = Path::new("/proc/self/exe");
    Ok(DaemonOptions {
        control_queue: QueueName::new("control")?,
        prefixes: Vec::new(),
        config: Some(config),
        state_dir: state_dir.to_owned(),
        transit_dir: Some(place.join("transit")),
        launch: Launch {
            spawner: ourselves.to_owned(),
            program: Program::open(ourselves)?,
            arguments: Arc::new(|_| Vec::new()),
            program_text: daemon::program_text(),
            environment: Vec::new(),
        },
        level: 0,
        set_level: Arc::new(|_| {}),
        lines: None,
        serve: Some(service(channels.recent())),
        channels,
        service_manager: ServiceManager::default(),
        cgroups: CgroupTree::default(),
    })
}
