//! Two nodes with sources and listeners, and what was heard.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use multimodule::config::Config;
use multimodule::fields;
use multimodule::message::Message;
use multimodule::name::{LaneName, QueueName, TaskName};
use multimodule::router::RoutingTable;
use multimodule::runtime::{Node, NodeOptions, Registry, Role, Wanted};
use multimodule::sdk::{Context, Deserialize, Result, Serialize, Task, View};
use multimodule::transit::{Outgoing, Transit};
use tokio::sync::Notify;

/// Nothing here takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);
/// A source emits so many numbers at each tick.
const AT_ONCE: i64 = 5;

/// A task and what the node is to it.
pub(crate) type Place = (&'static str, Role);

/// What the tasks of one test tell it.
#[derive(Default)]
struct Told {
    /// By whom it was said: all numbers, in the order in which they were heard.
    heard: Mutex<HashMap<String, Vec<i64>>>,
    /// How far each source has counted.
    sent: Mutex<HashMap<String, i64>>,
    quiet: AtomicBool,
    some: Notify,
}

static TOLD: LazyLock<Mutex<HashMap<String, Arc<Told>>>> = LazyLock::new(Mutex::default);

fn told_in(world: &str) -> Arc<Told> {
    TOLD.lock().unwrap().entry(world.to_owned()).or_default().clone()
}

pub(crate) fn recorded(world: &str, sender: &str) -> Vec<i64> {
    told_in(world).heard.lock().unwrap().get(sender).cloned().unwrap_or_default()
}

impl Told {
    fn hear(&self, sender: String, n: i64) {
        self.heard.lock().unwrap().entry(sender).or_default().push(n);
        self.some.notify_one();
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct InWorld {
    world: String,
}

/// Emits numbers, without state.
#[derive(Default)]
struct Source;

impl Task for Source {
    type Config = InWorld;
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.every("emit", Duration::from_micros(200));
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        let told = told_in(&ctx.config.world);
        if !told.quiet.load(Ordering::Relaxed) {
            let to = {
                let mut sent = told.sent.lock().unwrap();
                let sent = sent.entry(ctx.name().to_owned()).or_default();
                *sent += AT_ONCE;
                *sent
            };
            (to - AT_ONCE + 1..=to).for_each(|n| ctx.emit(fields! { to: "T", n: n }));
        }
        Ok(())
    }

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Ok(())
    }
}

/// Emits numbers that it counts in its state, and sends on those that it hears.
#[derive(Default)]
struct Counting;

#[derive(Default, Serialize, Deserialize)]
struct Count {
    sent: i64,
}

impl Task for Counting {
    type Config = InWorld;
    type State = Count;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        if ctx.name().starts_with("State") {
            ctx.every("emit", Duration::from_micros(300));
        }
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        let told = told_in(&ctx.config.world);
        if !told.quiet.load(Ordering::Relaxed) {
            for _ in 0..AT_ONCE {
                ctx.state.sent += 1;
                ctx.emit(fields! { to: "T", n: ctx.state.sent });
            }
            told.sent.lock().unwrap().insert(ctx.name().to_owned(), ctx.state.sent);
        }
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let n = message.get("n").and_then(View::as_i64).ok_or("a message without its number")?;
        ctx.emit(fields! { n: n, from: text(&message, "source") });
        told_in(&ctx.config.world).some.notify_one();
        Ok(())
    }
}

/// Tells what it hears, slowly, and counts it: what it has not saved is not finished.
#[derive(Default)]
struct Counts;

impl Task for Counts {
    type Config = InWorld;
    type State = Count;

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let n = message.get("n").and_then(View::as_i64).ok_or("a message without its number")?;
        if n % 16 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ctx.state.sent += 1;
        told_in(&ctx.config.world).hear(format!("{} by {}", text(&message, "from"), text(&message, "source")), n);
        Ok(())
    }
}

/// Tells what it hears, and sends on what was sent on to it.
#[derive(Default)]
struct Hears;

