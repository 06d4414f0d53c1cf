//! What the code of a task sees: the [`Task`] trait and its [`Context`].
//!
//! A task is a type with a config, perhaps a state, and what it does with a message:
//!
//! ```
//! use multimodule::sdk::{Context, Deserialize, Message, Result, Task};
//!
//! /// Says hello to whoever is named.
//! #[derive(Default)]
//! struct Greeter;
//!
//! #[derive(Default, Deserialize)]
//! #[serde(default)]
//! struct Config {
//!     greeting: String,
//! }
//!
//! impl Task for Greeter {
//!     type Config = Config;
//!     type State = ();
//!
//!     async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
//!         let name = message.get("name").and_then(|name| name.as_text()).ok_or("a greeting needs a name")?;
//!         println!("{} {name}", ctx.config.greeting);
//!         Ok(())
//!     }
//! }
//! ```
//!
//! The framework promises: a task handles one thing at a time; what it emits takes effect when the call returns,
//! all or nothing; its state counts every message handed to it exactly once, whatever is killed and when.

mod context;
pub(crate) mod task;

pub use context::Context;
pub(crate) use context::{CommitRequest, Core, Emission, TimerRequest};
pub use task::{Result, Task, TaskError};

pub use crate::fields;
pub use crate::message::Message;
pub use crate::value::{Map, Text, Value, View};
pub use serde::{Deserialize, Serialize};
pub use std::time::Duration;
