//! Where tasks run: in the daemon, in a process of their own or of several, or in a pool of workers.
//!
//! ```text
//!   a task's entry ─┐
//!   its code says:  ├─► place ─► Place ─┐
//!   state, SINGLE  ─┘                   ├─► Placement::of ─► Placement ─► Changes (old, new)
//!   the other tasks' ───────────────────┘    all faults
//! ```
//!
//! Invariant: in a placement a process's name means one thing: no task of that name runs elsewhere, no pool's worker
//! has it, and it is not the daemon's.
//!
//! Pure: it starts nothing, and knows neither what runs nor how many processors there are.

mod changes;
mod clashes;
mod counts;
mod place;
mod placement;

#[cfg(test)]
mod tests;

pub use changes::{Changes, Move, ProcessChange};
pub use counts::Counts;
pub use place::{MAX_PROCESS_NAME_BYTES, Nature, Place, place, pool_of, worker_name};
pub use placement::{Candidate, Placed, Placement, Process};
