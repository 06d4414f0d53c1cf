//! A node whose surroundings misbehave: queues that are full or cannot be read, tasks that take long, reloads
//! meanwhile. Whatever waits goes on when its cause has gone, and nothing is lost or sent elsewhere.
#![expect(clippy::unwrap_used, reason = "a panic is a test's verdict")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use multimodule::config::Config;
use multimodule::fields;
use multimodule::message::{Message, Stamp};
use multimodule::name::{LaneName, QueueName, TaskName};
use multimodule::router::RoutingTable;
use multimodule::runtime::{Node, NodeOptions, Registry, Wanted};
use multimodule::sdk::{Context, Deserialize, Result, Serialize, Task, View};
use multimodule::transit::{Bell, Consumer, Outgoing, Reader, Settings, Transit};
use tokio::sync::{Semaphore, mpsc};

/// Nothing here takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a task under test and its test tell each other.
struct Side {
    /// The task tells what it does: a word and the message's number.
    said: mpsc::UnboundedSender<(String, i64)>,
    heard: tokio::sync::Mutex<mpsc::UnboundedReceiver<(String, i64)>>,
    /// A task that waits goes on with a permit of this.
    gate: Semaphore,
}

static SIDES: LazyLock<Mutex<HashMap<String, Arc<Side>>>> = LazyLock::new(Mutex::default);

/// The side of the task of this name; each test has names of its own.
fn side(name: &str) -> Arc<Side> {
    let new = || {
        let (said, heard) = mpsc::unbounded_channel();
        Arc::new(Side { said, heard: heard.into(), gate: Semaphore::new(0) })
    };
    SIDES.lock().unwrap().entry(name.to_owned()).or_insert_with(new).clone()
}

impl Side {
    fn say(&self, word: &str, n: i64) {
        self.said.send((word.to_owned(), n)).unwrap();
    }

    async fn hear(&self) -> (String, i64) {
        let mut heard = self.heard.lock().await;
        tokio::time::timeout(DEADLINE, heard.recv()).await.expect("the task says something in time").unwrap()
    }

    async fn hear_word(&self, word: &str) -> i64 {
        let (said, n) = self.hear().await;
        assert_eq!(said, word);
        n
    }

    async fn pass(&self) {
        self.gate.acquire().await.unwrap().forget();
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Words {
    word: String,
    /// Whether each message waits at the gate.
    waits: bool,
    /// Whether the end waits at the gate.
    waits_at_stop: bool,
    /// How many messages are emitted for each.
    emits: i64,
    /// Whether a start emits.
    start_emits: bool,
    /// Messages of a multiple of this number panic.
    panics: i64,
}

async fn handle<S>(message: &Message, ctx: &mut Context<impl Task<Config = Words, State = S>>) -> Result {
    let n = message.get("n").and_then(View::as_i64).ok_or("a message without its number")?;
    let side = side(ctx.name());
    assert!(ctx.config.panics == 0 || n % ctx.config.panics != 0, "told to panic");
    side.say(&ctx.config.word, n);
    if ctx.config.waits {
        side.pass().await;
    }
    for copy in 0..ctx.config.emits {
        ctx.emit(fields! { n: n * 10_000 + copy, to: ctx.config.word.as_str() });
    }
    Ok(())
}

/// Does as its config says, without state.
#[derive(Default)]
struct Plain;

impl Task for Plain {
    type Config = Words;
    type State = ();

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        handle(&message, ctx).await
    }

    async fn stop(&mut self, ctx: &mut Context<Self>) -> Result {
        if ctx.config.waits_at_stop {
            let side = side(ctx.name());
            side.say("stop", 0);
            side.pass().await;
        }
        Ok(())
    }
}

/// Does as its config says, and counts.
#[derive(Default)]
struct Counting;

#[derive(Default, Serialize, Deserialize)]
struct Count {
    count: u64,
}

impl Task for Counting {
    type Config = Words;
    type State = Count;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        if ctx.config.start_emits {
            ctx.emit(fields! { n: 1, to: ctx.config.word.as_str() });
        }
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        handle(&message, ctx).await?;
        ctx.state.count += 1;
        Ok(())
    }
}

