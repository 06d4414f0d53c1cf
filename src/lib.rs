//! MultiModule: many small tasks, one dependable system.
//!
//! The table of modules, lowest layer first. A module uses its own layer and those below, never above;
//! `tests/architecture.rs` checks it, `docs/ARCHITECTURE.md` explains it.

#[cfg(not(all(target_os = "linux", target_endian = "little", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!(
    "MultiModule runs on Linux, x86-64 and aarch64 only: its queues rely on mapped files with 64-bit atomics, \
     open-file-description locks and pidfds"
);

// The tasks below `tasks/` read like a user's own: `use multimodule::sdk::...`.
extern crate self as multimodule;

// ground: what every module may have in it; a macro is known below its module
#[macro_use]
mod failpoint;

// vocabulary: plain data
pub mod codec;
pub mod message;
pub mod name;
pub mod value;

// the face that task code sees
pub mod sdk;

// policy: pure decisions, no I/O, no clock, no tokio
pub mod config;
pub mod limits;
pub mod restart;
pub mod router;
pub mod task;

// mechanism: one outside resource each
pub mod channel;
pub mod link;
pub mod mailbox;
pub mod process;
pub mod secret;
pub mod store;
pub mod transit;
pub mod usage;

// actors: own state, one mailbox each
pub mod monitor;
pub mod runtime;
pub mod supervisor;

// composition: the place that knows everything
pub mod daemon;
pub mod host;

// border: talk, print, exit
pub mod cli;
pub mod control;

#[path = "../tasks/mod.rs"]
pub mod tasks;
