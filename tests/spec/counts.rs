//! What tasks do is counted wherever they run: in the daemon, in a process of their own or of several, in a pool.

use std::fs;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use multimodule::usage::counts_writes;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::processes::{kill, lives};
use crate::world::{SOON, World};

/// Windows of 3 s, the shortest; what is judged has been counted and told before.
const JUDGED: Duration = Duration::from_secs(20);
/// Messages flow at every moment, some hundred a second.
const PAUSE: Duration = Duration::from_millis(5);

/// A config with windows of 3 s and these thresholds: a metric, its lowest level and whether that stops a task.
fn config(thresholds: &[(&str, f64, bool)], tasks: &str) -> String {
    let rule = |(metric, threshold, stops): &(&str, f64, bool)| {
        let (name, stops) = if *stops { ("failsafe", 1) } else { ("warn", 0) };
        format!(
            "'{metric}' => {{ levels => [ {{ name => '{name}', threshold => {threshold} }} ], can_failsafe => {stops} }}"
        )
    };
    let rules: Vec<_> = thresholds.iter().map(rule).collect();
    format!(
        "{{ MultiModule => {{ windows => {{ one_minute => '3s', five_minutes => '6s' }}, thresholds => {{ {} }} }}, {tasks} }}",
        rules.join(", ")
    )
}

/// Tasks in four kinds of places, each of which emits what it gets.
const PLACES: [&str; 4] = ["Counter", "Other", "Echo", "Mill"];

/// A config of these, and of one that shares a process with one of them and does nothing.
fn everywhere(thresholds: &[(&str, f64, bool)]) -> String {
    let tasks = "Counter => {}, Other => { process => 'ingest' }, Witness => { process => 'ingest' }, \
                 Echo => { is_external => 0 }, Mill => { workers => 2 }";
    config(thresholds, &format!("{tasks}, {}", routes(&PLACES)))
}

/// What these emit goes to a queue.
fn routes(tasks: &[&str]) -> String {
    let sink = "forwards => [ { qname => 'Sink', outside => 1 } ]";
    let routes: Vec<_> = tasks.iter().map(|task| format!("{{ match => {{ source => '{task}' }}, {sink} }}")).collect();
    format!("Router => {{ routes => [ {} ] }}", routes.join(", "))
}

/// Sends to all of `tasks` while `work` is done.
fn under_flow<T>(world: &World, tasks: &[&str], message: &str, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (end, ended) = channel::<()>();
        scope.spawn(move || {
            while ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                tasks.iter().for_each(|task| world.send(message, task));
            }
        });
        let done = work();
        drop(end);
        done
    })
}

fn ask(world: &World, words: &[&str]) {
    let outcome = world.ask(words);
    assert_eq!(outcome.code, 0, "{words:?}: {outcome:?}");
}

