//! A message that ends the process which handles it, each time.
//!
//! The process is this test binary again, told so by an environment variable: it runs two tasks, one with state and
//! one without, that abort at one number. It is started again until it ends in order, as a keeper does.
#![expect(clippy::unwrap_used, reason = "a panic is a test's verdict")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use multimodule::config::Config;
use multimodule::fields;
use multimodule::message::{Message, Stamp};
use multimodule::name::{LaneName, QueueName, TaskName};
use multimodule::router::RoutingTable;
use multimodule::runtime::{DEAD, Node, NodeOptions, Registry, Role, WHY, Wanted};
use multimodule::sdk::{Context, Deserialize, Result, Serialize, Task, View};
use multimodule::store::{Recovered, TaskStore};
use multimodule::transit::{Bell, Outgoing, Reader, Transit};

const CHILD: &str = "MULTIMODULE_TEST_POISON";
/// Nothing here takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(30);
/// What the child says when its handler is called.
const HANDLING: &str = "the handler is called";
const NUMBERS: i64 = 40;
const POISON: i64 = 13;
/// More processes than anything here may end.
const MOST_ENDED: u32 = 10;

#[derive(Default)]
struct Counter;

#[derive(Default, Debug, PartialEq, Serialize, Deserialize)]
struct Counted {
    count: i64,
    sum: i64,
}

/// Sends the number on, unless it is the one that ends processes.
fn handle(message: &Message) -> Result<i64> {
    let n = message.get("n").and_then(View::as_i64).ok_or("a message without its number")?;
    if n == POISON {
        std::process::abort();
    }
    Ok(n)
}

impl Task for Counter {
    type Config = ();
    type State = Counted;

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let n = handle(&message)?;
        ctx.state.count += 1;
        ctx.state.sum += n;
        ctx.emit(fields! { n: n });
        Ok(())
    }
}

#[derive(Default)]
struct Plain;

impl Task for Plain {
    type Config = ();
    type State = ();

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        ctx.emit(fields! { n: handle(&message)? });
        Ok(())
    }
}

fn task(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// Stateful, and sends every number on.
#[derive(Default)]
struct Passer;

impl Task for Passer {
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

/// Handles what a neighbour emits, after a while: meanwhile that one has written its record, if the while is long.
#[derive(Default)]
struct Second;

#[derive(Default, Deserialize)]
struct While {
    wait_ms: u64,
}

impl Task for Second {
    type Config = While;
    type State = ();

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        tokio::time::sleep(Duration::from_millis(ctx.config.wait_ms)).await;
        ctx.emit(fields! { n: handle(&message)? });
        Ok(())
    }
}

/// Takes longer than anybody waits for it, and blocks its thread.
#[derive(Default)]
struct Slow;

impl Task for Slow {
    type Config = ();
    type State = ();

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        println!("{HANDLING}");
        loop {
            std::thread::park();
        }
    }
}

/// The child: runs task T until its standard input ends, and what else `entry` names.
fn run_task(entry: &str, place: &Path) {
    let is_slow = entry.contains("blocking");
    let registry = if is_slow {
        Registry::new().with::<Slow>("T").unwrap()
    } else if entry.contains("Second") {
        Registry::new().with::<Passer>("T").and_then(|tasks| tasks.with::<Second>("Second")).unwrap()
    } else if entry.contains("delivery") {
        Registry::new().with::<Counter>("T").unwrap()
    } else {
        Registry::new().with::<Plain>("T").unwrap()
    };
    let last = if entry.contains("Second") { "Second" } else { "T" };
    let routes = format!(
        "Router: (routes: [(match: (source: \"{last}\"), forwards: [(qname: \"out\")]), \
         (match: (source: \"T\"), forwards: [(qname: \"Second\", outside: true)])])"
    );
    let root = multimodule::config::Document::parse("the child's config.ron", &format!("(T: {entry}, {routes})"));
    let config = Config::read(root.unwrap().root()).unwrap();
    let wanted = |name: &TaskName| {
        let (entry, kind) = (&config.tasks[name], registry.resolve(name, &[]).unwrap());
        Wanted {
            kind,
            own: Arc::new(entry.own.clone()),
            framework: Arc::new(entry.framework.clone()),
            role: Role::Home,
        }
    };
    let wanted: BTreeMap<_, _> = config.tasks.keys().map(|name| (name.clone(), wanted(name))).collect();
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
        let patience = if is_slow { Duration::from_millis(50) } else { Duration::from_secs(10) };
        assert_eq!(node.stop(patience).await, !is_slow, "only a slow task is given up");
    });
    runtime.shutdown_background();
}

