//! A thread of its own for an actor that may block.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::registry::Running;
use super::work::Ended;
use crate::name::TaskName;

/// Runs an actor on a thread of its own, which it may block; timers and wake-ups stay with the runtime. Where the
/// kernel gives none, it runs on the threads of the runtime, which is said.
pub(super) fn run(name: &TaskName, actor: Running) -> JoinHandle<Ended> {
    run_on(thread::Builder::new(), name, actor)
}

fn run_on(thread: thread::Builder, name: &TaskName, actor: Running) -> JoinHandle<Ended> {
    let runtime = runtime::Handle::current();
    let (ended, end) = oneshot::channel();
    // A thread that cannot be made drops what it was to run. An actor that is dropped leaves its neighbours, and whoever
    // wakes it holds the lock that this takes.
    let kept = Arc::new(Mutex::new(Some(actor)));
    let taken = kept.clone();
    // The kernel shows 15 bytes of a thread's name.
    let spawned = thread.name(name.as_str().chars().take(15).collect()).spawn(move || {
        let Some(actor) = take(&taken) else { return };
        let outcome = runtime.block_on(actor);
        // Nobody waits for it if the node is gone.
        ended.send(outcome).unwrap_or_default();
    });
    if let Err(error) = spawned
        && let Some(actor) = take(&kept)
    {
        tracing::error!(
            task = name.as_str(),
            "{name}: no thread of its own ({error}): it blocks the other tasks' threads"
        );
        return tokio::spawn(actor);
    }
    tokio::spawn(async move { end.await.unwrap_or(Ended::Failed) })
}

fn take(kept: &Mutex<Option<Running>>) -> Option<Running> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(thread: thread::Builder) {
        let actor = async { Ended::Orderly };
        let name = TaskName::new("Blocking").unwrap();
        assert_eq!(run_on(thread, &name, Box::pin(actor)).await.unwrap(), Ended::Orderly);
    }

    #[tokio::test]
    async fn an_actor_runs_also_where_no_thread_can_be_made_for_it() {
        check(thread::Builder::new()).await;
        // No address space has room for this stack.
        check(thread::Builder::new().stack_size(1 << 60)).await;
    }
}
