//! The tasks of the pipeline, and its config.
//!
//! ```text
//!   this test ──► A (stateful) ──┬─► T (stateless) ──► B (stateful) ──► out ──► this test
//!                                ├─► Side (stateless) ──► beside ──► this test
//!                                └─► Pool (stateless, two workers) ──► pooled ──► this test
//! ```
//!
//! A and B are in processes of their own or in the daemon, both; Side is where they are not; T is in the daemon, and
//! copied.

use std::time::Duration;

use multimodule::runtime::{Registry, RegistryError};
use multimodule::sdk::{Context, Deserialize, Message, Result, Serialize, Task, View, fields};

/// The stateful tasks, first and last.
pub(crate) const COUNTERS: [&str; 2] = ["A", "B"];
/// What B sends goes here.
pub(crate) const OUT: &str = "out";
/// What Side and Pool send goes here.
pub(crate) const BESIDE: [&str; 2] = ["beside", "pooled"];
/// The first worker of Pool.
pub(crate) const WORKER: &str = "Pool.1";
/// A worker rests for a moment with every so manyth number: so much is waiting at each of them most of the time.
const REST: (i64, Duration) = (8, Duration::from_millis(1));
/// Nobody is ever parked.
const RESTART: &str = "(max: 1000, within: \"1s\", backoff: \"1ms\", max_backoff: \"20ms\")";
/// Beside a number there is so much text in a message: segments are soon full.
const PADDING: usize = 300;

/// The tasks by name.
pub(crate) fn registry() -> std::result::Result<Registry, RegistryError> {
    let counters = Registry::new().with::<Counter>(COUNTERS[0])?.with::<Counter>(COUNTERS[1])?;
    counters.with::<Pass>("T")?.with::<Pass>("Side")?.with::<Slow>("Pool")
}

/// The config, in RON; `external`: where A and B are. An `other` one makes no difference but that it is another.
pub(crate) fn config(delivery: &str, external: bool, other: bool) -> String {
    let often = if other { "0.011" } else { "0.01" };
    let counter = format!(
        "(is_external: {external}, delivery: \"{delivery}\", intervals: {{\"save_state\": {often}}}, restart: {RESTART})"
    );
    let route = |from: &str, to: &[&str]| {
        let forwards: Vec<_> = to.iter().map(|to| format!("(qname: \"{to}\", outside: true)")).collect();
        format!("(match: (source: \"{from}\"), forwards: [{}])", forwards.join(", "))
    };
    let routes = [
        route("A", &["T", "Side", "Pool"]),
        route("T", &["B"]),
        route("B", &[OUT]),
        route("Side", &BESIDE[..1]),
        route("Pool", &BESIDE[1..]),
    ];
    let side = format!("(is_external: {}, restart: {RESTART})", !external);
    let pool = format!("(workers: 2, restart: {RESTART})");
    let routes = routes.join(", ");
    format!("(A: {counter}, B: {counter}, T: (), Side: {side}, Pool: {pool}, Router: (routes: [{routes}]))")
}

/// A message with this number.
pub(crate) fn message(n: i64) -> Message {
    Message::new(fields! { n: n, padding: "x".repeat(PADDING) })
}

/// The number of a message.
pub(crate) fn number(message: &Message) -> Option<i64> {
    message.get("n").and_then(View::as_i64)
}

/// Counts the numbers it is handed and sends them on.
#[derive(Default)]
struct Counter;

/// What a counter has been handed.
#[derive(Default, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) count: i64,
    pub(crate) sum: i64,
}

impl Counted {
    /// Each number up to `n`, once.
    pub(crate) fn each_up_to(n: i64) -> Self {
        Self { count: n, sum: n * (n + 1) / 2 }
    }
}

impl Task for Counter {
    type Config = ();
    type State = Counted;

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        ctx.state.count += 1;
        ctx.state.sum += number(&message).ok_or("no number")?;
        ctx.emit(message.into_fields());
        Ok(())
    }
}

/// Sends on what it hears.
#[derive(Default)]
struct Pass;

impl Task for Pass {
    type Config = ();
    type State = ();

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        ctx.emit(message.into_fields());
        Ok(())
    }
}

/// Sends on what it hears, and rests now and then.
#[derive(Default)]
struct Slow;

impl Task for Slow {
    type Config = ();
    type State = ();

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        if number(&message).is_some_and(|n| n % REST.0 == 0) {
            tokio::time::sleep(REST.1).await;
        }
        ctx.emit(message.into_fields());
        Ok(())
    }
}
