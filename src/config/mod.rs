//! Configs: from text in one of three forms to checked entries, with every fault shown at its place.
//!
//! ```text
//! file ──► Document ──► root ──► Overlay ──► effective root ──► Config ──► Plan (what changes)
//!          form, text            ▲                              tasks, router
//!                       message ─┘
//! ```
//!
//! A reader of a part of a config (the router, a task) tells what is wrong as [`PathFault`]s, without knowing the
//! text; [`Document`] shows them at their places, all at once.
//!
//! It reads no file and no clock, and knows neither what tasks there are nor what a route may say.

mod document;
mod entries;
mod fault;
mod form;
mod framework;
mod json;
mod limits;
mod monitoring;
mod notes;
mod outline;
mod overlay;
mod path;
mod perl;
mod perl_scalar;
mod place;
mod plan;
mod pool;
mod quantity;
mod queue_settings;
mod restart;
mod ron_form;
mod running;
mod scan;
mod secret;
mod suggest;
mod typed;

#[cfg(test)]
mod document_tests;
#[cfg(test)]
mod round_trip_tests;

pub use document::{Document, MAX_CONFIG_BYTES, parse_message};
pub use entries::{Config, DAEMON, Entry, OUT_OF_BAND, ROUTER};
pub use fault::{Fault, Faults};
pub use form::Form;
pub use framework::{Delivery, Framework, FrameworkKey, MAIN, is_framework_key};
pub use limits::LimitSettings;
pub use overlay::Overlay;
pub use path::{PathFault, Step, ValuePath};
pub use place::Place;
pub use plan::Plan;
pub use pool::{Balance, MAX_WORKERS, Workers};
pub use quantity::{SIZE_ADVICE, bytes};
pub use queue_settings::{Fsync, Overflow, QueueSettings};
pub use restart::{RestartSettings, RestartWhen};
pub use running::{RunningConfig, RunningFault};
pub use secret::{SecretFault, SecretReference};
pub use suggest::{advice, did_you_mean};
pub use typed::{colliding_fields, typed};