/// Cannot even be made.
struct Unmade;

impl Default for Unmade {
    fn default() -> Self {
        panic!("told to panic");
    }
}

impl Task for Unmade {
    type Config = ();
    type State = ();

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Ok(())
    }
}

fn task(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A node and its transit, opened apart by the test like by another process.
struct World {
    place: tempfile::TempDir,
    transit: Transit,
    node: Node,
    kinds: &'static [(&'static str, bool)],
}

impl World {
    /// The tasks, and whether each is stateful.
    async fn new(kinds: &'static [(&'static str, bool)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let options = NodeOptions {
            transit: Transit::open(&place.path().join("transit")).unwrap(),
            state_dir: place.path().join("state"),
            process: task("node"),
            description: "the node".to_owned(),
            control_queue: queue("control"),
        };
        let (node, _inbox) = Node::start(options).await.unwrap();
        let transit = Transit::open(&place.path().join("transit")).unwrap();
        Self { place, transit, node, kinds }
    }

    async fn apply(&mut self, text: &str) {
        let mut registry = Registry::new().with::<Unmade>("Unmade").unwrap();
        for (name, stateful) in self.kinds {
            registry = if *stateful { registry.with::<Counting>(name) } else { registry.with::<Plain>(name) }.unwrap();
        }
        let root = multimodule::config::Document::parse("a test's config.ron", text).unwrap();
        let config = Config::read(root.root()).unwrap();
        let wanted: BTreeMap<_, _> = config
            .tasks
            .iter()
            .map(|(name, entry)| {
                let kind = registry.resolve(name, &[]).unwrap();
                let (own, framework) = (Arc::new(entry.own.clone()), Arc::new(entry.framework.clone()));
                (name.clone(), Wanted { kind, own, framework })
            })
            .collect();
        let applied = self.node.apply(wanted, RoutingTable::compile(&config.router).unwrap());
        tokio::time::timeout(DEADLINE, applied).await.expect("a config is applied in time");
    }

    fn send(&self, to: &str, n: i64) {
        send(&self.transit, to, n);
    }

    fn consume(&self, name: &str) -> Consumer {
        let bell = Bell::open(&self.transit).unwrap();
        let reader = Reader { bell, waker: None, description: "the test".to_owned() };
        self.transit.consumer(&queue(name), None, &reader).unwrap()
    }

    /// Ends the node; its files are there as long as what is returned.
    async fn stop(self) -> tempfile::TempDir {
        let stopped = tokio::time::timeout(DEADLINE, self.node.stop(Duration::from_secs(2))).await;
        assert!(stopped.expect("a node stops in time"), "it stops in order");
        self.place
    }
}

fn send(transit: &Transit, to: &str, n: i64) {
    let sender = transit.sender(&queue(to), &LaneName::Process(task("test"))).unwrap();
    let message = Message::new(fields! { n: n });
    sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: message.encoded().unwrap() }).unwrap();
}

#[tokio::test]
async fn a_task_that_is_held_up_holds_up_no_reload_and_no_end() {
    let mut world = World::new(&[("HeldUp", false)]).await;
    let side = side("HeldUp");
    world.apply("(HeldUp: (waits: true))").await;
    world.send("HeldUp", 1);
    side.hear().await;
    for word in 0..10 {
        world.apply(&format!("(HeldUp: (waits: true, word: \"{word}\"))")).await;
    }
    let stop = world.stop();
    side.gate.add_permits(1);
    stop.await;
}

#[tokio::test]
async fn of_many_changes_that_met_a_busy_task_the_last_one_holds() {
    let mut world = World::new(&[("Busy", false)]).await;
    let side = side("Busy");
    world.apply("(Busy: (waits: true))").await;
    world.send("Busy", 1);
    side.hear().await;
    for word in 0..10 {
        world.apply(&format!("(Busy: (word: \"{word}\"))")).await;
    }
    side.gate.add_permits(1);
    // The change comes before the message that is sent after it.
    world.send("Busy", 2);
    assert_eq!(side.hear().await, ("9".to_owned(), 2));
    world.stop().await;
}

