//! A daemon that is busy with a config, or short of something, answers who only looks.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::world::{SOON, World};

/// How long a look at a busy daemon may take.
const AT_ONCE: Duration = Duration::from_secs(1);

const MULTIMODULE: &str = env!("CARGO_BIN_EXE_multimodule");

/// A host that does not answer, and a stateless task that moves while its receiver is that host.
fn config(echo_is_external: bool) -> String {
    format!(
        "{{ Counter => {{}}, Echo => {{ is_external => {} }}, Other => {{}},
           Router => {{ routes => [ {{ match => {{ source => 'Echo' }}, forwards => [ {{ qname => 'Counter' }} ] }} ] }} }}",
        i32::from(echo_is_external)
    )
}

#[test]
fn while_a_config_is_applied_looks_are_answered_at_once_and_changes_when_it_is_done() {
    let world = World::new();
    let daemon = world.own_daemon(&config(false)).start();
    for task in ["Counter", "Echo", "Other"] {
        daemon.wait_for(&format!("{task}: started"), SOON);
    }
    world.send("{from => 'a', n => 1}", "Counter");
    world.wait_for("a saved state", || (world.run(MULTIMODULE, &["state", "show", "Counter"]).code == 0).then_some(()));
    let host = Pid::from_raw(i32::try_from(world.process("Counter").host.pid).expect("a pid"));
    kill(host, Signal::SIGSTOP).expect("it lives");
    world.write_config(&config(true));
    let look = |words: &[&str]| {
        let begin = Instant::now();
        let outcome = world.run(MULTIMODULE, words);
        assert!(begin.elapsed() < AT_ONCE && outcome.code == 0, "{words:?}: {:?}, {outcome:?}", begin.elapsed());
        outcome.stdout
    };
    let status = || serde_json::from_str::<Value>(&look(&["status", "--json"])).expect("an answer");
    let busy_since =
        world.wait_for("a daemon that is busy", || status()["daemon"]["applying_since"].as_str().map(str::to_owned));
    let change = world.program(MULTIMODULE).arg("stop").arg("Other").start();
    for words in [
        &["status"][..],
        &["status", "Counter"],
        &["events", "Other"],
        &["failsafe"],
        &["log", "Counter"],
        &["log"],
        &["state", "show", "Counter"],
    ] {
        look(words);
    }
    assert!(look(&["status"]).contains("a config is being applied"));
    assert_eq!(world.run(MULTIMODULE, &["status", "Cuonter"]).code, 64);
    assert_eq!(status()["daemon"]["applying_since"], busy_since, "all of that was asked meanwhile");
    assert!(change.lines().is_empty());
    kill(host, Signal::SIGCONT).expect("it lives");
    assert_eq!(change.exit_code(SOON), 0);
    assert_eq!(status()["daemon"]["applying_since"], Value::Null);
    let after: Value = serde_json::from_str(&look(&["status", "--json"])).expect("an answer");
    let state = |task: usize| after["tasks"][task]["state"].clone();
    assert_eq!((&after["tasks"][1]["place"], state(2)), (&"external".into(), "stopped".into()), "{after}");
}

#[test]
fn a_daemon_that_has_no_descriptor_left_is_called_all_the_same() {
    let world = World::new();
    let daemon = world.own_daemon("{ Echo => {}, Counter => {} }").with_descriptors(150).start();
    daemon.wait_for("Counter: started", SOON);
    world.send("{leak => 1}", "Echo");
    daemon.wait_for("has no descriptor left.", SOON);
    for _ in 0..5 {
        for words in [&["status"][..], &["status", "Echo"], &["events"], &["log"]] {
            let outcome = world.run(MULTIMODULE, words);
            assert!(outcome.code == 0 && !outcome.stdout.is_empty(), "{words:?}: {outcome:?}");
        }
    }
    let follower = world.program(MULTIMODULE).arg("log").arg("-f").start();
    follower.wait_for("runs 2 tasks", SOON);
    assert_eq!(world.run(MULTIMODULE, &["status"]).code, 0, "who follows is not followed by silence");
}
