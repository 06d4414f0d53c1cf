//! `Router`: the queue of that name. What is sent to it is routed as it is, its source kept.
//!
//! The routes stand in the config's entry `Router`; every process applies them where a message is emitted, so this
//! task is only for what comes from outside: `strans '{source => "Example1", ...}' Router`.

use multimodule::sdk::{Context, Message, Result, Task};

/// Routes what it is sent.
#[derive(Default)]
pub struct Router;

impl Task for Router {
    type Config = ();
    type State = ();

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        ctx.route(message);
        Ok(())
    }
}
