//! Which task code there is, by path.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use super::actor;
use super::shell::Shell;
use super::work::Ended;
use crate::config::{self, PathFault};
use crate::name::TaskName;
use crate::sdk::Task;
use crate::sdk::task::is_stateful;
use crate::value::Map;

/// The task code that is compiled in, by path: a built-in task's name, or `prefix::Name`.
#[derive(Debug, Clone, Default)]
pub struct Registry(BTreeMap<&'static str, TaskKind>);

/// Task code that cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Two tasks have one path.
    #[error("there are two tasks {0}")]
    Twice(&'static str),
    /// The framework's keys and the task's share one map in the config.
    #[error("the config of task {path} has a field `{field}`, which is a key of the framework")]
    FrameworkKey {
        /// The task.
        path: &'static str,
        /// The field.
        field: &'static str,
    },
}

/// One task's code, without its types.
#[derive(Debug, Clone, Copy)]
pub struct TaskKind {
    /// The path it is registered under.
    pub path: &'static str,
    /// Whether it has state.
    pub stateful: bool,
    /// Whether only one process may hold it.
    pub single: bool,
    pub(super) check_config: fn(&Map) -> Result<(), Vec<PathFault>>,
    pub(super) check_state: fn(&str) -> Result<(), String>,
    pub(super) run: fn(Box<Shell>) -> Running,
}

/// An actor of any task's type, to be polled until it ends.
pub(super) type Running = Pin<Box<dyn Future<Output = Ended> + Send>>;

impl Registry {
    /// No tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task under `path`.
    pub fn with<T: Task>(mut self, path: &'static str) -> Result<Self, RegistryError> {
        if let Some(field) = config::colliding_fields::<T::Config>().first() {
            return Err(RegistryError::FrameworkKey { path, field });
        }
        let kind = TaskKind {
            path,
            stateful: is_stateful::<T>(),
            single: T::SINGLE,
            check_config: |own| config::typed::<T::Config>(own).map(drop),
            check_state: |text| {
                let state: T::State = ron::from_str(text).map_err(|error| error.to_string())?;
                T::check(&state).map_err(|error| error.to_string())
            },
            run: |shell| Box::pin(actor::run::<T>(shell)),
        };
        match self.0.insert(path, kind) {
            None => Ok(self),
            Some(_) => Err(RegistryError::Twice(path)),
        }
    }

    /// Finds a task's code: the built-in of this name, or else the first of `prefixes` that has it.
    #[must_use]
    pub fn resolve(&self, name: &TaskName, prefixes: &[String]) -> Option<TaskKind> {
        let built_in = self.0.get(name.as_str()).filter(|kind| !kind.path.contains("::"));
        let prefixed = || prefixes.iter().find_map(|prefix| self.0.get(format!("{prefix}{name}").as_str()));
        built_in.or_else(prefixed).copied()
    }

    /// Every path, ascending.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

impl TaskKind {
    /// Whether a task of this kind does something sensible without an entry in the config: a stateless one, which
    /// just waits for messages, and whose config may be empty.
    #[must_use]
    pub fn runs_without_config(&self) -> bool {
        !self.stateful && self.check_config(&Map::new()).is_ok()
    }

    /// Whether the task's own part of a config makes sense; all that is wrong with it.
    pub fn check_config(&self, own: &Map) -> Result<(), Vec<PathFault>> {
        (self.check_config)(own)
    }

    /// Whether `text` is a state that a task of this kind takes; the reason if not.
    pub fn check_state(&self, text: &str) -> Result<(), String> {
        (self.check_state)(text)
    }
}
