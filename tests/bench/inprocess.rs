//! Messages between two tasks of one process, against Erlang's processes and a bare channel.
//!
//! A source emits fresh messages of six fields through a hundred routes of which one matches; a sink handles each
//! in a call of its own. Both run in a node as the daemon has it, on two threads. The peers send the same fields:
//! Erlang a fresh map from process to process of one VM (`bench_peer.erl`), tokio a fresh [`Message`] through a channel.
//!
//! An argument picks the rows whose name contains it. `--only stateless|stateful [SECONDS]` runs that side alone,
//! for a profiler. `--messages N` sends so many to a stateless sink on one thread, and ends: work that is fixed, so that
//! runs compare by instructions. The difference of two runs is free of what a start costs.

#[path = "pairs.rs"]
#[expect(dead_code, reason = "all rows are rates here")]
mod pairs;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use multimodule::config::Framework;
use multimodule::name::{QueueName, TaskName};
use multimodule::router::RoutingTable;
use multimodule::runtime::{ControlInbox, Node, NodeOptions, Registry, Role, Wanted};
use multimodule::sdk::{Context, Deserialize, Map, Message, Result, Serialize, Task, View, fields};
use multimodule::transit::Transit;
use multimodule::value::Value;
use nix::time::{ClockId, clock_gettime};
use pairs::{Better, Row};

/// As the daemon has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a source does in one activation before others have their turn.
const PER_TICK: u64 = 256;
const ROUTES: usize = 100;
/// Before what counts: threads, buffers and files are there then.
const WARM_UP: Duration = Duration::from_millis(100);
const WINDOW: Duration = Duration::from_millis(400);
/// What a peer sends in about as long.
const PEER_MESSAGES: u64 = 1_000_000;
/// How long the end of a run may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a run under a profiler may take.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// So many messages are sent in all.
static MOST: AtomicU64 = AtomicU64::new(u64::MAX);
/// What the sink has handled, ever.
static HANDLED: AtomicU64 = AtomicU64::new(0);

const PLACES: [&str; 4] = ["north shelf", "south shelf", "gate", "the yard behind"];

/// The fields of message `n`, made afresh.
fn fresh(n: u64) -> Map {
    let at = (n % 4) as usize;
    fields! {
        ct: n, detail: fields! { side: PLACES[3 - at], step: n % 7 }, load: n as f64 * 0.25, outstr: "howdy",
        place: PLACES[at], total: 1_000_000 + n,
    }
}

#[derive(Default)]
struct Source(u64);

impl Task for Source {
    type Config = ();
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.every("emit", Duration::from_micros(1));
        Ok(())
    }

    async fn tick(&mut self, timer: &str, ctx: &mut Context<Self>) -> Result {
        let until = (self.0 + PER_TICK).min(MOST.load(Ordering::Relaxed));
        if self.0 == until {
            ctx.cancel(timer);
        }
        for n in self.0..until {
            ctx.emit(fresh(n));
        }
        self.0 = until;
        Ok(())
    }

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Ok(())
    }
}

#[derive(Default)]
struct Sink;

impl Task for Sink {
    type Config = ();
    type State = ();

    async fn message(&mut self, message: Message, _ctx: &mut Context<Self>) -> Result {
        count(&message)
    }
}

#[derive(Default)]
struct Counter;

/// What the stateful sink keeps.
#[derive(Default, Serialize, Deserialize)]
struct Counted {
    messages: u64,
}

impl Task for Counter {
    type Config = ();
    type State = Counted;

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        ctx.state.messages += 1;
        count(&message)
    }
}

fn count(message: &Message) -> Result {
    message.get("ct").and_then(View::as_i64).ok_or("every message has a count")?;
    HANDLED.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--only") {
        let seconds = arguments.get(at + 2).map_or(Ok(5), |text| text.parse())?;
        return alone(arguments.get(at + 1).ok_or("--only what?")?, Duration::from_secs(seconds));
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--messages") {
        return counted(arguments.get(at + 1).ok_or("--messages how many?")?.parse()?);
    }
    let wanted = |row: &str| arguments.iter().all(|only| row.contains(only.as_str()));
    let stateless = || ours("stateless", WINDOW).expect("a run of ours");
    let mut rows = Vec::new();
    let mut row = |name: &str, bar, ours: &dyn Fn() -> f64, peer: &mut dyn FnMut() -> f64| {
        rows.push(Row::run(name, "M/s", Better::Higher, Some(bar), ours, peer));
    };
    let name = "in-process to a stateless sink, against Erlang";
    if wanted(name) {
        let mut erlang = Erlang::start()?;
        row(name, 1.0, &stateless, &mut || erlang.rate().expect("a run of Erlang"));
    }
    let name = "in-process to a stateless sink, against tokio mpsc(1024)";
    if wanted(name) {
        row(name, 0.5, &stateless, &mut || channel().expect("a run of tokio"));
    }
    let name = "in-process to a stateful sink, against a stateless one";
    if wanted(name) {
        row(name, 0.33, &|| ours("stateful", WINDOW).expect("a run of ours"), &mut || stateless());
    }
    pairs::print(&rows);
    Ok(())
}

/// Runs one side for a profiler, and prints what a message costs: of the two, CPU time is the steadier.
fn alone(sink: &str, window: Duration) -> Result {
    let spent = || clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from);
    let (before, rate) = (spent()?, ours(sink, window)?);
    let each = (spent()? - before).as_nanos() / u128::from(HANDLED.load(Ordering::Relaxed).max(1));
    println!("{sink}: {rate:.2} M/s, {each} ns of CPU each");
    Ok(())
}

