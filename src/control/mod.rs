//! The control interface: HTTP and JSON on `STATE/control.sock`, and the client that the command line uses.
//!
//! ```text
//!   client ──socket──► server ─► access  who is it: our user or root, else 403
//!                               ─► routes  what is asked: a table, of which the OpenAPI document is made too
//!                               ─► Call ──► the daemon's event loop ──► Answer ─► answers ─► HTTP
//! ```
//!
//! Invariant: whatever comes, it is answered by an HTTP error with its reason, and takes a bounded amount of memory and
//! time. A task's name from a URL is a name, and never a path.
//!
//! It knows nothing of tasks: it translates.

mod access;
mod answers;
pub mod client;
mod door;
mod follow;
mod log_lines;
mod openapi;
mod routes;
mod server;
#[cfg(test)]
mod tests;

pub use openapi::document;
pub use server::service;
