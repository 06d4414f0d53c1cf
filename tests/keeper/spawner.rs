//! The spawner, and what it refuses.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use multimodule::process::{Argument, ProcessIdentity, SpawnError};
use multimodule::restart::When;
use nix::sys::signal::Signal;

use crate::world::{World, argument, ended, new_spawner, policy, signal, wait_for};

#[test]
fn a_name_has_one_keeper_at_a_time() {
    let mut world = World::new();
    world.keep("exec sleep 600", policy(When::Always, 3));
    let record = world.record();
    let order = world.order("exit 1", policy(When::Always, 3));
    assert!(matches!(world.spawn(&order), Err(SpawnError::Busy(name)) if name.as_str() == "T"));
    assert_eq!(world.record(), record);
}

#[test]
fn a_spawner_that_is_killed_is_noticed_and_another_does_its_work() {
    let mut world = World::new();
    let order = world.order("exec sleep 600", policy(When::Always, 3));
    assert!(!world.spawner.is_gone());
    let spawner = ProcessIdentity::of(world.spawner.pid()).unwrap().unwrap();
    signal(&spawner, Signal::SIGKILL);
    wait_for("the end of the spawner", || world.spawner.is_gone().then_some(()));
    assert!(matches!(world.spawn(&order), Err(SpawnError::Gone(_))));
    world.spawner = new_spawner();
    world.spawn(&order).unwrap();
}

#[test]
fn a_spawner_ends_with_its_daemon_and_its_keepers_do_not() {
    let mut world = World::new();
    let keeper = world.keep("exec sleep 600", policy(When::Always, 3));
    let spawner = ProcessIdentity::of(world.spawner.pid()).unwrap().unwrap();
    drop(std::mem::replace(&mut world.spawner, new_spawner()));
    ended(&spawner);
    assert!(keeper.exists().unwrap());
    assert!(world.record().host_identity().exists().unwrap());
}

#[test]
fn a_spawner_whose_socket_closes_or_is_none_ends_by_itself() {
    let program = env!("CARGO_BIN_EXE_multimodule");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = Command::new(program);
    let mut child = command.arg0("multimodule spawner").stdin(std::os::fd::OwnedFd::from(theirs)).spawn().unwrap();
    drop(command);
    drop(ours);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut command = Command::new(program);
    let output = command.arg0("multimodule spawner").stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("multimodule spawner: "));
}

#[test]
fn an_order_that_cannot_be_is_refused_and_the_next_one_is_not() {
    let mut world = World::new();
    let good = world.order("exec sleep 600", policy(When::Always, 3));
    let mut relative = good.clone();
    relative.state_dir = argument("state");
    assert!(matches!(world.spawn(&relative), Err(SpawnError::Order(_))));
    let mut huge = good.clone();
    huge.environment = vec![Argument::new("x".repeat(5 << 20)).unwrap()];
    assert!(matches!(world.spawn(&huge), Err(SpawnError::Order(_))));
    let mut nowhere = good.clone();
    nowhere.state_dir = argument("/proc/nowhere");
    let text = world.spawn(&nowhere).unwrap_err().to_string();
    assert!(text.contains("T gets no keeper") && text.contains("/proc/nowhere"), "{text}");
    world.spawn(&good).unwrap();
}