#[tokio::test]
async fn a_task_that_was_slow_to_leave_leaves_its_queue_to_its_successor() {
    let mut world = World::new(&[("Slow", false)]).await;
    let side = side("Slow");
    world.apply("(Slow: (waits: true, word: \"first\"))").await;
    world.send("Slow", 1);
    side.hear_word("first").await;
    // Another queue setting means another actor, and the old one is busy for longer than a reload waits.
    world.apply("(Slow: (word: \"second\", queue: (max_messages: 5000)))").await;
    side.gate.add_permits(1);
    world.send("Slow", 2);
    assert_eq!(side.hear_word("second").await, 2);
    world.stop().await;
}

#[tokio::test]
async fn a_task_that_waited_for_its_queue_starts_with_the_newest_config() {
    let mut world = World::new(&[("Late", true)]).await;
    let side = side("Late");
    let elsewhere = world.consume("Late");
    world.apply("(Late: (word: \"old\"))").await;
    everyone_s_turn().await;
    world.apply("(Late: (word: \"new\"))").await;
    everyone_s_turn().await;
    drop(elsewhere);
    world.send("Late", 1);
    assert_eq!(side.hear_word("new").await, 1);
    world.stop().await;
}

/// On one thread: whoever can do something has done so.
async fn everyone_s_turn() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Puts a link where a lane's first segment is: it is refused, and the segment is whole.
fn hide_segment(place: &Path, name: &str) -> impl FnOnce() + use<> {
    let segment = place.join("transit").join(name).join("lane.1/0000000000000000.seg");
    let hidden = segment.with_extension("hidden");
    std::fs::rename(&segment, &hidden).unwrap();
    std::os::unix::fs::symlink(&hidden, &segment).unwrap();
    move || std::fs::rename(&hidden, &segment).unwrap()
}