impl Task for Hears {
    type Config = InWorld;
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        told_in(&ctx.config.world).hear(format!("starts of {}", ctx.name()), 0);
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        told_in(&ctx.config.world).hear(format!("ticks of {}", ctx.name()), 0);
        Ok(())
    }

    async fn stop(&mut self, ctx: &mut Context<Self>) -> Result {
        told_in(&ctx.config.world).hear(format!("stops of {}", ctx.name()), 0);
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let n = message.get("n").and_then(View::as_i64).ok_or("a message without its number")?;
        let (source, from) = (text(&message, "source"), text(&message, "from"));
        let told = told_in(&ctx.config.world);
        if n % 61 == 0 {
            // Mailboxes fill meanwhile.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if ctx.name() == "Slow" {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        match (ctx.name(), from.is_empty()) {
            ("Shy", _) => {
                ctx.every("never", Duration::from_micros(1));
                told.hear(format!("{source} by Shy"), n);
            }
            ("Last", _) | ("Slow", false) => told.hear(format!("{from} by {source}"), n),
            (_, true) => told.hear(source, n),
            (_, false) => ctx.emit(fields! { n: n, from: from }),
        }
        Ok(())
    }
}

fn text(message: &Message, field: &str) -> String {
    message.get(field).and_then(View::as_text).unwrap_or_default().to_owned()
}

/// Two nodes that share a transit and a state directory.
pub(crate) struct World {
    _place: tempfile::TempDir,
    name: &'static str,
    delivery: &'static str,
    queue: &'static str,
    nodes: Vec<Node>,
    transit: Transit,
    registry: Registry,
}

impl World {
    pub(crate) async fn new(name: &'static str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut nodes = Vec::new();
        for process in ["nodeA", "nodeB"] {
            let options = NodeOptions {
                transit: Transit::open(&place.path().join("transit")).unwrap(),
                state_dir: place.path().join("state"),
                process: TaskName::new(process).unwrap(),
                daemon: TaskName::new("nodeA").unwrap(),
                description: process.to_owned(),
                control_queue: None,
            };
            let (node, inbox) = Node::start(options).await.unwrap();
            assert!(inbox.is_none(), "who reads no queue has no inbox");
            nodes.push(node);
        }
        let transit = Transit::open(&place.path().join("transit")).unwrap();
        let registry = Registry::new().with::<Source>("SourceA").unwrap().with::<Source>("SourceB").unwrap();
        let registry = registry.with::<Counting>("StateA").unwrap().with::<Counting>("StateB").unwrap();
        let registry = registry.with::<Counting>("Moves").unwrap().with::<Hears>("T").unwrap();
        let registry = registry.with::<Hears>("Last").unwrap().with::<Hears>("Shy").unwrap();
        let registry = registry.with::<Hears>("Slow").unwrap().with::<Counts>("Counts").unwrap();
        Self { _place: place, name, delivery: "at_least_once", queue: "", nodes, transit, registry }
    }

    pub(crate) fn delivery(&mut self, delivery: &'static str) {
        self.delivery = delivery;
    }

    /// What tasks without state say of their queues.
    pub(crate) fn queue(&mut self, queue: &'static str) {
        self.queue = queue;
    }

    pub(crate) async fn apply(&mut self, node: usize, places: &[Place], routes: &str) {
        let entry = |(name, _): &Place| {
            let stateful = self.registry.resolve(&TaskName::new(name).unwrap(), &[]).unwrap().stateful;
            let delivery = format!("delivery: \"{}\", intervals: (save_state: 0.005)", self.delivery);
            format!("{name}: (world: \"{}\", {})", self.name, if stateful { delivery.as_str() } else { self.queue })
        };
        let entries: Vec<_> = places.iter().map(entry).collect();
        let text = format!("({}, Router: (routes: [{routes}]))", entries.join(", "));
        let root = multimodule::config::Document::parse("a test's config.ron", &text).unwrap();
        let config = Config::read(root.root()).unwrap();
        let wanted: BTreeMap<_, _> = places
            .iter()
            .map(|(name, role)| {
                let name = TaskName::new(name).unwrap();
                let (entry, kind) = (&config.tasks[&name], self.registry.resolve(&name, &[]).unwrap());
                let (own, framework) = (Arc::new(entry.own.clone()), Arc::new(entry.framework.clone()));
                (name, Wanted { kind, own, framework, role: *role })
            })
            .collect();
        let applied = self.nodes[node].apply(wanted, RoutingTable::compile(&config.router).unwrap());
        tokio::time::timeout(DEADLINE, applied).await.expect("a config is applied in time");
    }

