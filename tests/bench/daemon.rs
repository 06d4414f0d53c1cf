//! What a running daemon costs: its start, its memory, a task that idles, a commit.
//!
//! These are facts against limits, not against a peer: the peer's column shows the limit. Each is still measured
//! nine times. The tutorial runs in the real binary.
//!
//! An argument picks the rows whose name contains it.

#[path = "pairs.rs"]
mod pairs;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use multimodule::config::Framework;
use multimodule::name::{QueueName, TaskName};
use multimodule::router::RoutingTable;
use multimodule::runtime::{Node, NodeOptions, Registry, Role, Wanted};
use multimodule::sdk::{Context, Deserialize, Map, Message, Result, Serialize, Task};
use multimodule::transit::Transit;
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use pairs::{Better, Row};

/// Enough for a figure per task; a row tells whether 10,000 fit into the usual limit of open files.
const TASKS: usize = 1_000;
/// Until a tutorial that just printed its first line does nothing but tick.
const SETTLED: Duration = Duration::from_millis(1500);
/// How long a node may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Example1 begins with 1, for Example2 keeps silent about 0.
const TUTORIAL: &str = "{ Example1 => { outstr => 'howdy', ct => 1 }, Router => { routes => [
    { match => { source => 'Example1' }, forwards => [ { qname => 'Example2' } ] } ] } }";

/// Ticks of all idlers.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// A task with a timer, and nothing else.
#[derive(Default)]
struct Idler;

impl Task for Idler {
    type Config = ();
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.every("tick", Duration::from_secs(60));
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, _ctx: &mut Context<Self>) -> Result {
        TICKS.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Ok(())
    }
}

/// A state as a counting task has it.
#[derive(Default, Serialize, Deserialize)]
struct Counts {
    counts: BTreeMap<String, u64>,
}

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|argument| argument == "--tasks") {
        let (kib, files) = tasks(arguments.get(1).ok_or("how many?")?.parse()?)?;
        println!("{kib} {files}");
        return Ok(());
    }
    let wanted = |row: &str| arguments.iter().all(|only| row.contains(only.as_str()));
    let mut rows = Vec::new();
    let mut row = |name: &str, unit, limit: f64, measure: &dyn Fn() -> Result<f64>| {
        if wanted(name) {
            let ours = || measure().expect("a run of ours");
            rows.push(Row::run(name, unit, Better::Lower, Some(1.0), ours, || limit));
        }
    };
    row("start to first message handled, against 50 ms", "ms", 50.0, &|| Ok(tutorial()?.0));
    row("anonymous memory of the idle tutorial, against 12 MiB", "MiB", 12.0, &|| Ok(tutorial()?.1));
    row("anonymous memory of an idle task with a timer, against 4 KiB", "KiB", 4.0, &|| Ok(each_task()?.0));
    row("open files of an idle task, against 1 (10,000 in the usual limit)", "", 1.0, &|| Ok(each_task()?.1));
    let (small, large) = (state(1 << 10)?, state(10 << 20)?);
    row("pause of a commit of 1 KiB, against 1 ms", "ms", 1.0, &|| Ok(encode(&small, 100)?.0 * 1e3));
    row("pause of a commit of 10 MiB, against 20 ns a byte", "ns/byte", 20.0, &|| {
        let (seconds, bytes) = encode(&large, 1)?;
        Ok(seconds * 1e9 / bytes as f64)
    });
    pairs::print(&rows);
    Ok(())
}

/// Ends a daemon whatever happens to the bench.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; what counts is that it is gone and reaped.
        self.0.kill().unwrap_or_default();
        self.0.wait().ok();
    }
}

