//! The rules that turn an emitted message into copies on queues.
//!
//! A config's `Router` entry is compiled once into a [`RoutingTable`], which every process shares and none changes.
//! Each sender routes by itself, so nothing here waits, writes, reads a clock or knows what a queue is made of: a
//! table is asked with a message and answers with targets and copies.
//!
//! Invariant: a table is compiled whole or not at all, with every fault told at its place.
//! Invariant: routes apply in their order; what one route's transform changes, the routes after it see.
//! Invariant: the time of [`RoutingTable::route`] does not grow with the routes that test a field of the message
//! for another value.
//!
//! It does not know which queues exist, whether anybody reads them, or how a copy gets there.
//!
//! | file | holds |
//! |---|---|
//! | `table` | the table, and the way of one message through it |
//! | `compile` | from the config's value to the table |
//! | `pattern`, `special` | a route's `match`: tests on values, and regular expressions among them |
//! | `transform`, `template` | a route's `transform`: fields that are set, and texts made from the message |
//! | `index` | which routes may match a message at all |
//! | `hops` | `static_forwards`: routes that a message brings along |
//! | `faults` | collecting what is wrong with a config |

mod compile;
mod faults;
mod hops;
mod index;
mod pattern;
mod special;
mod table;
mod template;
mod transform;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

pub use hops::{BadStaticForwards, STATIC_FORWARDS, STATIC_FORWARDS_LOG};
pub use pattern::Match;
pub use table::{QueueIndex, RoutingTable, Target};
pub use transform::Transform;
