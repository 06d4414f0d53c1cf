//! A process that runs tasks is SIGKILLed at random moments, over and over, while numbers flow through it:
//!
//! ```text
//!   this test ──► A (stateful) ──► T (stateless, sometimes slow) ──► B (stateful) ──► out ──► this test
//! ```
//!
//! The process is this test binary again, told so by an environment variable. Verdict: A has counted each number
//! once, whatever the delivery; with `exactly_once` so has B, and each leaves once and in order; with
//! `at_least_once` none is missing and first appearances are in order.
#![expect(clippy::unwrap_used, reason = "a panic is a test's verdict")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use multimodule::config::Config;
use multimodule::fields;
use multimodule::message::{Message, Stamp};
use multimodule::name::{LaneName, QueueName, TaskName};
use multimodule::router::RoutingTable;
use multimodule::runtime::{Node, NodeOptions, Registry, Role, Wanted};
use multimodule::sdk::{Context, Deserialize, Result, Serialize, Task, View};
use multimodule::store::{Recovered, TaskStore};
use multimodule::transit::{AppendError, Bell, Outgoing, Reader, Transit};

const CHILD: &str = "MULTIMODULE_TEST_DELIVERY";
const PLACE: &str = "MULTIMODULE_TEST_PLACE";
/// Nothing here takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(30);

/// Counts the numbers it is handed and sends them on.
#[derive(Default)]
struct Counter;

#[derive(Default, Debug, PartialEq, Serialize, Deserialize)]
struct Counted {
    count: u64,
    sum: i64,
}

impl Task for Counter {
    type Config = ();
    type State = Counted;

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let n = message.get("n").and_then(View::as_i64).ok_or("a message without its number")?;
        ctx.state.count += 1;
        ctx.state.sum += n;
        ctx.emit(fields! { n: n });
        Ok(())
    }
}

/// Sends on what it hears, now and then after a pause.
#[derive(Default)]
struct Slow;

impl Task for Slow {
    type Config = ();
    type State = ();

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let n = message.get("n").and_then(View::as_i64).ok_or("a message without its number")?;
        if n % 97 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        ctx.emit(fields! { n: n });
        Ok(())
    }
}

