//! What is left half done when processes are killed, and who finishes it.

use multimodule::process::ProcessIdentity;
use nix::sys::signal::Signal;

use crate::processes::{kill, lives, signal};
use crate::world::{SOON, World};

const CONFIG: &str = "{ Counter => {}, Echo => {} }";

#[test]
fn a_task_whose_end_the_last_daemon_has_asked_for_runs_again_if_the_next_one_wants_it() {
    let world = World::new();
    let daemon = world.own_daemon(CONFIG).start();
    daemon.wait_for("Counter: started", SOON);
    let record = world.process("Counter");
    daemon.kill();
    daemon.exit(SOON);
    // It ends only when it is killed, 2 s after the keeper was asked: the next daemon finds both alive.
    signal(&record.host_identity(), Signal::SIGSTOP);
    signal(&record.keeper_identity(), Signal::SIGTERM);
    let daemon = world.own_daemon(CONFIG).start();
    daemon.wait_for("tasks by", SOON);
    assert!(lives(&record.keeper_identity()), "the daemon is there before the end");
    world.wait_ended(&[record.keeper_identity(), record.host_identity()]);
    world.wait_for("a new keeper", || world.record("Counter").filter(|new| new.keeper != record.keeper));
    world.send("{from => 'a', n => 0}", "Counter");
    daemon.wait_for("has heard 1.", SOON);
}

#[test]
fn what_a_host_has_started_ends_when_it_was_killed_together_with_its_keeper() {
    let world = World::new();
    let daemon = world.own_daemon(CONFIG).start();
    daemon.wait_for("Counter: started", SOON);
    let record = world.process("Counter");
    world.send("{from => 'a', n => 0, child => \"exec setsid sleep 600\"}", "Counter");
    let line = daemon.wait_for("has child ", SOON);
    daemon.wait_for("has heard 1.", SOON);
    let pid = daemon.lines()[line].text.clone();
    let pid = pid.trim_start_matches("has child ").trim_end_matches('.').parse().unwrap();
    let child = ProcessIdentity::of(pid).unwrap().unwrap();
    kill(&record.keeper_identity());
    kill(&record.host_identity());
    world.wait_for("a new keeper", || world.record("Counter").filter(|new| new.keeper != record.keeper));
    assert!(!lives(&child), "what the last one has started is ended before the next one starts");
}

#[test]
fn a_config_that_could_not_be_handed_on_is_applied_when_the_disk_takes_it() {
    let world = World::new();
    let daemon = world.own_daemon(CONFIG).start();
    daemon.wait_for("Counter: started", SOON);
    // Where the file is written beside, nothing can be written.
    let beside = world.state().join(".running.conf.tmp");
    std::fs::create_dir(&beside).unwrap();
    world.write_config("{ Counter => {}, Echo => { label => 'changed' } }");
    daemon.wait_for("the changed config is rolled back", SOON);
    std::fs::remove_dir(&beside).unwrap();
    daemon.wait_for("Echo: started changed", SOON);
}
