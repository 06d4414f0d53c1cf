//! What arrives on the control queue, read: `{".multimodule": {config: {..}, control: [..]}}`.

use super::running::Externals;
use crate::message::Message;
use crate::name::TaskName;
use crate::value::{Map, MapView, View};

/// What a control message asks for, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Control {
    /// Entries that overlay the file's.
    pub(super) config: Option<Map>,
    pub(super) commands: Vec<Command>,
}

/// One entry of `control`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// End in order.
    Exit(Externals),
    /// Set the debug level.
    Debug { level: u32 },
    /// Renew external processes that run another program than the daemon: all, or that of this task.
    Renew { task: Option<TaskName> },
}

/// What is wrong with a control message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message on the control queue was not understood: {0}; it was: {1}")]
pub(super) struct ControlFault(String, String);

impl Control {
    /// Reads a message, whole or not at all.
    pub(super) fn read(message: &Message) -> Result<Self, ControlFault> {
        read(message).map_err(|reason| ControlFault(reason, message.to_string()))
    }
}

fn read(message: &Message) -> Result<Control, String> {
    let body = message.get(".multimodule").ok_or("it has no key `.multimodule`")?;
    let body = body.as_map().ok_or_else(|| format!("`.multimodule` is {}, not a map", body.kind()))?;
    let mut control = Control::default();
    for (key, value) in body.iter() {
        match (key, value) {
            ("config", View::Map(config)) => control.config = Some(config.to_map()),
            ("control", View::List(commands)) => {
                control.commands = commands.iter().map(command).collect::<Result<_, _>>()?;
            }
            ("config" | "control", other) => return Err(format!("`{key}` is {}", other.kind())),
            (other, _) => return Err(format!("`.multimodule.{other}` is neither `config` nor `control`")),
        }
    }
    Ok(control)
}

fn command(command: View<'_>) -> Result<Command, String> {
    let fields = command.as_map().ok_or_else(|| format!("a control is {}, not a map", command.kind()))?;
    let kind = fields.get("type").and_then(View::as_text).ok_or("a control has no `type`")?;
    match kind {
        // The original's documents have it both ways.
        "cleanly_exit" | "exit_cleanly" => Ok(Command::Exit(externals(fields))),
        "debug" => Ok(Command::Debug { level: level(fields)? }),
        "renew" => Ok(Command::Renew { task: task(fields)? }),
        other => Err(format!("{other:?} is no type of control: cleanly_exit, debug and renew are")),
    }
}

fn task(fields: MapView<'_>) -> Result<Option<TaskName>, String> {
    let Some(name) = fields.get("task") else { return Ok(None) };
    let name = name.as_text().ok_or("the `task` of `renew` is no text")?;
    TaskName::new(name).map(Some).map_err(|error| error.to_string())
}

fn externals(fields: MapView<'_>) -> Externals {
    if fields.get("exit_externals").is_some_and(|value| value.is_true()) { Externals::End } else { Externals::Stay }
}

fn level(fields: MapView<'_>) -> Result<u32, String> {
    let level = fields.get("level").and_then(View::as_i64).ok_or("`debug` needs a `level`, a number")?;
    u32::try_from(level).map_err(|_| format!("{level} is no debug level: 0, 1 and 2 are"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_message;

    fn check(text: &str, expected: Result<Control, &str>) {
        let message = Message::new(parse_message("a test", text).unwrap());
        match (Control::read(&message), expected) {
            (Ok(control), Ok(expected)) => assert_eq!(control, expected),
            (Err(fault), Err(part)) => assert!(fault.to_string().contains(part), "{fault}"),
            (read, _) => panic!("{text}: {read:?}"),
        }
    }

    #[test]
    fn both_spellings_of_an_orderly_end_are_understood() {
        let exit = |externals| Control { commands: vec![Command::Exit(externals)], ..Control::default() };
        let with = "{'.multimodule' => {control => [{type => 'cleanly_exit', exit_externals => 1}]}}";
        check(with, Ok(exit(Externals::End)));
        check(r#"{".multimodule": {"control": [{"type": "exit_cleanly"}]}}"#, Ok(exit(Externals::Stay)));
    }

    #[test]
    fn what_is_not_understood_is_refused_whole_with_its_reason() {
        check("{a => 1}", Err("no key `.multimodule`"));
        check("{'.multimodule' => {confg => {}}}", Err("confg"));
        check("{'.multimodule' => {config => 3}}", Err("`config` is an integer"));
        check("{'.multimodule' => {control => [{type => 'debug', level => 1}, {type => 'dance'}]}}", Err("dance"));
    }
}
