//! The trait that a task's code implements.

use std::any::TypeId;
use std::future::{Future, ready};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use crate::message::Message;

/// Why an activation failed: any error, or just a text.
pub type TaskError = Box<dyn std::error::Error + Send + Sync>;

/// What a task's functions return.
pub type Result<T = ()> = std::result::Result<T, TaskError>;

/// The code of a task.
///
/// Fields of the implementing type last as long as the process and no longer: what must outlive it belongs into
/// the state. The framework makes the value by `Default`, when the task starts and again after a panic.
pub trait Task: Default + Send + 'static {
    /// The task's own part of its config. A key that is no field of it is refused.
    type Config: DeserializeOwned + Default + Send + Sync + 'static;

    /// What survives. A task whose state is `()` is stateless; any other makes it stateful.
    type State: Serialize + DeserializeOwned + Default + Send + Sync + 'static;

    /// Whether only one process may hold this task (it holds a port, a file).
    const SINGLE: bool = false;

    /// The state of a task that has none yet.
    #[must_use]
    fn initial_state(config: &Self::Config) -> Self::State {
        let _: &Self::Config = config;
        Self::State::default()
    }

    /// Whether a state that was read back makes sense. What this refuses is kept aside, and an older one is tried.
    fn check(state: &Self::State) -> Result {
        let _: &Self::State = state;
        Ok(())
    }

    /// Called before the first message, and again after every change of the config: set timers here. It must be
    /// safe to call again.
    fn start(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send {
        let _: &mut Context<Self> = ctx;
        ready(Ok(()))
    }

    /// Handles one message. An error counts as handled: it is reported, what was emitted is dropped, and the
    /// message goes to the queue `dead` with the error.
    fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send;

    /// Called when the timer of this name is due, see [`Context::every`].
    fn tick(&mut self, timer: &str, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send {
        let _: (&str, &mut Context<Self>) = (timer, ctx);
        ready(Ok(()))
    }

    /// Called once before an orderly end; what it emits still goes out.
    fn stop(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = Result> + Send {
        let _: &mut Context<Self> = ctx;
        ready(Ok(()))
    }
}

/// Whether tasks of this type have state.
#[must_use]
pub(crate) fn is_stateful<T: Task>() -> bool {
    TypeId::of::<T::State>() != TypeId::of::<()>()
}
