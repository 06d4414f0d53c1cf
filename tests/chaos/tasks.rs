//! The tasks of the torture: a sender that counts, a ring of three stateful tasks, two stateless ones on the way.
//!
//! ```text
//!   Count ─────────┐    ┌──► Pass ──► RingB ──► Slow ──► RingC ──┐
//!                  ├─► RingA                                     │ second time
//!   plain sender ──┘    └──► exit ◄── RingA ◄────────────────────┘
//!                            Count ◄─── now and then
//! ```
//!
//! Each message makes one lap, and then passes RingA once more. Count never has more than a window of numbers on
//! the way, so that the ring cannot fill itself up.

use std::collections::BTreeMap;

use multimodule::runtime::{Registry, RegistryError};
use multimodule::sdk::{Context, Deserialize, Duration, Message, Result, Serialize, Task, View, fields};

use crate::tally::Tally;

/// The name of the sender that is a task.
pub(crate) const COUNT: &str = "Count";
/// The name of the sender that is a process.
pub(crate) const PLAIN: &str = "plain";
/// The stateful tasks of the ring.
pub(crate) const RING: [&str; 3] = ["RingA", "RingB", "RingC"];
/// The stateless tasks on the way.
pub(crate) const STATELESS: [&str; 2] = ["Pass", "Slow"];
/// Each so many of its numbers tell Count that they are back.
const BACK: i64 = 64;
/// How often Count looks whether it may send.
const TICK: Duration = Duration::from_millis(4);
/// Each so many messages make Slow slow.
const SLOW_EACH: i64 = 400;
/// How slow it is then.
const SLOWNESS: Duration = Duration::from_millis(2);

/// The tasks by name.
pub(crate) fn registry() -> std::result::Result<Registry, RegistryError> {
    let registry = Registry::new().with::<Count>(COUNT)?.with::<Pass>(STATELESS[0])?.with::<Slow>(STATELESS[1])?;
    registry.with::<Ring>(RING[0])?.with::<Ring>(RING[1])?.with::<Ring>(RING[2])
}

/// The sender: emits the numbers from 1 on, as many as its window has room for.
#[derive(Default)]
struct Count;

#[derive(Default, Deserialize)]
#[serde(default)]
struct CountConfig {
    burst: i64,
    window: i64,
}

/// What Count has sent, and up to where it has heard back.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) sent: i64,
    pub(crate) back: i64,
    pub(crate) heard: u64,
}

impl Task for Count {
    type Config = CountConfig;
    type State = Counted;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.every("next", TICK);
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        ctx.state.back = ctx.state.back.max(number(&message, "n")?);
        ctx.state.heard += 1;
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        let room = ctx.config.window - (ctx.state.sent - ctx.state.back);
        for _ in 0..room.min(ctx.config.burst) {
            ctx.state.sent += 1;
            ctx.emit(fields! { from: COUNT, n: ctx.state.sent, lap: 0 });
        }
        Ok(())
    }
}

/// A stateful task of the ring: counts what it is handed, by sender and lap, and sends it on.
#[derive(Default)]
struct Ring;

/// A setting that changes nothing but the config.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RingConfig {
    #[serde(rename = "label")]
    _label: i64,
}

/// What a ring task has seen, by sender and lap: see [`key`].
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tallies(pub(crate) BTreeMap<String, Tally>);

/// The tally of a sender's numbers in their lap.
pub(crate) fn key(from: &str, lap: i64) -> String {
    format!("{from}/{lap}")
}

impl Task for Ring {
    type Config = RingConfig;
    type State = Tallies;

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let from = message.get("from").and_then(View::as_text).ok_or("no sender")?;
        let (n, lap) = (number(&message, "n")?, number(&message, "lap")?);
        ctx.state.0.entry(key(from, lap)).or_default().count(n);
        // The ring closes behind the last one.
        let next_lap = lap + i64::from(ctx.name() == RING[2]);
        let back = from == COUNT && lap == 1 && n % BACK == 0;
        ctx.emit(fields! { from: from, n: n, lap: next_lap, back: i64::from(back) });
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

/// Sends on what it hears, now and then after a pause.
#[derive(Default)]
struct Slow;

impl Task for Slow {
    type Config = ();
    type State = ();

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        if number(&message, "n")? % SLOW_EACH == 0 {
            tokio::time::sleep(SLOWNESS).await;
        }
        ctx.emit(message.into_fields());
        Ok(())
    }
}

fn number(message: &Message, key: &str) -> Result<i64> {
    Ok(message.get(key).and_then(View::as_i64).ok_or("a field is missing")?)
}
