//! The tasks of the bench with processes.

use std::time::Duration;

use multimodule::runtime::{Registry, RegistryError};
use multimodule::sdk::{Context, Deserialize, Message, Result, Serialize, Task, View, fields};

use crate::meter::Meter;

/// How many idle tasks there are.
pub(crate) const CROWD: usize = 200;
/// What a source does in one activation before others have their turn.
const PER_TICK: u64 = 256;
/// So many messages between two words on the meter.
const PER_WORD: u64 = 1024;
/// So many round trips between two words on the meter.
const TRIPS_PER_WORD: u64 = 100;
/// With the rest of the fields some 200 bytes.
const NOTE: &str = "measured at the north shelf by the second of the three sensors there, in the shade, before noon";

/// The tasks by name.
pub(crate) fn registry() -> std::result::Result<Registry, RegistryError> {
    let registry = Registry::new().with::<Source>("Source")?.with::<Count>("Count")?.with::<Ping>("Ping")?;
    let registry = registry.with::<Echo>("Echo")?.with::<Keeping>("Keeping")?;
    // The registry keeps names for the life of the program.
    let crowd = (0..CROWD).map(|number| format!("Crowd{number}"));
    crowd.into_iter().try_fold(registry, |registry, name| registry.with::<Keeping>(name.leak()))
}

/// Where a task writes how far it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metered {
    meter: String,
}

/// How many messages there were.
#[derive(Default, Serialize, Deserialize)]
struct Counted {
    messages: u64,
}

/// Sends as fast as it may, and counts what it has sent.
#[derive(Default)]
struct Source;

impl Task for Source {
    type Config = ();
    type State = Counted;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.every("emit", Duration::from_micros(1));
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        for _ in 0..PER_TICK {
            let n = ctx.state.messages;
            ctx.emit(fields! { n: n, note: NOTE, ok: true, sensor: "sensor 017", unit: "mm", value: n * 37 });
            ctx.state.messages += 1;
        }
        Ok(())
    }

    async fn message(&mut self, _message: Message, _ctx: &mut Context<Self>) -> Result {
        Ok(())
    }
}

/// Counts what it hears.
#[derive(Default)]
struct Count(Meter);

impl Task for Count {
    type Config = Metered;
    type State = Counted;

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        self.0 = Meter::open(&ctx.config.meter)?;
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        message.get("n").and_then(View::as_i64).ok_or("every message has a number")?;
        ctx.state.messages += 1;
        if ctx.state.messages.is_multiple_of(PER_WORD) {
            self.0.reached(ctx.state.messages)?;
        }
        Ok(())
    }
}

/// Sends the next number when the last one is back. It is handled in the daemon alone, and not where the answer is made.
#[derive(Default)]
struct Ping(Meter);

impl Task for Ping {
    const SINGLE: bool = true;
    type Config = Metered;
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        self.0 = Meter::open(&ctx.config.meter)?;
        ctx.emit(fields! { n: 1, note: NOTE, ok: true, sensor: "sensor 017", unit: "mm", value: 37 });
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let n = message.get("n").and_then(View::as_i64).ok_or("every message has a number")?.unsigned_abs();
        if n.is_multiple_of(TRIPS_PER_WORD) {
            self.0.reached(n)?;
        }
        ctx.emit(fields! { n: n + 1, note: NOTE, ok: true, sensor: "sensor 017", unit: "mm", value: n * 37 });
        Ok(())
    }
}

/// Sends on what it hears.
#[derive(Default)]
struct Echo;

impl Task for Echo {
    type Config = ();
    type State = ();

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        ctx.emit(message.into_fields());
        Ok(())
    }
}

/// Sends on what it hears, and keeps the count; says when it has heard something, where it has a meter.
#[derive(Default)]
struct Keeping;

impl Task for Keeping {
    type Config = Metered;
    type State = Counted;

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        ctx.state.messages += 1;
        if !ctx.config.meter.is_empty() {
            Meter::open(&ctx.config.meter)?.reached(ctx.state.messages)?;
        }
        ctx.emit(message.into_fields());
        Ok(())
    }
}