fn status(world: &World, task: &str) -> Value {
    let outcome = world.ask(&["status", task, "--json"]);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

fn printed(daemon: &Daemon) -> String {
    daemon.lines().iter().map(|line| format!("{}\n", line.text)).collect()
}

fn end(daemon: &Daemon) {
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}

#[test]
fn failures_and_messages_in_and_out_are_judged_of_every_task_by_its_own_name() {
    let metrics =
        ["task_message_failure", "passed_messages", "emit_messages"].map(|name| format!("local.admin.{name}"));
    let [failed, passed, emitted] = [&metrics[0], &metrics[1], &metrics[2]].map(|metric| (metric.as_str(), 5.0, false));
    let world = World::new();
    let daemon = world.own_daemon(&everywhere(&[failed, passed, emitted])).start();
    daemon.wait_for("Counter: started", SOON);
    let told = |task: &str, metric: &str| {
        daemon.wait_for(&format!("one_minute: {task}:{metric}: "), JUDGED);
    };
    // One that fails emits nothing.
    under_flow(&world, &PLACES, "{from => 'a', n => 1, emit => 1}", || {
        PLACES.iter().for_each(|task| {
            told(task, passed.0);
            told(task, emitted.0);
        });
    });
    under_flow(&world, &["Counter", "Other", "Echo"], "{from => 'a', n => 1, fail => 1}", || {
        ["Counter", "Other", "Echo"].iter().for_each(|task| told(task, failed.0));
    });
    let text = printed(&daemon);
    assert!(!metrics.iter().any(|metric| text.contains(&format!("Witness:{metric}"))), "{text}");
    end(&daemon);
}

#[test]
fn a_status_shows_the_rates_in_and_out_of_every_task_also_after_its_host_was_killed() {
    let world = World::new();
    let daemon = world.own_daemon(&everywhere(&[])).start();
    daemon.wait_for("Counter: started", SOON);
    let flows = |task: &str| {
        world.wait_for(&format!("rates of {task}"), || {
            let status = status(&world, task);
            let [rate_in, rate_out] = ["rate_in", "rate_out"].map(|rate| status[rate].as_f64().unwrap_or(0.0));
            // What flows is 200 a second and less.
            assert!(rate_in < 1000.0 && rate_out < 1000.0, "{status}");
            (rate_in > 1.0 && rate_out > 1.0).then_some(())
        });
    };
    under_flow(&world, &PLACES, "{from => 'a', n => 1, emit => 1}", || {
        PLACES.iter().for_each(|task| flows(task));
        kill(&world.process("Counter").host_identity());
        world.wait_for("messages again", || Some(()).filter(|()| world.log("Counter").matches("started").count() > 1));
        flows("Counter");
    });
    for task in PLACES {
        world.wait_for(&format!("the end of what flows to {task}"), || {
            (status(&world, task)["rate_in"].as_f64() == Some(0.0)).then_some(())
        });
    }
    end(&daemon);
}

const FAILING: (&str, f64, bool) = ("local.admin.task_message_failure", 1.0, true);

/// Fails `task` until it is in failsafe as `NAME`; why.
fn fail(world: &World, daemon: &Daemon, task: &str, names: &[&str]) -> String {
    under_flow(world, &[task], "{from => 'a', n => 1, fail => 1}", || {
        for name in names {
            let file = world.state().join(format!("{name}.failsafe"));
            world.wait_for(&format!("the failsafe of {name}"), || file.exists().then_some(()));
            daemon.wait_for(&format!("{name}: failsafe: one_minute: {task}:local.admin.task_message_failure"), SOON);
        }
    });
    fs::read_to_string(world.state().join(format!("{}.failsafe", names[0]))).expect("it says why")
}

#[test]
fn a_task_whose_messages_fail_is_stopped_with_its_process_where_it_is_alone_there() {
    let world = World::new();
    let tasks = "Counter => {}, Other => { process => 'alone' }";
    let daemon = world.own_daemon(&config(&[FAILING], tasks)).start();
    let processes = ["Counter", "alone"].map(|name| world.process(name));
    let why = fail(&world, &daemon, "Counter", &["Counter"]);
    assert!(why.contains("killed, with all that it has started"), "{why}");
    let why = fail(&world, &daemon, "Other", &["alone"]);
    assert!(why.contains("Other:local.admin") && why.contains("failsafe clear alone"), "{why}");
    world.wait_ended(&processes.map(|record| record.host_identity()));
    ask(&world, &["failsafe", "clear", "Other"]);
    let again = world.process("alone");
    assert!(lives(&again.host_identity()), "{again:?}");
    end(&daemon);
}

#[test]
fn a_task_that_shares_its_process_is_taken_out_of_it_and_the_others_go_on() {
    let world = World::new();
    let tasks = "Counter => { process => 'ingest' }, Other => { process => 'ingest' }";
    let daemon = world.own_daemon(&config(&[FAILING], tasks)).start();
    daemon.wait_for("Counter: started", SOON);
    let record = world.process("ingest");
    let why = fail(&world, &daemon, "Counter", &["Counter"]);
    assert!(why.contains("taken out of process ingest, which goes on"), "{why}");
    world.wait_for("a status", || (status(&world, "Counter")["state"] == "failsafe").then_some(()));
    let shown = status(&world, "Counter");
    assert!(shown["failsafe"].as_str().is_some_and(|why| why.contains("task_message_failure")), "{shown}");
    world.send("{from => 'a', n => 1}", "Other");
    daemon.wait_for("Other: has heard 1.", SOON);
    world.wait_for("a queue that nobody reads", || world.queue("Counter").filter(|queue| queue.consumer.is_none()));
    assert_eq!(world.process("ingest"), record);
    // Another daemon leaves it so.
    end(&daemon);
    let daemon = world.own_daemon(&config(&[FAILING], tasks)).start();
    daemon.wait_for("Other: started", SOON);
    assert_eq!(status(&world, "Counter")["state"], "failsafe");
    ask(&world, &["failsafe", "clear", "Counter"]);
    daemon.wait_for("Counter: its failsafe is cleared, it runs again", SOON);
    world.wait_for("an empty queue", || world.queue("Counter").filter(|queue| queue.messages == 0));
    end(&daemon);
}

#[test]
fn a_pool_is_stopped_with_all_its_workers_and_cleared_by_its_name() {
    let world = World::new();
    let daemon = world.own_daemon(&config(&[FAILING], "Echo => { workers => 2 }")).start();
    let workers = ["Echo.1", "Echo.2"];
    let records = workers.map(|name| world.process(name).host_identity());
    let why = fail(&world, &daemon, "Echo", &workers);
    assert!(why.contains("Echo:local.admin"), "{why}");
    world.wait_ended(&records);
    ask(&world, &["failsafe", "clear", "Echo"]);
    world.wait_for("both workers", || {
        let hosts = workers.map(|name| world.process(name).host_identity());
        hosts.iter().all(lives).then_some(())
    });
    end(&daemon);
}

#[test]
fn a_task_that_cannot_be_made_is_told_in_the_daemon_and_in_a_process() {
    let place = ["internal", "external"].map(|place| format!("local.admin.task_compile_failure.{place}"));
    let [inside, outside] = [&place[0], &place[1]].map(|metric| (metric.as_str(), 0.1, false));
    let entries =
        |more: &str| config(&[inside, outside], &format!("Other => {{ is_external => 0 }}, Counter => {{ {more} }}"));
    let world = World::new();
    let daemon = world.own_daemon(&entries("")).start();
    daemon.wait_for("Counter: started", SOON);
    let told = |task: &str, metric: &str| daemon.wait_for(&format!("one_minute: {task}:{metric}: "), JUDGED);
    // A config of its own that it refuses.
    world.write_config(&entries("label => [ 1 ]"));
    daemon.wait_for("the changed config is refused", SOON);
    told("Counter", outside.0);
    // No code that answers to its name.
    world.write_config(&entries("}, Quiter => { "));
    told("Quiter", inside.0);
    // A state that it does not take back.
    world.send("{from => 'stranger', n => 1}", "Other");
    daemon.wait_for("Other: has heard 1.", SOON);
    ask(&world, &["restart", "Other"]);
    told("Other", inside.0);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 1, "a task that could not be made did not end in order");
}

