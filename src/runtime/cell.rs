//! The typed part of an actor: a task's value, its config and its state.

use super::secrets::config_of;
use crate::config::PathFault;
use crate::name::TaskName;
use crate::router::Transform;
use crate::sdk::{Context, Core, Result, Task};
use crate::value::{self, Map, TypeFault, Value};

/// A task with its context.
pub(super) struct Cell<T: Task> {
    pub(super) task: T,
    pub(super) ctx: Context<T>,
}

impl<T: Task> Cell<T> {
    /// A task with the state that stands in `state`, which has been checked; else with its first one.
    pub(super) fn new(name: TaskName, own: &Map, state: Option<&str>) -> std::result::Result<Self, Vec<PathFault>> {
        let config = config_of::<T>(own)?;
        let state = state.and_then(|text| ron::from_str(text).ok()).unwrap_or_else(|| T::initial_state(&config));
        Ok(Self { task: T::default(), ctx: Context { config, state, core: Core::new(name) } })
    }

    /// Takes a changed config; refused, the old one stays.
    pub(super) fn configure(&mut self, own: &Map) -> std::result::Result<(), Vec<PathFault>> {
        self.ctx.config = config_of::<T>(own)?;
        Ok(())
    }

    /// The state as text.
    pub(super) fn encode(&self) -> std::result::Result<String, String> {
        encode::<T>(&self.ctx.state)
    }

    /// After a panic: a new value, and the state of the last record.
    pub(super) fn rebuild(&mut self, state: Option<&str>) {
        self.task = T::default();
        if let Some(state) = state.and_then(|text| ron::from_str(text).ok()) {
            self.ctx.state = state;
        }
        self.ctx.core.emitted.clear();
        self.ctx.core.timers.clear();
    }

    /// Applies a transform to the state, as if it were a message. The state is unchanged when the task's types or
    /// its check refuse the outcome.
    pub(super) fn transform(&mut self, settings: &Value) -> Result {
        let transform = Transform::compile(settings).map_err(|faults| text_of(&faults))?;
        let Value::Map(mut fields) = value::to_value(&self.ctx.state)? else {
            return Err("the state of this task is no map, so no field of it can be set".into());
        };
        transform.apply(&mut fields);
        let state: T::State = value::from_map(&fields).map_err(|faults| faults_text(&faults))?;
        T::check(&state)?;
        self.ctx.state = state;
        Ok(())
    }
}

/// A state as text: RON on one line.
pub(super) fn encode<T: Task>(state: &T::State) -> std::result::Result<String, String> {
    ron::to_string(state).map_err(|error| error.to_string())
}

/// Faults as one line.
pub(super) fn text_of(faults: &[PathFault]) -> String {
    let lines: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.reason)).collect();
    lines.join("; ")
}

fn faults_text(faults: &[TypeFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