/// Takes `count` messages of a queue.
fn take(transit: &Transit, name: &str, count: usize) -> Vec<Message> {
    let reader = Reader { bell: Bell::open(transit).unwrap(), waker: None, description: "the test".to_owned() };
    let mut consumer = transit.consumer(&queue(name), None, &reader).unwrap();
    let (begin, mut batch) = (Instant::now(), Vec::new());
    while batch.len() < count {
        assert!(begin.elapsed() < DEADLINE, "{name} holds {} of {count} messages", batch.len());
        consumer.wait(Duration::from_millis(100)).unwrap();
        while consumer.take(&mut batch).unwrap() > 0 {}
    }
    batch.into_iter().map(|taken| Message::from_encoded(taken.stamp, taken.body).unwrap()).collect()
}

fn number(message: &Message) -> i64 {
    message.get("n").and_then(View::as_i64).unwrap()
}

/// How many children a message ends, by the config of its task. Whatever is sent comes out in order but for that one.
fn ended(test: &str, entry: &str) -> Option<(u32, tempfile::TempDir)> {
    if let Ok(place) = std::env::var(CHILD) {
        run_task(entry, Path::new(&place));
        return None;
    }
    let place = tempfile::tempdir().unwrap();
    let transit = Transit::open(&place.path().join("transit")).unwrap();
    let sender = transit.sender(&queue("T"), &LaneName::Process(task("test"))).unwrap();
    for n in 1..=NUMBERS {
        let message = Message::new(fields! { n: n });
        sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: message.encoded().unwrap() }).unwrap();
    }
    let mut ended = 0;
    let mut last = loop {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, place.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        let over = loop {
            assert!(begin.elapsed() < DEADLINE, "the child neither ends nor empties its queue");
            if child.try_wait().unwrap().is_some() {
                break false;
            }
            let done = |name| transit.status(&queue(name)).unwrap().map_or(0, |status| status.messages);
            // Where another task follows, all is done when it has come out.
            if done("T") == 0 && (!entry.contains("Second") || done("out") >= NUMBERS.unsigned_abs() - 1) {
                break true;
            }
            std::thread::yield_now();
        };
        if over {
            break child;
        }
        ended += 1;
        assert!(ended <= MOST_ENDED, "{ended} processes ended on one message, and it is handled again");
    };
    drop(last.stdin.take());
    assert!(last.wait().unwrap().success(), "the last child ends in order");
    let dead = take(&transit, DEAD, 1);
    assert_eq!(dead.iter().map(number).collect::<Vec<_>>(), [POISON]);
    let why = format!("{:?}", dead[0].fields().get(WHY).unwrap());
    assert!(why.contains("3 processes ended"), "{why}");
    let out: Vec<i64> = take(&transit, "out", NUMBERS.unsigned_abs() as usize - 1).iter().map(number).collect();
    let mut first = out.clone();
    first.sort_unstable();
    first.dedup();
    assert!(first.iter().copied().eq((1..=NUMBERS).filter(|n| *n != POISON)), "{out:?}");
    Some((ended, place))
}