async fn until_consumed(transit: &Transit, name: &str) {
    while transit.status(&queue(name)).unwrap().is_none_or(|status| status.consumer.is_none()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_queue_that_could_not_be_read_for_a_while_is_read_on() {
    for (name, stateful) in [("Unread", false), ("UnreadState", true)] {
        let mut world = World::new(if stateful { &[("UnreadState", true)] } else { &[("Unread", false)] }).await;
        world.send(name, 1);
        let show_segment = hide_segment(world.place.path(), name);
        world.apply(&format!("({name}: (word: \"read\"))")).await;
        until_consumed(&world.transit, name).await;
        show_segment();
        assert_eq!(side(name).hear_word("read").await, 1);
        world.stop().await;
    }
}

fn thread_time() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

#[tokio::test]
async fn a_stateful_task_whose_queue_cannot_be_read_does_not_spin() {
    let mut world = World::new(&[("Spins", true)]).await;
    world.send("Spins", 1);
    let show_segment = hide_segment(world.place.path(), "Spins");
    world.apply("(Spins: (word: \"read\"))").await;
    until_consumed(&world.transit, "Spins").await;
    // What is measured is a span of time; the node runs on this thread.
    let before = thread_time();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let used = thread_time() - before;
    assert!(used < Duration::from_millis(100), "{used:?} of 300 ms went into looking at a queue that cannot be read");
    show_segment();
    side("Spins").hear_word("read").await;
    world.stop().await;
}

#[tokio::test]
async fn what_reaches_a_task_while_it_leaves_goes_to_its_successor() {
    let mut world = World::new(&[("Sends", false), ("Leaves", false)]).await;
    let (sends, leaves) = (side("Sends"), side("Leaves"));
    world.transit.set_settings(&queue("full"), &Settings { max_messages: 1, ..Settings::default() }).unwrap();
    world.send("full", 0);
    let config = |queue: &str, end: &str| {
        format!(
            "(Sends: (word: \"go\", emits: 1), Leaves: (word: \"got\", {end} queue: (max_messages: {queue})), \
             Router: (routes: [(match: (n: 70000), forwards: [(qname: \"full\"), (qname: \"Leaves\")])]))"
        )
    };
    world.apply(&config("1000", "waits_at_stop: true,")).await;
    world.send("Sends", 7);
    assert_eq!(sends.hear_word("go").await, 7);
    let mut full = world.consume("full");
    let (transit, changed) = (world.transit.clone(), config("2000", ""));
    tokio::join!(world.apply(&changed), async {
        leaves.hear_word("stop").await;
        let mut batch = Vec::new();
        while full.take(&mut batch).unwrap() > 0 {}
        batch.iter().for_each(|taken| full.finish(taken.lane, taken.end, taken.count));
        // It handles the next message when all copies of the one before have been sent.
        send(&transit, "Sends", 8);
        assert_eq!(sends.hear_word("go").await, 8);
        leaves.gate.add_permits(1);
    });
    assert_eq!(leaves.hear_word("got").await, 70_000);
    world.stop().await;
}

#[tokio::test]
async fn what_is_emitted_behind_a_backlog_goes_where_the_new_routes_say() {
    let mut world = World::new(&[("Emits", true), ("OldTarget", false), ("NewTarget", false)]).await;
    let (old, new) = (side("OldTarget"), side("NewTarget"));
    let config = |emits: &str, to: &str| {
        format!(
            "(Emits: ({emits}), OldTarget: (waits: true, word: \"old\"), NewTarget: (word: \"new\"), \
             Router: (routes: [(match: (source: \"Emits\"), forwards: [(qname: \"{to}\")])]))"
        )
    };
    world.apply(&config("emits: 4000", "OldTarget")).await;
    world.send("Emits", 1);
    old.hear_word("old").await;
    world.apply(&config("start_emits: true", "NewTarget")).await;
    assert_eq!(new.hear_word("new").await, 1);
    old.gate.add_permits(4000);
    world.stop().await;
}

#[tokio::test]
async fn a_task_that_cannot_be_made_holds_up_nobody_who_sends_to_it() {
    let mut world = World::new(&[("Sender", false)]).await;
    let routes = "Router: (routes: [(match: (source: \"Sender\"), forwards: [(qname: \"Unmade\")])])";
    world.apply(&format!("(Sender: (word: \"sent\", emits: 3000), Unmade: (), {routes})")).await;
    world.send("Sender", 1);
    world.send("Sender", 2);
    assert_eq!(side("Sender").hear_word("sent").await, 1);
    assert_eq!(side("Sender").hear_word("sent").await, 2);
}

fn numbers(consumer: &mut Consumer) -> Vec<i64> {
    let mut batch = Vec::new();
    while consumer.take(&mut batch).unwrap() > 0 {}
    let messages = batch.into_iter().map(|taken| Message::from_encoded(taken.stamp, taken.body).unwrap());
    messages.map(|message| message.get("n").and_then(View::as_i64).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_panics_in_between_each_message_goes_to_dead_once_or_out_once_and_in_order() {
    let mut world = World::new(&[("Panics", true)]).await;
    let routes = "Router: (routes: [(match: (source: \"Panics\"), forwards: [(qname: \"out\")])])";
    let entry = "word: \"ok\", panics: 5, emits: 1, delivery: \"exactly_once\", intervals: (save_state: 0.001)";
    world.apply(&format!("(Panics: ({entry}), {routes})")).await;
    for n in 1..=499 {
        world.send("Panics", n);
    }
    while side("Panics").hear().await.1 != 499 {}
    let (mut dead, mut out) = (world.consume("dead"), world.consume("out"));
    let _place = world.stop().await;
    let mut dead = numbers(&mut dead);
    dead.sort_unstable();
    assert!(dead.iter().copied().eq((5..500).step_by(5)), "{dead:?}");
    let out = numbers(&mut out);
    assert!(out.iter().copied().eq((1..500).filter(|n| n % 5 != 0).map(|n| n * 10_000)), "{out:?}");
}
