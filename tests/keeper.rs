//! Keepers, made by the real binary as the spawner, with shells as hosts.
#![expect(clippy::unwrap_used, reason = "a panic is a test's verdict")]

#[path = "keeper/caps.rs"]
mod caps;
#[path = "keeper/ends.rs"]
mod ends;
#[path = "keeper/kills.rs"]
mod kills;
#[path = "keeper/restarts.rs"]
mod restarts;
#[path = "keeper/shape.rs"]
mod shape;
#[path = "keeper/spawner.rs"]
mod spawner;
#[path = "keeper/world.rs"]
mod world;