#[test]
fn a_message_that_ended_three_processes_goes_to_dead_and_the_state_counts_every_other_one() {
    let test = "a_message_that_ended_three_processes_goes_to_dead_and_the_state_counts_every_other_one";
    let entry = "(intervals: (save_state: 0.005), delivery: \"exactly_once\")";
    let Some((ended, place)) = ended(test, entry) else { return };
    assert_eq!(ended, 3);
    let mut store = TaskStore::open(&place.path().join("state"), &task("T")).unwrap();
    let Recovered::Taken(taken) = store.recover(&mut |_| Ok(())).unwrap() else { panic!("T has no record") };
    let counted: Counted = ron::from_str(&taken.record.state).unwrap();
    assert_eq!(counted, Counted { count: NUMBERS - 1, sum: NUMBERS * (NUMBERS + 1) / 2 - POISON });
}

#[test]
fn a_message_that_ended_three_processes_goes_to_dead_and_a_task_without_state_handles_every_other_one() {
    let test = "a_message_that_ended_three_processes_goes_to_dead_and_a_task_without_state_handles_every_other_one";
    let Some((ended, _place)) = ended(test, "()") else { return };
    assert_eq!(ended, 3);
}

/// The same for a message that a stateful task's neighbour gets from it, through memory, and dies of after a while.
fn ended_on_a_copy(test: &str, wait_ms: u64) {
    let entry = format!(
        "(intervals: (save_state: 0.002), commit_every: 1, delivery: \"exactly_once\"), Second: (wait_ms: {wait_ms})"
    );
    let Some((ended, place)) = ended(test, &entry) else { return };
    // Until it is in a record and from then on it is another copy to whoever counts.
    assert!((3..=6).contains(&ended), "{ended} processes ended");
    let mut store = TaskStore::open(&place.path().join("state"), &task("T")).unwrap();
    let Recovered::Taken(taken) = store.recover(&mut |_| Ok(())).unwrap() else { panic!("T has no record") };
    let counted: Counted = ron::from_str(&taken.record.state).unwrap();
    assert_eq!(counted, Counted { count: NUMBERS, sum: NUMBERS * (NUMBERS + 1) / 2 });
}

#[test]
fn what_a_stateful_task_emits_and_ends_three_processes_in_its_neighbour_goes_to_dead() {
    ended_on_a_copy("what_a_stateful_task_emits_and_ends_three_processes_in_its_neighbour_goes_to_dead", 0);
}

#[test]
fn what_a_record_lists_as_not_handled_and_ends_three_processes_goes_to_dead() {
    ended_on_a_copy("what_a_record_lists_as_not_handled_and_ends_three_processes_goes_to_dead", 20);
}

#[test]
fn a_handler_that_is_given_up_because_its_process_was_told_to_end_does_not_make_its_message_poison() {
    let test = "a_handler_that_is_given_up_because_its_process_was_told_to_end_does_not_make_its_message_poison";
    if let Ok(place) = std::env::var(CHILD) {
        return run_task("(blocking: true)", Path::new(&place));
    }
    let place = tempfile::tempdir().unwrap();
    let transit = Transit::open(&place.path().join("transit")).unwrap();
    let message = Message::new(fields! { n: 1 });
    let out = Outgoing { stamp: Stamp::now(), tag: None, body: message.encoded().unwrap() };
    transit.append_once(&queue("T"), &out, DEADLINE).unwrap();
    for _ in 0..3 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CHILD, place.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(HANDLING)), "the handler is not called");
        drop(child.stdin.take());
        lines.for_each(drop);
        assert!(child.wait().unwrap().success());
    }
    let reader = Reader { bell: Bell::open(&transit).unwrap(), waker: None, description: "the test".to_owned() };
    let (mut consumer, mut batch) = (transit.consumer(&queue("T"), None, &reader).unwrap(), Vec::new());
    consumer.take(&mut batch).unwrap();
    assert_eq!(batch.iter().map(|taken| taken.ended).collect::<Vec<_>>(), [0]);
}