    /// The sources fall silent.
    pub(crate) fn quiet(&self) {
        told_in(self.name).quiet.store(true, Ordering::Relaxed);
    }

    pub(crate) fn heard(&self, sender: &str) -> Vec<i64> {
        recorded(self.name, sender)
    }

    /// Waits until somebody tells something.
    pub(crate) async fn something(&self) {
        tokio::time::timeout(DEADLINE, told_in(self.name).some.notified()).await.expect("something happens in time");
    }

    /// Waits until all that this sender's source has sent was heard.
    pub(crate) async fn until_heard(&self, sender: &str) {
        let source = sender.split(' ').next().unwrap();
        let told = told_in(self.name);
        let all = || {
            let sent = told.sent.lock().unwrap().get(source).copied().unwrap_or_default();
            self.heard(sender).iter().max().copied().unwrap_or_default() >= sent
        };
        let begin = std::time::Instant::now();
        while !all() {
            let missing = begin.elapsed() > DEADLINE;
            assert!(!missing, "{sender}: heard {:?} of {:?}", self.heard(sender).last(), told.sent.lock().unwrap());
            // Told, or a look: what was told may have been told before this waited.
            drop(tokio::time::timeout(Duration::from_millis(20), told.some.notified()).await);
        }
    }

    /// Appends the numbers 1 to `last` to a queue, as another program does that calls itself `from`.
    pub(crate) fn append(&self, queue: &str, from: &str, last: i64) {
        let (queue, lane) = (QueueName::new(queue).unwrap(), LaneName::Process(TaskName::new(from).unwrap()));
        let sender = self.transit.sender(&queue, &lane).unwrap();
        for n in 1..=last {
            let message = Message::new(fields! { n: n, from: from });
            let out = Outgoing { stamp: message.stamp(), tag: None, body: message.encoded().unwrap() };
            sender.append(&out).unwrap();
        }
    }

    /// Waits until all that a queue holds is finished.
    pub(crate) async fn until_finished(&self, queue: &str) {
        let queue = QueueName::new(queue).unwrap();
        let begin = std::time::Instant::now();
        while self.transit.status(&queue).unwrap().is_some_and(|status| status.messages > 0) {
            assert!(begin.elapsed() < DEADLINE, "{queue} still holds something");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many messages of a lane are not finished.
    pub(crate) fn unfinished(&self, queue: &str, lane: &str) -> u64 {
        let lane = self.transit.lane_counts(&QueueName::new(queue).unwrap(), &lane.parse().unwrap()).unwrap();
        lane.map_or(0, |lane| lane.messages)
    }

    /// Who consumes a queue, if somebody does.
    pub(crate) fn consumer_of(&self, queue: &str) -> Option<String> {
        self.transit.status(&QueueName::new(queue).unwrap()).unwrap()?.consumer
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes {
            let stopped = tokio::time::timeout(DEADLINE, node.stop(Duration::from_secs(5))).await;
            assert!(stopped.expect("a node stops in time"), "it stops in order");
        }
    }
}

/// What a sender's numbers must look like: 1, 2, 3 and so on.
pub(crate) fn each_once_and_in_order(sender: &str, heard: &[i64], seed: u64) {
    let fault = heard.iter().zip(1..).position(|(heard, expected)| *heard != expected);
    if let Some(at) = fault {
        let around = &heard[at.saturating_sub(3)..(at + 8).min(heard.len())];
        panic!("{sender}: number {} was heard as {around:?}, seed {seed}", at + 1);
    }
}

/// Numbers drawn from a seed, which is printed.
pub(crate) struct Random {
    pub(crate) seed: u64,
    state: u64,
}

impl Random {
    pub(crate) fn new() -> Self {
        let seed = match std::env::var("MULTIMODULE_TEST_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => getrandom::u64().unwrap(),
        };
        println!("MULTIMODULE_TEST_SEED={seed}");
        Self { seed, state: seed | 1 }
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % bound
    }
}
