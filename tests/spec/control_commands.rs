//! One look at a running daemon, and a hand on it: the commands, through the real binaries.

use std::path::Path;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::world::{SOON, World};

const TUTORIAL: &str = "{ Example1 => { outstr => 'howdy' },\n  Router => { routes => [\n    \
     { match => { source => 'Example1' }, forwards => [ { qname => 'Example2' } ] },\n  ] },\n}\n";

fn tutorial(world: &World) -> Daemon {
    let daemon = world.daemon().config(TUTORIAL).prefix("mytasks::").start();
    daemon.wait_for("1 (howdy)", SOON);
    daemon
}

fn does(world: &World, words: &[&str], said: &str) {
    let outcome = world.ask(words);
    assert!(outcome.code == 0 && outcome.stdout.contains(said), "{words:?}: {outcome:?}");
    assert_eq!((outcome.stdout.lines().count(), outcome.stderr.as_str()), (1, ""), "{words:?}: {outcome:?}");
}

fn refuses(world: &World, words: &[&str], code: i32, reason: &str) {
    let outcome = world.ask(words);
    assert!(outcome.code == code && outcome.stderr.contains(reason), "{words:?}: {outcome:?}");
    assert_eq!(outcome.stdout, "", "{words:?}");
}

/// Asks until `is` holds of one task's status.
fn wait_for_status(world: &World, task: &str, is: impl Fn(&Value) -> bool) -> Value {
    let begin = std::time::Instant::now();
    loop {
        let status = world.json(&["status", task]);
        if is(&status) {
            return status;
        }
        assert!(begin.elapsed() < SOON, "{status}");
    }
}

/// What happened to a task: what, in order.
fn events(world: &World, task: &str) -> Vec<String> {
    let report = world.json(&["events", task]);
    let events = report["events"].as_array().expect("a list of events");
    events.iter().map(|event| event["what"].as_str().expect("a word").to_owned()).collect()
}

#[test]
fn status_shows_the_place_and_the_process_of_each_task() {
    let world = World::new();
    let daemon = tutorial(&world);
    let status = world.json(&["status"]);
    assert_eq!(status["daemon"]["pid"], daemon.pid());
    let names: Vec<_> = status["tasks"].as_array().unwrap().iter().map(|task| task["name"].clone()).collect();
    assert_eq!(names, ["Example1", "Example2", "Router"]);
    let (outside, inside) = (&status["tasks"][0], &status["tasks"][1]);
    assert_eq!((&outside["place"], &outside["state"]), (&"external".into(), &"running".into()));
    assert_eq!((&inside["place"], &inside["pid"]), (&"internal".into(), &daemon.pid().into()));
    let pid = outside["pid"].as_u64().expect("the pid of an external task");
    assert!(Path::new(&format!("/proc/{pid}")).exists() && pid != u64::from(daemon.pid()), "{outside}");
    let table = world.ask(&["status"]).stdout;
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(table.contains(&pid.to_string()), "{table}");
    refuses(&world, &["status", "Exmaple1"], 64, "there is no task Exmaple1; did you mean Example1?");
}

#[test]
fn a_daemon_is_found_by_s_then_in_state_then_where_it_is_known() {
    let world = World::new();
    refuses(&world, &["status"], 69, "no daemon runs");
    let daemon = tutorial(&world);
    let elsewhere = world.path().join("home");
    let from_elsewhere = |words: &[&str]| {
        let output = world.command(env!("CARGO_BIN_EXE_multimodule")).args(words).current_dir(&elsewhere).output();
        output.expect("it can be run")
    };
    assert!(from_elsewhere(&["status"]).status.success());
    let state = world.state().display().to_string();
    does_json(&world, &["status", "-s", &state]);
    does_json(&world, &["-s", &state, "status"]);
    refuses(&world, &["status", "-s", "nowhere"], 69, "no daemon runs in nowhere");
    let second = world.daemon().arg("-s").arg("other").arg("-q").arg("Other_control").config("{}").start();
    second.wait_for("runs", SOON);
    let several = from_elsewhere(&["status"]);
    let said = String::from_utf8(several.stderr).unwrap();
    assert_eq!(several.status.code(), Some(69));
    assert!(said.contains("several daemons run") && said.contains("/other") && said.contains("/state"), "{said}");
    second.kill();
    second.exit(SOON);
    assert!(from_elsewhere(&["status"]).status.success(), "a daemon that was killed is known no more");
    drop(daemon);
}

fn does_json(world: &World, words: &[&str]) {
    assert!(world.json(words)["daemon"]["pid"].is_u64());
}

