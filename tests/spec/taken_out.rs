//! A task that broke a limit and was taken out of its process stays out of it, whatever else goes wrong meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::world::{Outcome, SOON, World};

/// Windows of 3 s, the shortest, on a busy machine.
const STOPPED: Duration = Duration::from_secs(30);
/// Some looks of the daemon, a second apart.
const LOOKS: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(50);

/// A config in which `Counter` is stopped for its failures.
fn config(counter: &str) -> String {
    format!(
        "{{ MultiModule => {{
            windows => {{ one_minute => '3s', five_minutes => '6s' }},
            thresholds => {{ 'local.admin.task_message_failure' =>
                {{ levels => [ {{ name => 'failsafe', threshold => 0.5 }} ], can_failsafe => 1 }} }},
        }}, Counter => {{ {counter} }} }}"
    )
}

fn ask(world: &World, words: &[&str]) -> Outcome {
    world.ask(words)
}

fn state(world: &World) -> String {
    let outcome = ask(world, &["status", "Counter", "--json"]);
    let status: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    status["state"].as_str().expect("a word").to_owned()
}

fn started(daemon: &Daemon) -> usize {
    daemon.lines().iter().filter(|line| line.text.contains("Counter: started")).count()
}

/// A daemon with `Counter` in it, which has failed until it was stopped for that.
fn stopped(world: &World) -> Daemon {
    let daemon = world.own_daemon(&config("is_external => 0")).start();
    daemon.wait_for("Counter: started", SOON);
    let begin = Instant::now();
    while !daemon.lines().iter().any(|line| line.text.contains("Counter: failsafe: ")) {
        assert!(begin.elapsed() < STOPPED, "it fails without end and goes on: {daemon:?}");
        world.send("{from => 'a', n => 1, fail => 1}", "Counter");
        std::thread::park_timeout(PAUSE);
    }
    daemon
}

fn stays_out(world: &World, daemon: &Daemon) {
    let begin = Instant::now();
    while begin.elapsed() < LOOKS {
        assert_eq!((state(world).as_str(), started(daemon)), ("failsafe", 1), "{daemon:?}");
        std::thread::park_timeout(PAUSE);
    }
}

#[test]
fn it_stays_out_where_why_it_is_cannot_be_written_and_that_is_written_later() {
    let world = World::new();
    let (in_the_way, file) = (world.state().join(".Counter.failsafe.tmp"), world.state().join("Counter.failsafe"));
    fs::create_dir_all(&in_the_way).expect("the world is writable");
    let daemon = stopped(&world);
    daemon.wait_for("until its failsafe is written, which is tried again each second", SOON);
    stays_out(&world, &daemon);
    fs::remove_dir(&in_the_way).expect("it is empty");
    world.wait_for("what says why", || file.exists().then_some(()));
    stays_out(&world, &daemon);
    assert_eq!(ask(&world, &["failsafe", "clear", "Counter"]).code, 0);
    daemon.wait_for("Counter: its failsafe is cleared, it runs again", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}

#[test]
fn it_is_cleared_also_where_why_it_is_out_was_never_written() {
    let world = World::new();
    fs::create_dir_all(world.state().join(".Counter.failsafe.tmp")).expect("the world is writable");
    let daemon = stopped(&world);
    daemon.wait_for("until its failsafe is written", SOON);
    assert_eq!(ask(&world, &["failsafe", "clear", "Counter"]).code, 0);
    daemon.wait_for("Counter: its failsafe is cleared, it runs again", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}

#[test]
fn it_stays_out_where_a_config_that_moves_it_is_rolled_back() {
    let world = World::new();
    let daemon = stopped(&world);
    world.wait_for("what says why", || world.state().join("Counter.failsafe").exists().then_some(()));
    let in_the_way = world.state().join(".running.conf.tmp");
    fs::create_dir(&in_the_way).expect("the world is writable");
    world.write_config(&config(""));
    daemon.wait_for("the changed config is rolled back", SOON);
    stays_out(&world, &daemon);
    fs::remove_dir(&in_the_way).expect("it is empty");
    daemon.wait_for("Counter: parked", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}
