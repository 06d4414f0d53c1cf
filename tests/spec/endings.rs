//! How a daemon ends, and what becomes of its external tasks and of what they have started.

use std::time::{Duration, Instant};

use multimodule::process::ProcessIdentity;

use crate::daemon::Daemon;
use crate::processes::lives;
use crate::world::{SOON, World};

const CONFIG: &str = "{ Counter => {}, Echo => {} }";
/// A child that stays, one in its own session, and one that ignores what asks it to end.
const CHILDREN: [&str; 3] =
    ["exec sleep 600", "exec setsid sleep 600", "trap '' TERM INT HUP; echo heeds no TERM; while :; do sleep 1; done"];
/// The keeper's grace, and time for its kills.
const GRACE: Duration = Duration::from_secs(2);

fn cleanly_exit(world: &World, exit_externals: &str) {
    let message = format!("{{'.multimodule' => {{control => [{{type => 'cleanly_exit'{exit_externals}}}]}}}}");
    world.send(&message, "MultiModule_control");
}

/// A daemon with an external task that has children; keeper, host and children.
fn start(world: &World) -> (Daemon, Vec<ProcessIdentity>) {
    let daemon = world.own_daemon(CONFIG).start();
    daemon.wait_for("Counter: started", SOON);
    let record = world.process("Counter");
    let mut all = vec![record.keeper_identity(), record.host_identity()];
    for (number, child) in (0..).zip(CHILDREN) {
        let before = daemon.lines().len();
        world.send(&format!("{{from => 'a', n => {number}, child => \"{child}\"}}"), "Counter");
        let line = daemon.wait_for_after(before, "has child ", SOON);
        daemon.wait_for(&format!("has heard {}.", number + 1), SOON);
        let pid = daemon.lines()[line].text.clone();
        let pid = pid.trim_start_matches("has child ").trim_end_matches('.').parse().expect("a pid");
        all.push(ProcessIdentity::of(pid).expect("/proc tells").expect("the child lives"));
    }
    // Before that it would heed it.
    daemon.wait_for("heeds no TERM", SOON);
    (daemon, all)
}

fn stay(end: fn(&World, &Daemon)) {
    let world = World::new();
    let (daemon, all) = start(&world);
    end(&world, &daemon);
    assert_eq!(daemon.exit_code(SOON), 0);
    assert!(all.iter().all(lives), "{daemon:?}");
    world.send("{from => 'a', n => 3}", "Counter");
    world
        .wait_for("a message counted without a daemon", || world.log("Counter").contains("has heard 4.").then_some(()));
}

fn end(end: fn(&World, &Daemon)) {
    let world = World::new();
    let (daemon, all) = start(&world);
    let begin = Instant::now();
    end(&world, &daemon);
    assert_eq!(daemon.exit_code(SOON), 0);
    assert!(begin.elapsed() >= GRACE, "who does not heed TERM has its time: {:?}", begin.elapsed());
    let left: Vec<_> = all.iter().filter(|process| lives(process)).collect();
    assert!(left.is_empty(), "{left:?} of {all:?}\n{daemon:?}");
    assert_eq!(world.saved_state("Counter"), "({\"a\":[0,1,2]})");
    assert_eq!(world.waiting("Counter"), 0);
    // Who ends in order leaves nothing that the next daemon would have to find out about.
    let daemon = world.own_daemon(CONFIG).start();
    world.send("{from => 'a', n => 3}", "Counter");
    daemon.wait_for("has heard 4.", SOON);
    for outcome in ["adopted", "gone", "ended while away"] {
        assert!(!daemon.lines().iter().any(|line| line.text.contains(outcome)), "{daemon:?}");
    }
}

#[test]
fn sigterm_leaves_an_external_task_and_its_children_alone() {
    stay(|_, daemon| daemon.terminate());
}

#[test]
fn cleanly_exit_leaves_an_external_task_and_its_children_alone() {
    stay(|world, _| cleanly_exit(world, ""));
}

#[test]
fn sigint_ends_everything_below_the_keepers() {
    end(|_, daemon| daemon.interrupt());
}

#[test]
fn cleanly_exit_with_exit_externals_ends_everything_below_the_keepers() {
    end(|world, _| cleanly_exit(world, ", exit_externals => 1"));
}

#[test]
fn a_daemon_that_can_tell_nobody_ends_in_order_all_the_same() {
    let world = World::new();
    world.write_config("{ Example2 => {} }");
    let (program, config) = (env!("CARGO_BIN_EXE_multimodule"), world.config_path());
    let script = format!("exec {program} -c {} -p mytasks:: 2>/dev/full", config.display());
    let daemon = world.program("/bin/sh").arg("-c").arg(script).start();
    daemon.wait_for(" runs ", SOON);
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
}