#[test]
fn a_reload_says_what_it_changes_and_a_broken_config_is_refused_by_its_code() {
    let world = World::new();
    let daemon = tutorial(&world);
    let path = world.config_path();
    let write = |text: &str| std::fs::write(&path, text).expect("the config is writable");
    write("{ Example1 => { ct => ] } }");
    refuses(&world, &["reload", "--dry-run"], 78, "test.conf:1:");
    refuses(&world, &["reload"], 78, "test.conf:1:");
    daemon.wait_for("(howdy)", SOON);
    let moved = TUTORIAL.replace("outstr => 'howdy'", "outstr => 'hello', is_external => 0");
    let plan = {
        // The daemon may take the saved file before it is asked: then nothing is left to change.
        write(&moved);
        world.json(&["reload"])
    };
    assert_eq!(plan["outcome"], "applied", "{plan}");
    daemon.wait_for("(hello)", SOON);
    assert_eq!(world.json(&["status", "Example1"])["place"], "internal");
    assert!(events(&world, "Example1").contains(&"moved".to_owned()));
    let planned = world.json(&["reload", "--dry-run"]);
    assert_eq!((&planned["outcome"], &planned["plan"]["untouched"][0]), (&"planned".into(), &"Example1".into()));
    let whole = world.json(&["events"]);
    let outcomes: Vec<_> = whole["events"].as_array().unwrap().iter().map(|event| event["what"].clone()).collect();
    assert!(outcomes.contains(&"refused".into()) && outcomes.contains(&"applied".into()), "{outcomes:?}");
}

#[test]
fn a_reload_tells_also_of_thresholds_and_a_task_that_moves_is_in_no_other_list() {
    let world = World::new();
    let daemon = tutorial(&world);
    does(&world, &["migrate", "Example2", "external"], "Example2 is external now");
    daemon.wait_for("the changed config is applied: moved Example2; 1 untouched", SOON);
    let windows = "{ MultiModule => { windows => { one_minute => '30s' } },";
    world.write_config(&TUTORIAL.replacen('{', windows, 1));
    does(&world, &["reload"], "applied");
    daemon.wait_for("the changed config is applied: thresholds changed; 2 untouched", SOON);
    let report = world.json(&["events"]);
    let how: Vec<_> = report["events"].as_array().unwrap().iter().map(|event| event["how"].clone()).collect();
    assert!(how.contains(&"thresholds changed; 2 untouched".into()), "{how:?}");
}

#[test]
fn a_task_of_the_config_that_has_no_code_is_told_from_one_that_nobody_named() {
    let world = World::new();
    let daemon = world.daemon().config("{ Tolly => {} }").start();
    daemon.wait_for("runs", SOON);
    for words in [["status", "Tolly"], ["start", "Tolly"], ["log", "Tolly"]] {
        refuses(&world, &words, 64, "there is no code for task Tolly: looked for the built-in Tolly");
    }
    refuses(&world, &["status", "Nobody"], 64, "there is no task Nobody");
}

#[test]
fn a_daemon_without_config_file_cannot_reload() {
    let world = World::new();
    let daemon = world.daemon().start();
    daemon.wait_for("runs", SOON);
    refuses(&world, &["reload"], 69, "its config comes by message");
}

#[test]
fn a_stopped_task_runs_nowhere_until_it_is_started_and_loses_nothing() {
    let world = World::new();
    let daemon = world.own_daemon("{ Counter => {}, Other => { is_external => 0 } }").start();
    daemon.wait_for("runs 2 tasks", SOON);
    for task in ["Counter", "Other"] {
        wait_for_status(&world, task, |status| status["state"] == "running");
        does(&world, &["stop", task], &format!("{task} is stopped"));
        does(&world, &["stop", task], "is stopped already");
        let status = world.json(&["status", task]);
        assert_eq!((&status["state"], &status["pid"]), (&"stopped".into(), &Value::Null));
        world.send("{from => 'a', n => 1}", task);
        wait_for_status(&world, task, |status| status["queue"]["messages"] == 1);
        does(&world, &["start", task], &format!("{task} is started"));
        daemon.wait_for(&format!("{task}: has heard 1."), SOON);
        does(&world, &["start", task], "runs already");
    }
    let what = events(&world, "Counter");
    assert_eq!(what, ["started", "stopped", "ended", "started"], "{what:?}");
    let report = world.json(&["events", "Counter"]);
    let (stopped, ended) = (&report["events"][1], &report["events"][2]);
    assert!(stopped["by"].as_str().is_some_and(|by| by.starts_with("pid ")), "{report}");
    assert_eq!(stopped["by"], ended["by"]);
    assert_eq!(ended["how"], "exited with 0, as it was asked");
}

