//! A node with tasks that do as their configs say, and what tells the test what they do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use multimodule::config::Config;
use multimodule::fields;
use multimodule::message::{Message, Stamp};
use multimodule::name::{LaneName, QueueName, TaskName};
use multimodule::router::RoutingTable;
use multimodule::runtime::{Node, NodeOptions, Registry, Role, Wanted};
use multimodule::sdk::{Context, Deserialize, Result, Serialize, Task, View};
use multimodule::transit::{Bell, Consumer, Outgoing, Reader, Transit};
use tokio::sync::{Semaphore, mpsc};

/// Nothing here takes longer, unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What a task under test and its test tell each other.
pub(crate) struct Side {
    /// The task tells what it does: a word and the message's number.
    said: mpsc::UnboundedSender<(String, i64)>,
    heard: tokio::sync::Mutex<mpsc::UnboundedReceiver<(String, i64)>>,
    /// A task that waits goes on with a permit of this.
    pub(crate) gate: Semaphore,
}

static SIDES: LazyLock<Mutex<HashMap<String, Arc<Side>>>> = LazyLock::new(Mutex::default);

/// The side of the task of this name; each test has names of its own.
pub(crate) fn side(name: &str) -> Arc<Side> {
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

    pub(crate) async fn hear(&self) -> (String, i64) {
        let mut heard = self.heard.lock().await;
        tokio::time::timeout(DEADLINE, heard.recv()).await.expect("the task says something in time").unwrap()
    }

    pub(crate) async fn hear_word(&self, word: &str) -> i64 {
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

pub(crate) fn task(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A node and its transit, opened apart by the test like by another process.
pub(crate) struct World {
    pub(crate) place: tempfile::TempDir,
    pub(crate) transit: Transit,
    node: Node,
    kinds: &'static [(&'static str, bool)],
}

impl World {
    /// The tasks, and whether each is stateful.
    pub(crate) async fn new(kinds: &'static [(&'static str, bool)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let options = NodeOptions {
            transit: Transit::open(&place.path().join("transit")).unwrap(),
            state_dir: place.path().join("state"),
            process: task("node"),
            daemon: task("node"),
            description: "the node".to_owned(),
            control_queue: Some(queue("control")),
        };
        let (node, _inbox) = Node::start(options).await.unwrap();
        let transit = Transit::open(&place.path().join("transit")).unwrap();
        Self { place, transit, node, kinds }
    }

    pub(crate) async fn apply(&mut self, text: &str) {
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
                (name.clone(), Wanted { kind, own, framework, role: Role::Home })
            })
            .collect();
        let applied = self.node.apply(wanted, RoutingTable::compile(&config.router).unwrap());
        tokio::time::timeout(DEADLINE, applied).await.expect("a config is applied in time");
    }

    /// Which task waits for room in which queue.
    pub(crate) fn waits(&self) -> Vec<(String, String)> {
        let waits = self.node.waits().into_iter();
        waits.map(|wait| (wait.task.to_string(), wait.queue.to_string())).collect()
    }

    pub(crate) fn send(&self, to: &str, n: i64) {
        send(&self.transit, to, n);
    }

    pub(crate) fn consume(&self, name: &str) -> Consumer {
        let bell = Bell::open(&self.transit).unwrap();
        let reader = Reader { bell, waker: None, description: "the test".to_owned() };
        self.transit.consumer(&queue(name), None, &reader).unwrap()
    }

    /// Ends the node; its files are there as long as what is returned.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        let stopped = tokio::time::timeout(DEADLINE, self.node.stop(Duration::from_secs(2))).await;
        assert!(stopped.expect("a node stops in time"), "it stops in order");
        self.place
    }
}

pub(crate) fn send(transit: &Transit, to: &str, n: i64) {
    let sender = transit.sender(&queue(to), &LaneName::Process(task("test"))).unwrap();
    let message = Message::new(fields! { n: n });
    sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: message.encoded().unwrap() }).unwrap();
}
