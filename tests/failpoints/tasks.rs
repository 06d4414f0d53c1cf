//! The tasks of the pipeline, and its config.
//!
//! ```text
//!   this test ──► A (stateful) ──┬─► T (stateless) ──► B (stateful) ──► out ──► this test
//!                                └─► Side (stateless) ──► beside ──► this test
//! ```
//!
//! A and B are in processes of their own or in the daemon, both; Side is where they are not; T is in the daemon, and
//! copied.

use multimodule::runtime::{Registry, RegistryError};
use multimodule::sdk::{Context, Deserialize, Message, Result, Serialize, Task, View, fields};

/// The stateful tasks, first and last.
pub(crate) const COUNTERS: [&str; 2] = ["A", "B"];
/// What B sends goes here.
pub(crate) const OUT: &str = "out";
/// What Side sends goes here.
pub(crate) const BESIDE: &str = "beside";
/// Nobody is ever parked.
const RESTART: &str = "(max: 1000, within: \"1s\", backoff: \"1ms\", max_backoff: \"20ms\")";
/// Beside a number there is so much text in a message: segments are soon full.
const PADDING: usize = 300;

/// The tasks by name.
pub(crate) fn registry() -> std::result::Result<Registry, RegistryError> {
    let counters = Registry::new().with::<Counter>(COUNTERS[0])?.with::<Counter>(COUNTERS[1])?;
    counters.with::<Pass>("T")?.with::<Pass>("Side")
}

/// The config, in RON; `external`: where A and B are.
pub(crate) fn config(delivery: &str, external: bool) -> String {
    let counter = format!(
        "(is_external: {external}, delivery: \"{delivery}\", intervals: {{\"save_state\": 0.01}}, restart: {RESTART})"
    );
    let route = |from: &str, to: &[&str]| {
        let forwards: Vec<_> = to.iter().map(|to| format!("(qname: \"{to}\", outside: true)")).collect();
        format!("(match: (source: \"{from}\"), forwards: [{}])", forwards.join(", "))
    };
    let routes = [route("A", &["T", "Side"]), route("T", &["B"]), route("B", &[OUT]), route("Side", &[BESIDE])];
    let side = format!("(is_external: {}, restart: {RESTART})", !external);
    format!("(A: {counter}, B: {counter}, T: (), Side: {side}, Router: (routes: [{}]))", routes.join(", "))
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
