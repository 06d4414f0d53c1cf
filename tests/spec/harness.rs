//! The harness itself, tried on shells instead of daemons.

use std::fs;
use std::time::{Duration, Instant};

use crate::children::Exit;
use crate::daemon::Daemon;
use crate::lines::Stream;
use crate::world::{SOON, World};

fn shell(world: &World, script: &str) -> Daemon {
    world.program("/bin/sh").arg("-c").arg(script).start()
}

/// A shell that prints `ready` and then stays until a signal ends it, without starting a child.
const STAYS: &str = "mkfifo gate; echo ready; read -r line <gate";

#[test]
fn a_line_is_waited_for_on_both_streams() {
    let world = World::new();
    let daemon = shell(&world, "echo one; echo two >&2; exit 3");
    daemon.wait_for("one", SOON);
    daemon.wait_for("two", SOON);
    let mut lines = daemon.lines();
    lines.sort_by_key(|line| line.stream == Stream::Error);
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(daemon.stdout(), "one\n");
}

#[test]
fn a_line_after_another_is_told_from_one_before() {
    let world = World::new();
    let daemon = shell(&world, "echo tick; echo change; echo tick");
    let change = daemon.wait_for("change", SOON);
    assert_eq!(daemon.wait_for_after(change, "tick", SOON), change + 1);
}

#[test]
#[should_panic(expected = "it printed 1 lines\n  Out: hello")]
fn a_line_that_cannot_come_any_more_fails_at_once_with_all_that_came() {
    let world = World::new();
    shell(&world, "echo hello").wait_for("goodbye", Duration::from_secs(600));
}

#[test]
fn the_exit_code_is_told() {
    let world = World::new();
    assert_eq!(shell(&world, "exit 78").exit_code(SOON), 78);
}

#[test]
fn interrupt_terminate_and_kill_reach_the_child() {
    let actions: [fn(&Daemon); 3] = [Daemon::interrupt, Daemon::terminate, Daemon::kill];
    for (action, signal) in actions.into_iter().zip([2, 15, 9]) {
        let world = World::new();
        let daemon = shell(&world, STAYS);
        daemon.wait_for("ready", SOON);
        action(&daemon);
        assert_eq!(daemon.exit(SOON), Exit::Signal(signal));
        action(&daemon);
    }
}

#[test]
fn a_daemon_that_goes_out_of_scope_is_killed_and_reaped() {
    let world = World::new();
    let daemon = shell(&world, STAYS);
    daemon.wait_for("ready", SOON);
    let proc = format!("/proc/{}", daemon.pid());
    assert!(fs::exists(&proc).unwrap());
    drop(daemon);
    assert!(!fs::exists(&proc).unwrap());
}

#[test]
fn an_end_that_does_not_come_is_given_up_at_the_deadline() {
    let world = World::new();
    let daemon = shell(&world, STAYS);
    let begin = Instant::now();
    let given_up = std::panic::catch_unwind(|| daemon.exit(Duration::from_millis(50)));
    assert!(given_up.is_err());
    assert!(begin.elapsed() < SOON);
}

#[test]
fn a_command_is_run_to_its_end() {
    let world = World::new();
    let outcome = world.run("/bin/sh", &["-c", "echo out; echo err >&2; exit 65"]);
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (65, "out\n", "err\n"));
}

#[test]
fn everything_runs_in_a_world_of_its_own() {
    let (world, other) = (World::new(), World::new());
    let outcome = world.run("/bin/sh", &["-c", "pwd; echo $MULTIMODULE_TRANSIT; echo $HOME"]);
    let expected = format!("{0}\n{1}\n{0}/home\n", world.path().display(), world.transit().display());
    assert_eq!(outcome.stdout, expected);
    assert_ne!(world.path(), other.path());
    assert_eq!(world.state(), world.path().join("state"));
}

#[test]
fn the_config_is_written_whole_and_named_on_the_command_line() {
    let world = World::new();
    let echo = world.program("/bin/echo").config("{ A => {} }").prefix("mytasks::").env("X", "1").start();
    echo.wait_for(&format!("-c {} -p mytasks::", world.config_path().display()), SOON);
    world.write_config("{ B => {} }");
    assert_eq!(fs::read_to_string(world.config_path()).unwrap(), "{ B => {} }");
    assert_eq!(fs::read_dir(world.path().join("conf")).unwrap().count(), 1);
}

#[test]
fn the_binaries_are_there() {
    let world = World::new();
    for outcome in [world.strans(&["--version"]), world.rtrans(&["--version"]), world.qtrans(&["--version"])] {
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }
    assert_eq!(world.daemon().arg("--version").start().exit_code(SOON), 0);
}