/// Milliseconds from exec to the first line of Example2, and MiB when it idles.
fn tutorial() -> Result<(f64, f64)> {
    let place = tempfile::tempdir()?;
    let (config, transit) = (place.path().join("bench.conf"), place.path().join("transit"));
    std::fs::write(&config, TUTORIAL)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_multimodule"));
    command.arg("-c").arg(config).args(["-p", "mytasks::", "-T"]).arg(transit);
    command.current_dir(place.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let begin = Instant::now();
    let mut daemon = Daemon(command.spawn()?);
    let mut lines = BufReader::new(daemon.0.stdout.take().ok_or("piped")?).lines();
    lines
        .find(|line| line.as_ref().is_ok_and(|line| line.contains("received a message: 1 ")))
        .ok_or("no message")??;
    let started = begin.elapsed().as_secs_f64() * 1e3;
    std::thread::sleep(SETTLED);
    let memory = anonymous_kib(&format!("/proc/{}", daemon.0.id()))? / 1024.0;
    kill(Pid::from_raw(daemon.0.id().try_into()?), Signal::SIGINT)?;
    daemon.0.wait()?;
    Ok((started, memory))
}

fn anonymous_kib(process: &str) -> Result<f64> {
    let rollup = std::fs::read_to_string(Path::new(process).join("smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).ok_or("a rollup has this line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// KiB of anonymous memory, and open files, per task. Each node has a process of its own, for memory once had is
/// not given back.
fn each_task() -> Result<(f64, f64)> {
    let run = |tasks: usize| -> Result<(f64, f64)> {
        let output = Command::new(std::env::current_exe()?).args(["--tasks", &tasks.to_string()]).output()?;
        let text = String::from_utf8(output.stdout)?;
        let (kib, files) = text.trim().split_once(' ').ok_or("no figures")?;
        Ok((kib.parse()?, files.parse()?))
    };
    let (all, one, more) = (run(TASKS)?, run(1)?, (TASKS - 1) as f64);
    Ok(((all.0 - one.0) / more, (all.1 - one.1) / more))
}

/// KiB of anonymous memory, and open files, with so many idle tasks.
fn tasks(count: usize) -> Result<(f64, f64)> {
    let place = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    multimodule::process::raise_descriptor_limit()?;
    runtime.block_on(async {
        let (mut node, _inbox) = Node::start(options(place.path())?).await?;
        let registry = Registry::new().with::<Idler>("Idler")?;
        let kind = registry.resolve(&TaskName::new("Idler")?, &[]).ok_or("it was registered above")?;
        let (own, framework) = (Arc::new(Map::new()), Arc::new(Framework::default()));
        let wanted = Wanted { kind, own, framework, role: Role::Home };
        let task = |n| Ok((TaskName::new(format!("Idler{n}"))?, wanted.clone()));
        node.apply((0..count).map(task).collect::<Result<_>>()?, RoutingTable::default()).await;
        while TICKS.load(Ordering::Relaxed) < count as u64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let figures = (anonymous_kib("/proc/self")?, std::fs::read_dir("/proc/self/fd")?.count() as f64);
        node.stop(PATIENCE).await;
        Ok(figures)
    })
}

fn options(place: &Path) -> Result<NodeOptions> {
    Ok(NodeOptions {
        transit: Transit::open(&place.join("transit"))?,
        state_dir: place.to_owned(),
        process: TaskName::new("bench")?,
        daemon: TaskName::new("bench")?,
        description: "bench".to_owned(),
        control_queue: Some(QueueName::new("control")?),
    })
}

/// A state whose text has about so many bytes.
fn state(bytes: usize) -> Result<Counts> {
    let one = ron::to_string(&Counts { counts: [("package-000000".to_owned(), 1_000_000)].into() })?.len() - 12;
    let count = |n| (format!("package-{n:06}"), 1_000_000 + n as u64);
    Ok(Counts { counts: (0..bytes / one).map(count).collect() })
}

/// Seconds of CPU for the text of a state, for which its task pauses, and the text's bytes.
fn encode(state: &Counts, times: u32) -> Result<(f64, usize)> {
    let spent = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let (before, mut bytes) = (spent()?, 0);
    for _ in 0..times {
        bytes = std::hint::black_box(ron::to_string(std::hint::black_box(state))?).len();
    }
    Ok(((spent()? - before).as_secs_f64() / f64::from(times), bytes))
}
