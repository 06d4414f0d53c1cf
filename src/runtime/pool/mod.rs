//! Pools: a task's queue, dealt out to workers that are processes of their own.
//!
//! ```text
//!   queue TASK ─► Dispatcher ─► Dealer ─┬─► lane task:TASK of queue TASK.1 ─► worker TASK.1
//!                     ▲                 ├─► lane task:TASK of queue TASK.2 ─► worker TASK.2
//!                     │                 └─► lane task:TASK of queue dead        on whom three workers ended
//!                     └── the consumer's lock of a worker that ended, and what it has not finished
//! ```
//!
//! To deal is: append a copy to a worker's lane, tagged with the lane and the position that it comes from; then finish
//! it there; and only then begin the next. So after a crash at most one message stands in both places, and its copy is
//! the last record of some worker's lane, which a `task:` lane keeps. To deal again is the same, from the queue of a
//! worker whose consumer lock is free. The rules are those of `tests/delivery_model/pool.rs`.
//!
//! Invariant: a pool's queue is dealt exactly once, without a state of our own. Who has a message and ends makes it be
//! handled again; a message on which three workers ended goes to `dead`, wherever it was dealt meanwhile.
//!
//! What this does not do: it starts and ends no process. While the daemon is away, workers go on with what they have.

mod choice;
mod crew;
mod dealer;
mod dispatcher;
mod handle;
mod lanes;
mod pauses;
mod rules;

pub(super) use choice::AHEAD;
pub(super) use handle::{PoolHandle, Terms};
pub(super) use lanes::{lane, of_worker};
