//! A reload is a transaction: it is applied, or refused for its faults, or rolled back since something of it cannot be
//! made; whatever it comes to, the exit code and the events say so.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::world::{SOON, World};

const ROLLED_BACK: i32 = 75;
const REFUSED: i32 = 78;

/// What became of configs, in order.
fn outcomes(world: &World) -> Vec<String> {
    let report = world.json(&["events"]);
    let events = report["events"].as_array().expect("a list of events").iter();
    let what = events.map(|event| event["what"].as_str().expect("a word").to_owned());
    what.filter(|what| matches!(what.as_str(), "applied" | "refused" | "rolled_back")).collect()
}

fn config(label: &str, more: &str) -> String {
    format!("{{ Counter => {{ label => '{label}' }}, Echo => {{ label => '{label}' }}, {more} }}")
}

/// An obstacle to a config, until dropped.
struct Obstacle(PathBuf);

impl Obstacle {
    /// A file where a directory is wanted.
    fn file(path: PathBuf) -> Self {
        fs::write(&path, "in the way").expect("the world is writable");
        Self(path)
    }

    /// A directory where a file is wanted.
    fn directory(path: PathBuf) -> Self {
        fs::create_dir(&path).expect("the world is writable");
        Self(path)
    }
}

impl Drop for Obstacle {
    fn drop(&mut self) {
        let removed = if self.0.is_dir() { fs::remove_dir(&self.0) } else { fs::remove_file(&self.0) };
        removed.expect("the obstacle is there");
    }
}

fn start(world: &World) -> Daemon {
    let daemon = world.own_daemon(&config("one", "")).start();
    for task in ["Counter", "Echo"] {
        daemon.wait_for(&format!("{task}: started one"), SOON);
    }
    daemon
}

/// Both tasks run by the old config, as if nothing had been.
fn goes_on(world: &World, daemon: &Daemon) {
    let said = daemon.lines().len();
    world.send("{from => 'a', n => 1}", "Counter");
    world.send("{text => 'goes on'}", "Echo");
    daemon.wait_for_after(said, "Counter: has heard", SOON);
    daemon.wait_for_after(said, "Echo: goes on.", SOON);
    let begun = daemon.lines().iter().filter(|line| line.text.contains(": started ")).count();
    assert_eq!(begun, 2, "{daemon:?}");
}

