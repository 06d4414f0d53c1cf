//! When an ended host is started again: policy, backoff, and the budget after which it is parked.
//!
//! Pure: who calls it brings the clock and the random number, and does what is decided.

mod decide;
mod policy;

pub use decide::{Decision, End, UnaskedEnd, decide, keep_in_window};
pub use policy::{Backoff, Budget, MAX_BUDGET, Policy, PolicyError, When};