#[test]
fn a_stopped_task_stays_so_through_reloads_and_without_a_daemon_and_runs_with_the_next_one() {
    let world = World::new();
    let config = |label: &str| format!("{{ Counter => {{ label => '{label}' }}, Echo => {{ label => '{label}' }} }}");
    let daemon = world.own_daemon(&config("one")).start();
    daemon.wait_for("Counter: started one", SOON);
    let host = world.process("Counter").host.pid;
    does(&world, &["stop", "Counter"], "Counter is stopped");
    world.write_config(&config("two"));
    does(&world, &["reload"], "applied");
    daemon.wait_for("the changed config is applied", SOON);
    assert_eq!(world.json(&["status", "Counter"])["state"], "stopped");
    wait_for_events(&world, "Counter", &["started", "stopped", "ended"]);
    daemon.kill();
    daemon.exit(SOON);
    // Nobody is left who could start it.
    let of_counter = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().starts_with("Counter.process");
    assert!(!std::fs::read_dir(world.state()).unwrap().flatten().any(|file| of_counter(&file)));
    assert!(!Path::new(&format!("/proc/{host}")).exists());
    let next = world.own_daemon(&config("two")).start();
    next.wait_for("Counter: started two", SOON);
    assert_eq!(daemon.lines().iter().filter(|line| line.text.starts_with("Counter: started")).count(), 1);
}

/// Asks until this has happened to a task, in this order.
fn wait_for_events(world: &World, task: &str, expected: &[&str]) {
    let begin = std::time::Instant::now();
    while events(world, task) != expected {
        assert!(begin.elapsed() < SOON, "{:?}", events(world, task));
    }
}

#[test]
fn a_restarted_task_has_another_process_and_a_migrated_one_another_place() {
    let world = World::new();
    let daemon = tutorial(&world);
    let pid = world.json(&["status", "Example1"])["pid"].clone();
    does(&world, &["restart", "Example1"], "Example1 is restarted");
    wait_for_status(&world, "Example1", |status| status["pid"].is_u64() && status["pid"] != pid);
    does(&world, &["migrate", "Example1", "internal"], "Example1 is internal now");
    does(&world, &["migrate", "Example1", "internal"], "Example1 is internal already");
    wait_for_status(&world, "Example1", |status| status["pid"] == daemon.pid());
    does(&world, &["migrate", "Example1", "external"], "Example1 is external now");
    wait_for_status(&world, "Example1", |status| status["pid"].is_u64() && status["pid"] != daemon.pid());
    assert_eq!(events(&world, "Example1").iter().filter(|what| *what == "moved").count(), 2);
    refuses(&world, &["migrate", "Example1", "sideways"], 64, "sideways");
}