#[test]
fn what_is_asked_for_a_task_is_counted() {
    let names = ["stop.internal", "start_request.internal", "stop_request.external", "start_request.external"];
    let metrics = names.map(|name| format!("local.admin.{name}"));
    let thresholds: Vec<_> = metrics.iter().map(|metric| (metric.as_str(), 2.0, false)).collect();
    let world = World::new();
    let tasks = "Other => { is_external => 0 }, Counter => {}";
    let daemon = world.own_daemon(&config(&thresholds, tasks)).start();
    daemon.wait_for("Counter: started", SOON);
    for (task, metrics) in [("Other", &metrics[..2]), ("Counter", &metrics[2..])] {
        // A count is no rate: it stays above.
        (0..3).for_each(|_| ask(&world, &["restart", task]));
        for metric in metrics {
            daemon.wait_for(&format!("one_minute: {task}:{metric}: "), JUDGED);
        }
    }
    end(&daemon);
}

/// As much as a message says: what is passed on is megabytes a second.
const BULK: usize = 100_000;
/// Bytes that each of the two has to pass on; the queue takes that, to pages that are written for the first time.
const PASSED: u64 = 8_000_000;
/// Bytes a second that are an alert.
const MUCH: f64 = 400_000.0;

/// Bytes that the kernel counts as written by a process.
fn written(pid: u32) -> u64 {
    let counts = fs::read_to_string(format!("/proc/{pid}/io")).expect("our own process shows its counts");
    let line = counts.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("the kernel counts writes");
    line.parse().expect("a number")
}

#[test]
fn what_queues_and_states_write_is_no_tasks_and_what_a_task_writes_is() {
    let metric = "local.io.disk.write_bytes";
    let world = World::new();
    assert!(counts_writes(world.path()), "{}: no disk, where nothing written is counted", world.path().display());
    let route =
        |task| format!("{{ match => {{ source => '{task}' }}, forwards => [ {{ qname => 'Sink', outside => 1 }} ] }}");
    let routes = format!("Router => {{ routes => [ {}, {} ] }}", route("Mill"), route("Counter"));
    let tasks = |more: &str| {
        let tasks = format!("Mill => {{ is_external => 1 }}, Counter => {{ is_external => 0 }}, {more} {routes}");
        config(&[(metric, MUCH, false)], &tasks)
    };
    let daemon = world.own_daemon(&tasks("")).start();
    daemon.wait_for("Counter: started", SOON);
    let pids = [daemon.pid(), world.process("Mill").host.pid];
    let (before, begin) = (pids.map(written), Instant::now());
    let message = format!("{{from => '{}', n => 1}}", "x".repeat(BULK));
    let passed = under_flow(&world, &["Mill", "Counter"], &message, || {
        world.wait_for("megabytes passed on", || {
            let passed = [0, 1].map(|at| written(pids[at]) - before[at]);
            passed.iter().all(|bytes| *bytes > PASSED).then_some(passed)
        })
    });
    println!("daemon and host have written {passed:?} in {:?}", begin.elapsed());
    let seconds = begin.elapsed().as_secs_f64();
    assert!(passed.iter().all(|bytes| *bytes as f64 / seconds > 2.0 * MUCH), "too little to see anything");
    // A host beside them that does write, by what it has started.
    world.write_config(&tasks("Echo => { is_external => 1 },"));
    let file = world.path().join("bulk");
    let script =
        format!("while :; do dd if=/dev/zero of={0} bs=1M count=16 conv=fsync 2>&1; rm {0}; done", file.display());
    world.send(&format!("{{child => '{script}'}}"), "Echo");
    daemon.wait_for(&format!("Echo:{metric}: "), JUDGED);
    let text = printed(&daemon);
    assert!(!["main", "Mill", "Counter"].iter().any(|name| text.contains(&format!(": {name}:{metric}"))), "{text}");
    end(&daemon);
}
