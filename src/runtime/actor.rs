//! The loop of an actor: what its shell says is next, done by its cell. The only generic code of the runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cell::{self, Cell};
use super::delivery::Origin;
use super::guard::guarded;
use super::secrets::config_of;
use super::shell::Shell;
use super::watch::Turn;
use super::work::{Ended, Input, Work};
use crate::message::Message;
use crate::sdk::{CommitRequest, Result, Task};
use crate::value::{Map, View};

/// What became of a call into a task: its own result, or the text of its panic.
pub(super) type Outcome = std::result::Result<Result, String>;

/// Runs a task until it is told to end.
pub(super) async fn run<T: Task>(mut shell: Box<Shell>) -> Ended {
    let first = |own: &Map| {
        let config = config_of::<T>(own).map_err(|faults| cell::text_of(&faults))?;
        cell::encode::<T>(&T::initial_state(&config))
    };
    if let Err(ended) = Box::pin(shell.wait_for_secrets()).await {
        return ended;
    }
    // What happens once or seldom is boxed: ten thousand idle actors hold room only for what they do most.
    let state = match Box::pin(shell.open(&first)).await {
        Ok(state) => state,
        Err(ended) => return ended,
    };
    // The config may have changed while the task waited for its queue.
    let own = shell.own().clone();
    match Cell::<T>::new(shell.name().clone(), &own, state.as_deref()) {
        Ok(cell) => Actor { turn: shell.turn().clone(), shell, cell, yielded: Instant::now() }.run().await,
        Err(faults) => shell.failed(&cell::text_of(&faults)),
    }
}

struct Actor<T: Task> {
    shell: Box<Shell>,
    cell: Cell<T>,
    turn: Arc<Turn>,
    /// When it last let others run after a tick.
    yielded: Instant,
}

/// Ticks in a row may keep the others of their thread waiting for so long: a yield wakes another thread, which finds
/// nothing to do, and costs as much as some hundred small messages.
const TICKS_IN_A_ROW: Duration = Duration::from_millis(1);

/// The calls in which a task may commit.
enum Call {
    Start,
    Tick(String),
    Stop,
}

impl<T: Task> Actor<T> {
    async fn run(mut self) -> Ended {
        Box::pin(self.start()).await;
        loop {
            match self.shell.next().await {
                Work::Message(input) => self.message(input).await,
                Work::Tick(timer) => {
                    Box::pin(self.call(Call::Tick(timer))).await;
                    self.let_others_run().await;
                }
                Work::Commit => {
                    let began = Instant::now();
                    self.shell.begin_commit(self.cell.encode(), began);
                }
                Work::Configure(own) => match self.cell.configure(&own) {
                    Ok(()) => Box::pin(self.start()).await,
                    Err(faults) => {
                        let faults = cell::text_of(&faults);
                        self.shell.error(&format!("the changed config is refused, what ran goes on: {faults}"));
                    }
                },
                Work::Stop => {
                    if !self.shell.is_copy() {
                        Box::pin(self.call(Call::Stop)).await;
                    }
                    let state = self.cell.encode();
                    return Box::pin(self.shell.close(state)).await;
                }
            }
        }
    }

    /// Ticks that take longer than their interval would never let the others run.
    async fn let_others_run(&mut self) {
        if self.yielded.elapsed() >= TICKS_IN_A_ROW {
            tokio::task::yield_now().await;
            self.yielded = Instant::now();
        }
    }

    /// Calls the task's `start`, which is for its home.
    async fn start(&mut self) {
        if !self.shell.is_copy() {
            self.call(Call::Start).await;
        }
    }

    async fn message(&mut self, input: Input) {
        if self.shell.is_stateful()
            && let Some(transform) = transform_of(&input.message)
        {
            let outcome = Ok(self.cell.transform(&transform));
            return self.settle(outcome, Some(input)).await;
        }
        let Cell { task, ctx } = &mut self.cell;
        self.shell.begin(&input);
        let handling = input.origin.as_ref().and_then(Origin::begin);
        let outcome = guarded(&self.turn, task.message(input.message.clone(), ctx)).await;
        drop(handling);
        self.shell.returned();
        self.settle(outcome, Some(input)).await;
    }

    async fn call(&mut self, call: Call) {
        let Self { shell, cell: Cell { task, ctx }, turn, .. } = self;
        // One commit at a time: the activation waits for it.
        let (committer, mut requests) = mpsc::channel(1);
        ctx.core.committer = shell.is_stateful().then_some(committer);
        let outcome = match &call {
            Call::Start => drive(shell, &mut requests, guarded(turn, task.start(ctx))).await,
            Call::Tick(timer) => drive(shell, &mut requests, guarded(turn, task.tick(timer, ctx))).await,
            Call::Stop => drive(shell, &mut requests, guarded(turn, task.stop(ctx))).await,
        };
        ctx.core.committer = None;
        self.settle(outcome, None).await;
    }

    async fn settle(&mut self, outcome: Outcome, input: Option<Input>) {
        if self.shell.settle(outcome, input, &mut self.cell.ctx.core).await {
            Box::pin(self.start_again()).await;
        }
    }

    /// After a panic: a new value, with the state of the last record. If its start panics too, the next message
    /// meets a value as `Default` made it; a loop of panics is not tried.
    async fn start_again(&mut self) {
        let state = self.shell.roll_back().await;
        self.cell.rebuild(state.as_deref());
        if self.shell.is_copy() {
            return;
        }
        let Cell { task, ctx } = &mut self.cell;
        let started = guarded(&self.turn, task.start(ctx)).await;
        self.shell.settle(started, None, &mut self.cell.ctx.core).await;
    }
}

/// Drives a call, doing the commits that it asks for meanwhile.
async fn drive<F: Future<Output = Outcome>>(
    shell: &mut Shell,
    requests: &mut mpsc::Receiver<CommitRequest>,
    call: F,
) -> Outcome {
    let mut call = pin!(call);
    loop {
        tokio::select! {
            biased;
            outcome = &mut call => return outcome,
            Some(request) = requests.recv() => shell.commit_now(request).await,
        }
    }
}

/// The transform that a message asks to be applied to the state: `.multimodule: {transform: {...}}`.
fn transform_of(message: &Message) -> Option<crate::value::Value> {
    let transform = message.get(".multimodule")?.as_map()?.get("transform")?;
    Some(View::to_value(transform))
}