#[test]
fn a_failsafe_is_listed_with_its_evidence_and_cleared() {
    let world = World::new();
    let config = "{ Counter => { is_external => 1, restart => { max => 1, within => '60s', backoff => '1ms' } } }";
    let daemon = world.own_daemon(config).start();
    daemon.wait_for("runs 1 tasks", SOON);
    does(&world, &["failsafe"], "nothing is in failsafe");
    refuses(&world, &["failsafe", "clear", "Counter"], 69, "Counter is not in failsafe");
    refuses(&world, &["failsafe", "clear", "Nobody"], 64, "Nobody is not in failsafe");
    park(&world, &daemon);
    let status = wait_for_status(&world, "Counter", |status| status["state"] == "failsafe");
    assert!(status["failsafe"].as_str().unwrap().contains("ends"), "{status}");
    let list = world.json(&["failsafe"]);
    assert!(list[0]["name"] == "Counter" && list[0]["ends"].as_array().unwrap().len() > 1, "{list}");
    let (log, entry) = (list[0]["log"].as_array().unwrap(), list[0]["config"][0].as_str().unwrap_or_default());
    assert!(log.iter().any(|line| line.as_str().unwrap().starts_with("Counter: started")), "{list}");
    assert!(entry.starts_with("Counter: {") && entry.contains("\"backoff\":\"1ms\""), "{list}");
    let text = world.ask(&["failsafe"]).stdout;
    for part in ["  ended:\n    20", "  config then:\n    Counter: {", "  last lines:\n    ", "  to clear: multimodule"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The log names the way out as well.
    daemon.wait_for(".failsafe is removed: `multimodule failsafe clear Counter`", SOON);
    refuses(&world, &["start", "Counter"], 69, "multimodule failsafe clear Counter");
    does(&world, &["failsafe", "clear", "Counter"], "Counter is cleared and runs again");
    wait_for_status(&world, "Counter", |status| status["state"] == "running");
    let what = events(&world, "Counter");
    let count = |word: &str| what.iter().filter(|what| *what == word).count();
    assert_eq!((count("failsafed"), count("cleared")), (1, 1), "{what:?}");
    park(&world, &daemon);
    wait_for_status(&world, "Counter", |status| status["state"] == "failsafe");
    does(&world, &["stop", "Counter"], "is stopped");
    does(&world, &["failsafe", "clear", "Counter"], "stays stopped; `multimodule start Counter`");
}

#[test]
fn what_broke_a_limit_is_told_with_its_reason_first_and_its_end_after_it() {
    let world = World::new();
    let limit = "{ levels => [ { name => 'failsafe', threshold => 5 } ], can_failsafe => 1, fast => 1 }";
    let limits = format!("MultiModule => {{ thresholds => {{ 'local.handles.fh.count' => {limit} }} }}");
    let daemon = world.own_daemon(&format!("{{ Counter => {{ is_external => 1 }}, {limits} }}")).start();
    daemon.wait_for("Counter: parked: ", SOON);
    wait_for_events(&world, "Counter", &["started", "failsafed", "ended"]);
    does(&world, &["failsafe", "clear", "Counter"], "runs again");
    let again = ["started", "failsafed", "ended", "cleared", "started", "failsafed", "ended"];
    wait_for_events(&world, "Counter", &again);
}

/// Kills the host of `Counter` until it is parked.
fn park(world: &World, daemon: &Daemon) {
    for _ in 0..2 {
        let before = wait_for_status(world, "Counter", |status| status["pid"].is_u64());
        let pid = before["pid"].as_i64().expect("a pid");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it lives");
        wait_for_status(world, "Counter", |status| status["pid"] != before["pid"]);
    }
    daemon.wait_for("parked", SOON);
}

#[test]
fn the_log_of_the_daemon_and_of_a_task_is_told() {
    let world = World::new();
    let daemon = world.own_daemon("{ Counter => { label => 'one' } }").start();
    daemon.wait_for("Counter: started one", SOON);
    let of_task = world.ask(&["log", "Counter", "-n", "50"]);
    assert!(of_task.stdout.contains("Counter: started one"), "{of_task:?}");
    let own = world.ask(&["log"]);
    assert!(own.code == 0 && own.stdout.contains("runs 1 tasks"), "{own:?}");
    refuses(&world, &["log", "Conter"], 64, "did you mean Counter?");
    let follower = world.program(env!("CARGO_BIN_EXE_multimodule")).arg("log").arg("-f").start();
    world.write_config("{ Counter => { label => 'two' } }");
    follower.wait_for("the changed config is applied", SOON);
}

#[test]
fn a_state_is_shown_and_set_while_its_task_is_stopped() {
    let world = World::new();
    let daemon = tutorial(&world);
    refuses(&world, &["state", "show", "Example2"], 69, "without state");
    refuses(&world, &["state", "set", "Example1", "(ct: 500)"], 69, "multimodule stop Example1");
    does(&world, &["stop", "Example1"], "is stopped");
    wait_for_status(&world, "Example1", |status| status["pid"].is_null());
    let shown = world.json(&["state", "show", "Example1"])["state"].as_str().unwrap().to_owned();
    assert!(shown.contains("ct"), "{shown}");
    refuses(&world, &["state", "set", "Example1", "(ct: ["], 78, "no state of Example1");
    does_soon(&world, &["state", "set", "Example1", "(ct: 500)"]);
    does(&world, &["start", "Example1"], "is started");
    daemon.wait_for("501 (howdy)", SOON);
    assert!(events(&world, "Example1").contains(&"state_set".to_owned()));
}

/// A task that was told to end holds its lock for a moment more.
fn does_soon(world: &World, words: &[&str]) {
    let begin = std::time::Instant::now();
    while world.ask(words).code != 0 {
        assert!(begin.elapsed() < SOON, "{:?}", world.ask(words));
    }
}

#[test]
fn stop_all_ends_the_daemon_and_what_runs_beside_it() {
    let world = World::new();
    let daemon = tutorial(&world);
    let pid = world.json(&["status", "Example1"])["pid"].as_u64().unwrap();
    does(&world, &["stop", "--all"], "have ended");
    assert_eq!(daemon.exit_code(SOON), 0);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!world.state().join("control.sock").exists());
    refuses(&world, &["status"], 69, "no daemon runs");
    refuses(&world, &["stop"], 64, "required");
}

#[test]
fn shells_and_man_are_told_of_the_commands() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = world.ask(&["completions", shell]);
        assert!(script.code == 0 && script.stdout.contains("failsafe"), "{shell}");
    }
    let page = world.ask(&["man"]);
    assert!(page.code == 0 && page.stdout.starts_with(".ie") && page.stdout.contains("multimodule"), "{page:?}");
    let page = world.ask(&["man", "events"]);
    assert!(
        page.code == 0 && page.stdout.contains("multimodule\\-events") && page.stdout.contains("by whom"),
        "{page:?}"
    );
    let page = world.ask(&["man", "state", "show"]);
    assert!(page.code == 0 && page.stdout.contains("as RON"), "{page:?}");
    refuses(&world, &["man", "evnts"], 64, "there is no command evnts");
}
