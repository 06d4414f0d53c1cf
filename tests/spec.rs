//! Promises to users, kept by the real binaries. A spec is: a world of its own, input, action, verdict.
//!
//! Nothing here sleeps: a spec waits for the line or the exit that it is about, with a deadline.

#[path = "spec/children.rs"]
mod children;
#[path = "spec/daemon.rs"]
mod daemon;
#[path = "spec/harness.rs"]
mod harness;
#[path = "spec/lines.rs"]
mod lines;
#[path = "spec/packages.rs"]
mod packages;
#[path = "spec/world.rs"]
mod world;