/// Sends so many messages.
fn counted(messages: u64) -> Result {
    MOST.store(messages, Ordering::Relaxed);
    let place = tempfile::tempdir()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (node, _inbox) = node("stateless", place.path()).await?;
        let begin = Instant::now();
        while HANDLED.load(Ordering::Relaxed) < messages {
            if begin.elapsed() > LONG_PATIENCE {
                return Err("it does not end".into());
            }
            tokio::time::sleep(WARM_UP).await;
        }
        node.stop(PATIENCE).await.then_some(()).ok_or_else(|| "the node did not end in order".into())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Millions of messages per second from the source to a sink of this kind, during `window`.
fn ours(sink: &str, window: Duration) -> Result<f64> {
    let place = tempfile::tempdir()?;
    runtime()?.block_on(async {
        let (node, _inbox) = node(sink, place.path()).await?;
        tokio::time::sleep(WARM_UP).await;
        let (begin, before) = (Instant::now(), HANDLED.load(Ordering::Relaxed));
        tokio::time::sleep(window).await;
        let handled = HANDLED.load(Ordering::Relaxed) - before;
        let rate = handled as f64 / begin.elapsed().as_secs_f64() / 1e6;
        if !node.stop(PATIENCE).await {
            return Err("the node did not end in order".into());
        }
        Ok(rate)
    })
}

/// A node with both tasks, which begin at once.
async fn node(sink: &str, place: &Path) -> Result<(Node, Option<ControlInbox>)> {
    let options = NodeOptions {
        transit: Transit::open(&place.join("transit"))?,
        state_dir: place.to_owned(),
        process: TaskName::new("bench")?,
        daemon: TaskName::new("bench")?,
        description: "bench".to_owned(),
        control_queue: Some(QueueName::new("control")?),
    };
    let (mut node, inbox) = Node::start(options).await?;
    let table = RoutingTable::compile(&routes()).map_err(|_| "the routes of this bench are sound")?;
    node.apply(tasks(sink)?, table).await;
    Ok((node, inbox))
}

fn tasks(sink: &str) -> Result<BTreeMap<TaskName, Wanted>> {
    let registry = Registry::new().with::<Source>("Source")?;
    let registry = match sink {
        "stateless" => registry.with::<Sink>("Sink")?,
        "stateful" => registry.with::<Counter>("Sink")?,
        _ => return Err("a sink is stateless or stateful".into()),
    };
    let task = |name| {
        let name = TaskName::new(name)?;
        let kind = registry.resolve(&name, &[]).ok_or("it was registered above")?;
        Ok((
            name,
            Wanted { kind, own: Arc::new(Map::new()), framework: Arc::new(Framework::default()), role: Role::Home },
        ))
    };
    ["Source", "Sink"].into_iter().map(task).collect()
}

/// A hundred routes on different sources, of which the middle one matches.
fn routes() -> Value {
    let route = |number| {
        let source = if number == ROUTES / 2 { "Source".to_owned() } else { format!("Source{number}") };
        fields! { "match": fields! { source: source }, forwards: vec![fields! { qname: "Sink" }] }
    };
    Value::Map(fields! { routes: (0..ROUTES).map(route).collect::<Vec<_>>() })
}

/// Millions per second of the same messages through a channel, between two tasks of a runtime alike.
fn channel() -> Result<f64> {
    runtime()?.block_on(async {
        let (tx, mut rx) = tokio::sync::mpsc::channel(1024);
        let begin = Instant::now();
        let sender = tokio::spawn(async move {
            for n in 0..PEER_MESSAGES {
                if tx.send(Message::new(fresh(n))).await.is_err() {
                    return;
                }
            }
        });
        let receiver = tokio::spawn(async move {
            let mut got = 0;
            while let Some(message) = rx.recv().await {
                got += u64::from(message.get("ct").is_some());
            }
            got
        });
        sender.await?;
        assert_eq!(receiver.await?, PEER_MESSAGES, "every message arrives");
        Ok(PEER_MESSAGES as f64 / begin.elapsed().as_secs_f64() / 1e6)
    })
}

/// A VM that waits for its turns.
struct Erlang {
    vm: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _place: tempfile::TempDir,
}

impl Erlang {
    fn start() -> Result<Self> {
        let place = tempfile::tempdir()?;
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/bench_peer.erl");
        let compiled = Command::new("erlc").arg("-o").arg(place.path()).arg(source).status();
        if !compiled.map_err(|error| format!("erlc (Debian package erlang-base): {error}"))?.success() {
            return Err("erlc refuses bench_peer.erl".into());
        }
        let mut vm = Command::new("erl")
            .args(["+S", "2:2", "-noshell", "-noinput", "-s", "bench_peer", "-pa"])
            .arg(place.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = vm.stdin.take().ok_or("piped")?;
        let output = BufReader::new(vm.stdout.take().ok_or("piped")?);
        Ok(Self { vm, input, output, _place: place })
    }

    fn rate(&mut self) -> Result<f64> {
        writeln!(self.input, "{PEER_MESSAGES}")?;
        let mut microseconds = String::new();
        self.output.read_line(&mut microseconds)?;
        Ok(PEER_MESSAGES as f64 / microseconds.trim().parse::<f64>()?)
    }
}

impl Drop for Erlang {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to end, and its exit is taken all the same.
        self.vm.kill().unwrap_or_default();
        self.vm.wait().ok();
    }
}
