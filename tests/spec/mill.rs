//! A task for pools: stateless, it works as long as it is told and passes on what it got.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use multimodule::sdk::{Context, Message, Result, Task, View, fields};
use tokio::time::timeout;

/// How often it looks whether a gate is open.
const LOOK: Duration = Duration::from_millis(2);

/// Emits every `from` and `n` that it hears. A message may say `gate`, a file that it waits for first, and `die`.
#[derive(Default)]
pub(crate) struct Mill;

impl Task for Mill {
    type Config = ();
    type State = ();

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        println!("{}: started", ctx.name());
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let number = message.get("n").and_then(View::as_i64);
        let text = |key| message.get(key).and_then(View::as_text).map(str::to_owned);
        println!("{}: begins {}.", ctx.name(), number.unwrap_or(-1));
        if message.get("die").is_some_and(View::is_true) {
            std::process::abort();
        }
        if let Some(gate) = text("gate") {
            while !Path::new(&gate).exists() {
                // Nothing comes: this is a wait that holds up the task and not its thread.
                let _timed_out = timeout(LOOK, pending::<()>()).await;
            }
        }
        ctx.emit(fields! { from: text("from").unwrap_or_default(), n: number });
        println!("{}: passed on {}.", ctx.name(), number.unwrap_or(-1));
        Ok(())
    }
}
