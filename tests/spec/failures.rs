//! Tasks that fail, panic and block.

use multimodule::value::Map;

use crate::world::{SOON, World};

const COUNTER: &str = "{ Counter => { intervals => { save_state => 0.02 } }, \
                       Router => { routes => [ { match => { source => 'Counter' }, forwards => [ { qname => 'Echo' } ] } ] } }";

/// `.dead` of a message: who could not handle it, and why.
fn why(message: &Map) -> (String, String) {
    let why = message.get(".dead").expect("a dead message says why").view().as_map().expect("a map");
    let text = |key| why.get(key).and_then(|value| value.as_text()).expect("a text").to_owned();
    (text("task"), text("reason"))
}

#[test]
fn an_error_is_reported_its_message_goes_to_dead_and_the_task_goes_on() {
    let world = World::new();
    let daemon = world.own_daemon(COUNTER).start();
    world.send("{from => 'a', n => 1, fail => 1}", "Counter");
    daemon.wait_for("[ERROR] Counter: told to fail", SOON);
    let dead = world.take("dead", 1, SOON).remove(0);
    assert_eq!(why(&dead), ("Counter".to_owned(), "told to fail".to_owned()));
    assert_eq!(dead.get("n").and_then(|n| n.view().as_i64()), Some(1), "the message itself is there: {dead:?}");
    world.send("{from => 'a', n => 2}", "Counter");
    daemon.wait_for("Echo: emitted.", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    let emitted = daemon.stdout().matches("Echo: emitted.").count();
    assert_eq!(emitted, 1, "what an activation emits before it fails is discarded\n{}", daemon.stdout());
}

#[test]
fn a_panic_takes_the_state_back_and_only_its_message_is_left_out() {
    let world = World::new();
    let daemon = world.own_daemon(COUNTER).start();
    for n in 0..20 {
        let breaks = if n % 5 == 3 { ", panic => 1" } else { "" };
        world.send(&format!("{{from => 'a', n => {n}{breaks}}}"), "Counter");
    }
    daemon.wait_for("has heard 16.", SOON);
    daemon.wait_for("[ERROR] Counter: panicked: told to panic", SOON);
    for (dead, n) in world.take("dead", 4, SOON).iter().zip([3, 8, 13, 18]) {
        assert_eq!(dead.get("n").and_then(|n| n.view().as_i64()), Some(n));
        let (task, reason) = why(dead);
        assert!(task == "Counter" && reason.contains("told to panic") && reason.contains(".rs:"), "{task} {reason}");
    }
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    let expected: Vec<String> = (0..20).filter(|n| n % 5 != 3).map(|n: i32| n.to_string()).collect();
    assert_eq!(world.saved_state("Counter"), format!("({{\"a\":[{}]}})", expected.join(",")));
}

#[test]
fn a_stateless_task_that_panics_goes_on_too() {
    let world = World::new();
    let daemon = world.own_daemon("{ Echo => {} }").start();
    world.send("{text => 'x', panic => 1}", "Echo");
    daemon.wait_for("[ERROR] Echo: panicked: told to panic", SOON);
    assert_eq!(why(&world.take("dead", 1, SOON)[0]).0, "Echo");
    world.send("{text => 'after'}", "Echo");
    daemon.wait_for("Echo: after.", SOON);
    world.send("{text => 'x', fail => 1}", "Echo");
    daemon.wait_for("[ERROR] Echo: told to fail (failure 2 of this run)", SOON);
}

/// Of how long a line says that a task has blocked its thread.
fn blocked_s(line: &str, task: &str) -> Option<f64> {
    let (_, told) = line.split_once(&format!("{task} has blocked its thread for "))?;
    told.split(' ').next()?.parse().ok()
}

#[test]
fn a_task_that_blocks_its_thread_is_reported_by_name_with_its_time_and_the_others_go_on() {
    // In the daemon, and in a process of its own.
    for entry in ["is_external => 0", ""] {
        let world = World::new();
        let daemon = world.own_daemon(&format!("{{ Counter => {{ {entry} }}, Echo => {{}} }}")).start();
        daemon.wait_for("Counter: started", SOON);
        world.send("{block_ms => 8000}", "Counter");
        let told = daemon.wait_for("Counter has blocked its thread for", SOON);
        daemon.wait_for("blocking: true", SOON);
        world.send("{text => 'meanwhile'}", "Echo");
        let meanwhile = daemon.wait_for("Echo: meanwhile.", SOON);
        let done = daemon.wait_for("has heard 0.", 2 * SOON);
        assert!(meanwhile < done, "{daemon:?}");
        let blocked = blocked_s(&daemon.lines()[told].text, "Counter").expect("a time in seconds");
        assert!((0.5..8.5).contains(&blocked), "{blocked} s");
    }
}

#[test]
fn blocking_tasks_have_threads_of_their_own_are_not_reported_and_the_others_go_on() {
    // More of them than the daemon has threads for all others.
    const BLOCKING: usize = 12;
    let world = World::new();
    let names: Vec<_> = (0..BLOCKING).map(|number| format!("Crowd{number}")).collect();
    let entries: String =
        names.iter().map(|name| format!("{name} => {{ is_external => 0, blocking => 1 }}, ")).collect();
    let daemon = world.own_daemon(&format!("{{ {entries} Echo => {{}} }}")).start();
    for name in &names {
        daemon.wait_for(&format!("{name}: started"), SOON);
    }
    let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let threads = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap());
    let threads: Vec<_> = threads.map(|name| name.trim().to_owned()).collect();
    assert!(names.iter().all(|name| threads.contains(name)), "{threads:?}");
    names.iter().for_each(|name| world.send("{block_ms => 4000}", name));
    world.send("{text => 'meanwhile'}", "Echo");
    let meanwhile = daemon.wait_for("Echo: meanwhile.", SOON);
    let done = names.iter().map(|name| daemon.wait_for(&format!("{name}: has heard 0."), SOON));
    assert!(done.min().expect("there are some") > meanwhile, "{daemon:?}");
    assert!(!daemon.lines().iter().any(|line| line.text.contains("has blocked")), "{daemon:?}");
}

#[test]
fn a_record_that_is_no_message_goes_to_dead_and_the_next_one_is_handled() {
    for task in ["Counter", "Echo"] {
        let world = World::new();
        let daemon = world.own_daemon("{ Counter => {}, Echo => {} }").start();
        world.send_bytes(b"\xff\xff no message", task);
        daemon.wait_for("held a message that cannot be read", SOON);
        assert_eq!(why(&world.take("dead", 1, SOON)[0]).0, task);
        world.send("{from => 'a', n => 1, text => 'next'}", task);
        daemon.wait_for(if task == "Counter" { "has heard 1." } else { "Echo: next." }, SOON);
    }
}

#[test]
fn a_mapped_file_that_is_cut_short_ends_the_daemon_with_74_and_is_named() {
    let world = World::new();
    let daemon = world.own_daemon("{ Echo => {} }").start();
    world.send("{text => 'before'}", "Echo");
    daemon.wait_for("Echo: before.", SOON);
    let index = world.transit().join("Echo/index");
    std::fs::File::options().write(true).open(&index).unwrap().set_len(0).unwrap();
    assert_eq!(daemon.exit_code(SOON), 74, "{daemon:?}");
    assert!(daemon.lines().iter().any(|line| line.text.contains("Echo/index")), "{daemon:?}");
}
