//! The state of a stateful task, shown and set.
//!
//! Invariant: a state is set only while nobody runs the task: whoever sets it holds the task's lock meanwhile.

use std::path::Path;

use super::reports::{Done, StateReport};
use super::requests::{Refusal, RefusalKind};
use super::steering::done;
use crate::name::TaskName;
use crate::process::OwnerLock;
use crate::runtime::TaskKind;
use crate::store::{Record, Recovered, StoreError, TaskStore, new_epoch, peek};

/// The state in the newest whole record. Blocks.
pub(super) fn show(state_dir: &Path, task: &TaskName) -> Result<StateReport, Refusal> {
    let record = peek(state_dir, task).map_err(|error| Refusal::new(RefusalKind::Failed, error))?;
    let none = || Refusal::new(RefusalKind::NotFound, format!("{task} has no state yet"));
    let Record { n, state, .. } = record.ok_or_else(none)?;
    Ok(StateReport { task: task.to_string(), record: n, state })
}

/// Writes a record with another state, and all else as it was. Blocks.
pub(super) fn set(state_dir: &Path, task: &TaskName, kind: &TaskKind, state: String) -> Result<Done, Refusal> {
    let invalid = |reason: String| Refusal::new(RefusalKind::Invalid, format!("no state of {task}: {reason}"));
    kind.check_state(&state).map_err(invalid)?;
    let failed = |error: StoreError| Refusal::new(RefusalKind::Failed, error);
    let owner = OwnerLock::try_take(state_dir, task).map_err(|error| Refusal::new(RefusalKind::Failed, error))?;
    let Some(_owner) = owner else {
        let text = format!("{task} runs; `multimodule stop {task}` comes first");
        return Err(Refusal::new(RefusalKind::Conflict, text));
    };
    let mut store = TaskStore::open(state_dir, task).map_err(failed)?;
    let record = match store.recover(&mut |record| kind.check_state(&record.state)).map_err(failed)? {
        Recovered::Fresh => Record { epoch: new_epoch(), n: 1, state, ..Record::default() },
        // What is to go out with this record bears its number: with another number it might go out twice.
        Recovered::Taken(taken) if !taken.record.outbox.is_empty() => {
            let text = format!("{task} has output under way in its newest record (delivery: exactly_once)");
            return Err(Refusal::new(RefusalKind::Conflict, text));
        }
        Recovered::Taken(taken) => {
            let epoch = if taken.rolled_back() { new_epoch() } else { taken.record.epoch };
            Record { epoch, n: taken.record.n + 1, state, ..taken.record }
        }
    };
    store.write(&record).map_err(failed)?;
    store.sync().map_err(failed)?;
    Ok(done(format!(
        "{task} has another state, in its record {}; `multimodule start {task}` goes on from it",
        record.n
    )))
}