/// A config that passes all checks, and needs what an obstacle stands in the way of.
fn is_rolled_back(obstacle: impl FnOnce(&World) -> Obstacle, more: &str, reason: &str) {
    let world = World::new();
    let daemon = start(&world);
    let obstacle = obstacle(&world);
    world.write_config(&config("two", more));
    let outcome = world.ask(&["reload"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (ROLLED_BACK, ""), "{outcome:?}");
    assert!(outcome.stderr.contains("rolled back") && outcome.stderr.contains(reason), "{outcome:?}");
    daemon.wait_for("the changed config is rolled back, what runs goes on", SOON);
    goes_on(&world, &daemon);
    let before = outcomes(&world);
    assert!(!before.is_empty() && before.iter().all(|what| what == "rolled_back"), "{before:?}");
    assert_eq!(world.json(&["status", "Echo"])["state"], "running");
    // What stood in the way goes, and the config that was saved holds without anybody asking.
    drop(obstacle);
    for task in ["Counter", "Echo"] {
        daemon.wait_for(&format!("{task}: started two"), SOON);
    }
    world.wait_for("an event", || (outcomes(&world).last()? == "applied").then_some(()));
    assert_eq!(world.ask(&["reload"]).code, 0);
}

#[test]
fn a_reload_whose_task_gets_no_queue_is_rolled_back() {
    is_rolled_back(|world| Obstacle::file(world.transit().join("Second")), "Second => {}", "Second");
}

#[test]
fn a_reload_with_a_route_to_a_queue_that_cannot_be_opened_is_rolled_back() {
    let route = "Router => { routes => [ { match => { source => 'Counter' }, forwards => [ { qname => 'Sink', outside => 1 } ] } ] }";
    is_rolled_back(|world| Obstacle::file(world.transit().join("Sink")), route, "Sink");
}

#[test]
fn a_reload_with_a_log_that_cannot_be_opened_is_rolled_back() {
    let log = "OutOfBand => { audit => { handling => './audit.log' } }";
    is_rolled_back(|world| Obstacle::directory(world.path().join("audit.log")), log, "audit.log");
}

#[test]
fn a_reload_with_an_endpoint_that_cannot_be_opened_is_rolled_back() {
    let endpoint = "OutOfBand => { alert => { transit_endpoints => ['Pager'] } }";
    is_rolled_back(|world| Obstacle::file(world.transit().join("Pager")), endpoint, "Pager");
}

#[test]
fn a_reload_that_cannot_be_handed_on_to_the_hosts_is_rolled_back() {
    let beside = |world: &World| Obstacle::directory(world.state().join(".running.conf.tmp"));
    is_rolled_back(beside, "Second => {}", "running.conf");
}

#[test]
fn of_a_config_that_is_rolled_back_no_limit_holds() {
    let world = World::new();
    let daemon = start(&world);
    let obstacle = Obstacle::directory(world.state().join(".running.conf.tmp"));
    let levels = "levels => [ { name => 'failsafe', threshold => 1 } ], can_failsafe => 1, fast => 1";
    let limits = format!("MultiModule => {{ thresholds => {{ 'local.handles.tasks.count' => {{ {levels} }} }} }}");
    world.write_config(&config("two", &limits));
    daemon.wait_for("the changed config is rolled back", SOON);
    // Three readings and more.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        assert!(!world.state().join("Counter.failsafe").exists(), "{daemon:?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    goes_on(&world, &daemon);
    drop(obstacle);
    daemon.wait_for("Counter: failsafe: reading: ", SOON);
}

#[test]
fn what_is_owed_is_said_once_however_often_it_is_tried() {
    let world = World::new();
    let daemon = start(&world);
    let obstacle = Obstacle::directory(world.state().join(".running.conf.tmp"));
    world.write_config(&config("two", "Quiter => {}"));
    let told = || daemon.lines().iter().filter(|line| line.text.contains("Quiter")).count();
    daemon.wait_for("the changed config is rolled back", SOON);
    let (begin, said) = (Instant::now(), told());
    while begin.elapsed() < Duration::from_secs(4) {
        assert!(told() == said && outcomes(&world).len() == 1, "{daemon:?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(said > 0 && !daemon.stdout().contains("cannot be put back"), "{daemon:?}");
    drop(obstacle);
    daemon.wait_for("Echo: started two", SOON);
    assert_eq!(told(), said, "{daemon:?}");
}

#[test]
fn what_is_owed_and_has_become_wrong_meanwhile_is_refused() {
    let world = World::new();
    let daemon = start(&world);
    let _obstacle = Obstacle::file(world.transit().join("Second"));
    world.write_config(&config("one", "Second => { process => 'shared', limits => { files => 300 } }"));
    daemon.wait_for("the changed config is rolled back", SOON);
    let other = "{Other => {process => 'shared', limits => {files => 400}}}";
    world.send(&format!("{{'.multimodule' => {{config => {other}}}}}"), "MultiModule_control");
    daemon.wait_for("Other: started", SOON);
    daemon.wait_for("the changed config is refused", SOON);
    world.wait_for("an event", || (outcomes(&world).last()? == "refused").then_some(()));
}

#[test]
fn what_is_said_by_message_meanwhile_holds_as_well_as_the_file_that_is_applied_later() {
    let world = World::new();
    let daemon = start(&world);
    let obstacle = Obstacle::file(world.transit().join("Second"));
    world.write_config(&config("one", "Second => { label => 'by file' }"));
    daemon.wait_for("the changed config is rolled back", SOON);
    world.send("{'.multimodule' => {config => {Echo => {label => 'by message'}}}}", "MultiModule_control");
    daemon.wait_for("Echo: started by message", SOON);
    drop(obstacle);
    daemon.wait_for("Second: started by file", SOON);
    // A file that is saved and refused meanwhile is the last word of the file all the same.
    let obstacle = Obstacle::file(world.transit().join("Other"));
    world.write_config(&config("one", "Second => { label => 'by file' }, Other => {}"));
    daemon.wait_for("Other", SOON);
    world.write_config(&config("one", "Second => { labell => 'by file' }"));
    let refused = daemon.wait_for("did you mean \"label\"", SOON);
    drop(obstacle);
    world.write_config(&config("one", "Second => { label => 'mended' }"));
    daemon.wait_for_after(refused, "Second: started mended", SOON);
    assert!(!daemon.stdout().contains("Other: started"), "{daemon:?}");
}

#[test]
fn a_faulty_config_is_refused_and_a_good_one_applied_and_the_exit_code_says_which() {
    let world = World::new();
    let daemon = start(&world);
    world.write_config(&config("two", "Second => { labell => 'x' }"));
    let outcome = world.ask(&["reload"]);
    assert!(outcome.code == REFUSED && outcome.stderr.contains("did you mean \"label\""), "{outcome:?}");
    goes_on(&world, &daemon);
    assert!(outcomes(&world).iter().all(|what| what == "refused"), "{:?}", outcomes(&world));
    world.write_config(&config("two", ""));
    let outcome = world.ask(&["reload"]);
    assert!(outcome.code == 0 && outcome.stdout.starts_with("applied: "), "{outcome:?}");
    daemon.wait_for("Echo: started two", SOON);
    assert_eq!(outcomes(&world).last().map(String::as_str), Some("applied"));
}

#[test]
fn a_dry_run_prints_what_it_would_add_change_move_remove_and_leave_alone_and_does_nothing() {
    let world = World::new();
    let before = "{ Counter => { label => 'one' }, Echo => { label => 'one' }, Second => {}, Crowd0 => {} }";
    let daemon = world.own_daemon(before).start();
    for task in ["Counter", "Echo", "Second", "Crowd0"] {
        daemon.wait_for(&format!("{task}: started"), SOON);
    }
    // So that the daemon does not apply it by itself before it is asked.
    let obstacle = Obstacle::directory(world.state().join(".running.conf.tmp"));
    world.write_config(
        "{ Counter => { label => 'one', is_external => 0 }, Echo => { label => 'two' }, Other => {}, Crowd0 => {} }",
    );
    daemon.wait_for("the changed config is rolled back", SOON);
    let planned = world.json(&["reload", "--dry-run"]);
    assert_eq!(planned["outcome"], "planned");
    let lists = [
        ("added", &["Other"][..]),
        ("changed", &["Echo"]),
        ("moved", &["Counter"]),
        ("removed", &["Second"]),
        ("untouched", &["Crowd0"]),
    ];
    for (list, expected) in lists {
        let found: Vec<_> =
            planned["plan"][list].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert_eq!(found, expected, "{list}: {planned}");
    }
    let said = world.ask(&["reload", "--dry-run"]);
    for (list, names) in lists {
        // Of those that it leaves alone it says how many there are.
        let shown = if list == "untouched" { "1" } else { names[0] };
        assert!(said.stdout.contains(list) && said.stdout.contains(shown), "{list}: {said:?}");
    }
    assert!(!daemon.stdout().contains("started two") && world.record("Other").is_none(), "{daemon:?}");
    assert_eq!(world.json(&["status", "Counter"])["place"], "external");
    drop(obstacle);
    daemon.wait_for("Echo: started two", SOON);
    world.wait_for("a move", || (world.json(&["status", "Counter"])["place"] == "internal").then_some(()));
}
