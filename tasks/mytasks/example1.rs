//! The tutorial's counter: emits its count each second, and takes a new one. Stateful, so the count goes on.

use multimodule::sdk::{Context, Deserialize, Duration, Message, Result, Serialize, Task, View, fields};

/// Counts.
#[derive(Default)]
pub struct Example1;

/// What the config may say.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Sent along with every count.
    outstr: String,
    /// The number to start with.
    ct: i64,
}

/// What survives.
#[derive(Default, Serialize, Deserialize)]
pub struct State {
    ct: i64,
}

impl Task for Example1 {
    type Config = Config;
    type State = State;

    fn initial_state(config: &Config) -> State {
        State { ct: config.ct }
    }

    async fn start(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.every("Example1", Duration::from_secs(1));
        Ok(())
    }

    async fn tick(&mut self, _timer: &str, ctx: &mut Context<Self>) -> Result {
        ctx.emit(fields! { ct: ctx.state.ct, outstr: &ctx.config.outstr });
        ctx.state.ct += 1;
        Ok(())
    }

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        if let Some(ct) = message.get("new_ct").and_then(View::as_i64) {
            println!("Example1: received a message: {message}");
            ctx.state.ct = ct;
            println!("Example1: set ct to {ct}");
        }
        Ok(())
    }
}