fn task(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// The child: runs the three tasks until its standard input ends.
fn run_tasks(delivery: &str, place: &Path) {
    let registry = Registry::new().with::<Counter>("A").unwrap().with::<Counter>("B").unwrap();
    let registry = registry.with::<Slow>("T").unwrap();
    let entry = format!("(intervals: (save_state: 0.005), delivery: \"{delivery}\")");
    let route = |from: &str, to: &str| format!("(match: (source: \"{from}\"), forwards: [(qname: \"{to}\")])");
    let routes = [route("A", "T"), route("T", "B"), route("B", "out")].join(", ");
    let text = format!("(A: {entry}, B: {entry}, T: (), Router: (routes: [{routes}]))");
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let root = multimodule::config::Document::parse("the child's config.ron", &text).unwrap();
    let config = Config::read(root.root()).unwrap();
    let wanted: BTreeMap<_, _> = config
        .tasks
        .iter()
        .map(|(name, entry)| {
            let kind = registry.resolve(name, &[]).unwrap();
            let (own, framework) = (Arc::new(entry.own.clone()), Arc::new(entry.framework.clone()));
            (name.clone(), Wanted { kind, own, framework, role: Role::Home })
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let options = NodeOptions {
            transit: Transit::open(&place.join("transit")).unwrap(),
            state_dir: place.join("state"),
            process: task("child"),
            daemon: task("child"),
            description: "the child".to_owned(),
            control_queue: Some(queue("control")),
        };
        let (mut node, _inbox) = Node::start(options).await.unwrap();
        node.apply(wanted, RoutingTable::compile(&config.router).unwrap()).await;
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
        assert!(node.stop(Duration::from_secs(10)).await, "the last child ends in order");
    });
}

fn start_child(test: &str, delivery: &str, place: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, delivery).env(PLACE, place);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

/// A number below `below`, different each time.
fn any(below: u64) -> u64 {
    getrandom::u64().unwrap() % below
}

/// Sends the numbers 1 to `numbers` to A and reads what comes out, until all have come; kills meanwhile.
fn storm(test: &str, delivery: &str, place: &Path, numbers: i64, kills: u32) -> Vec<i64> {
    let transit = Transit::open(&place.join("transit")).unwrap();
    let sender = transit.sender(&queue("A"), &LaneName::Process(task("test"))).unwrap();
    let reader = Reader { bell: Bell::open(&transit).unwrap(), waker: None, description: "the test".to_owned() };
    let mut out = transit.consumer(&queue("out"), None, &reader).unwrap();
    let (mut sent, mut killed, mut seen, mut highest) = (0, 0, Vec::new(), 0);
    let begin = Instant::now();
    let mut child = start_child(test, delivery, place);
    let mut until = Instant::now() + Duration::from_millis(20 + any(150));
    while highest < numbers {
        assert!(begin.elapsed() < DEADLINE, "{highest} of {numbers} came out; {sent} sent, {killed} kills");
        if killed < kills && Instant::now() >= until {
            child.kill().unwrap();
            child.wait().unwrap();
            child = start_child(test, delivery, place);
            until = Instant::now() + Duration::from_millis(20 + any(150));
            killed += 1;
        }
        // The last number waits for the last kill: nothing is in flight only at the very end.
        let ready = numbers - i64::from(killed < kills);
        for _ in 0..(ready - sent).min(20) {
            let message = Message::new(fields! { n: sent + 1 });
            let body = message.encoded().unwrap();
            match sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body }) {
                Ok(()) => sent += 1,
                Err(AppendError::Full { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
        out.wait(Duration::from_millis(1)).unwrap();
        let mut batch = Vec::new();
        while out.take(&mut batch).unwrap() > 0 {}
        for taken in batch {
            let message = Message::from_encoded(taken.stamp, taken.body).unwrap();
            let n = message.get("n").and_then(View::as_i64).unwrap();
            highest = highest.max(n);
            seen.push(n);
            out.finish(taken.lane, taken.end, taken.count);
        }
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success(), "the last child ended in order");
    println!(
        "{delivery}: {killed} kills and {numbers} messages in {:.1} s, {} came out",
        begin.elapsed().as_secs_f64(),
        seen.len()
    );
    seen
}

fn counted(place: &Path, name: &str) -> Counted {
    let mut store = TaskStore::open(&place.join("state"), &task(name)).unwrap();
    match store.recover(&mut |_| Ok(())).unwrap() {
        Recovered::Taken(taken) => ron::from_str(&taken.record.state).unwrap(),
        Recovered::Fresh => panic!("{name} has no record"),
    }
}

fn expected(numbers: i64) -> Counted {
    Counted { count: numbers.unsigned_abs(), sum: numbers * (numbers + 1) / 2 }
}

/// The child's part, if this process is one.
fn is_child() -> bool {
    let Ok(delivery) = std::env::var(CHILD) else { return false };
    run_tasks(&delivery, Path::new(&std::env::var(PLACE).unwrap()));
    true
}

#[test]
fn with_exactly_once_each_number_is_counted_once_and_leaves_once_and_in_order() {
    if is_child() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let test = "with_exactly_once_each_number_is_counted_once_and_leaves_once_and_in_order";
    let seen = storm(test, "exactly_once", place.path(), 20_000, 60);
    assert!(seen.iter().copied().eq(1..=20_000), "out of order, lost or doubled: {:?}", first_fault(&seen));
    assert_eq!(counted(place.path(), "A"), expected(20_000));
    assert_eq!(counted(place.path(), "B"), expected(20_000));
}

#[test]
fn with_at_least_once_the_state_is_exact_and_first_appearances_are_in_order() {
    if is_child() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let test = "with_at_least_once_the_state_is_exact_and_first_appearances_are_in_order";
    let seen = storm(test, "at_least_once", place.path(), 20_000, 60);
    let mut highest = 0;
    for n in &seen {
        assert!(*n <= highest + 1, "{n} came before {}", highest + 1);
        highest = highest.max(*n);
    }
    assert_eq!(counted(place.path(), "A"), expected(20_000));
    assert!(counted(place.path(), "B").count >= 20_000);
}

fn first_fault(seen: &[i64]) -> Option<(usize, &[i64])> {
    let at = seen.iter().zip(1..).position(|(n, expected)| *n != expected)?;
    Some((at, &seen[at.saturating_sub(3)..(at + 4).min(seen.len())]))
}
