//! The transit: with and without a daemon, one consumer a queue, one directory a user.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::{SOON, World};

const ECHO: &str = "{ Echo => {} }";

#[test]
fn a_message_waits_where_no_daemon_runs_and_strans_says_so() {
    let world = World::new();
    let outcome = world.strans(&["{text => 'early'}", "Echo"]);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stderr.contains("nobody reads queue Echo now; the message waits there"), "{outcome:?}");
    let daemon = world.own_daemon(ECHO).start();
    daemon.wait_for("Echo: early.", SOON);
}

#[test]
fn a_misspelt_queue_is_told_with_what_is_meant_and_the_message_is_kept() {
    let world = World::new();
    world.write_config(include_str!("../../conf/test.conf"));
    let daemon = world.daemon().arg("-c").arg("test.conf").prefix("mytasks::").start();
    daemon.wait_for("1 (howdy)", SOON);
    let outcome = world.strans(&["{new_ct => 999}", "Exmaple1"]);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stderr.contains("did you mean \"Example1\"?"), "{outcome:?}");
    assert_eq!(world.waiting("Exmaple1"), 1);
    assert_eq!(world.strans(&["{a => 1}", "Example1"]).stderr, "");
}

#[test]
fn messages_wait_while_the_daemon_is_away_and_arrive_in_the_order_in_which_they_were_sent() {
    let world = World::new();
    let daemon = world.own_daemon(ECHO).start();
    world.send("{text => 'first'}", "Echo");
    daemon.wait_for("Echo: first.", SOON);
    daemon.kill();
    daemon.exit(SOON);
    for text in ["second", "third", "fourth"] {
        assert_eq!(world.strans(&[&format!("{{text => '{text}'}}"), "Echo"]).code, 0);
    }
    let daemon = world.own_daemon(ECHO).start();
    daemon.wait_for("Echo: fourth.", SOON);
    let said: Vec<_> = daemon.stdout().lines().filter_map(|l| l.strip_prefix("Echo: ")).map(str::to_owned).collect();
    let said: Vec<_> = said.iter().filter(|text| !text.starts_with("started")).map(String::as_str).collect();
    // What was handled before the kill, and not finished in the queue yet, may come again.
    assert!(said.ends_with(&["second.", "third.", "fourth."]) && said.len() <= 4, "{said:?}");
}

#[test]
fn a_message_to_a_stateless_task_that_nobody_configured_loads_it() {
    let world = World::new();
    let daemon = world.daemon().config("{}").prefix("mytasks::").start();
    daemon.wait_for("runs", SOON);
    world.send("{ct => 5, outstr => 'loaded'}", "Example2");
    daemon.wait_for("Example2: received a message: 5 (loaded)", SOON);
}

#[test]
fn a_second_daemon_waits_for_a_task_whose_queue_another_one_reads_and_names_it_once() {
    let world = World::new();
    let config = "{ Counter => { is_external => 0 }, Echo => {} }";
    let first = world.own_daemon(config).start();
    first.wait_for("Counter: started", SOON);
    first.wait_for("Echo: started", SOON);
    let second = world.own_daemon(config).own_state("other").start();
    let state = world.state();
    let holder = format!("is consumed by pid {}, state directory {}", first.pid(), state.display());
    let waits = [format!("Counter: waits: queue Counter {holder}"), format!("task Echo waits: its queue {holder}")];
    for text in &waits {
        second.wait_for(text, SOON);
    }
    world.send("{from => 'a', n => 1, text => 'one'}", "Counter");
    first.wait_for("has heard 1.", SOON);
    first.interrupt();
    assert_eq!(first.exit_code(SOON), 0);
    // Each looks once a second: it takes over what the first has left.
    second.wait_for("Counter: started", SOON);
    world.send("{from => 'a', n => 2}", "Counter");
    second.wait_for("has heard 1.", SOON);
    world.send("{text => 'over'}", "Echo");
    second.wait_for("Echo: over.", SOON);
    for text in &waits {
        let told = second.lines().iter().filter(|line| line.text.contains(text)).count();
        assert_eq!(told, 1, "{second:?}");
    }
}

#[test]
fn rtrans_is_refused_a_queue_that_a_task_reads_and_takes_one_that_nobody_reads() {
    let world = World::new();
    let daemon = world.own_daemon(ECHO).start();
    world.wait_for("reader of Echo", || world.queue("Echo")?.consumer);
    let outcome = world.rtrans(&["-s", "--timeout", "10", "Echo"]);
    assert_eq!(outcome.code, 69);
    assert!(outcome.stderr.contains(&format!("pid {}", daemon.pid())), "{outcome:?}");
    world.send("{b => 1, a => 2}", "Free");
    let outcome = world.rtrans(&["-s", "--timeout", "10", "Free"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "{\n  \"a\": 2,\n  \"b\": 1\n}\n"));
}

#[test]
fn the_directory_is_the_variables_unless_an_option_names_another_and_is_its_users_alone() {
    let world = World::new();
    assert_eq!(world.strans(&["{text => 'by variable'}", "Example2"]).code, 0);
    assert_eq!(world.strans(&["-P", "by/option", "{ct => 1, outstr => 'by option'}", "Example2"]).code, 0);
    assert_eq!(world.waiting("Example2"), 1);
    for directory in [world.transit(), world.path().join("by/option")] {
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700, "{}", directory.display());
    }
    let config = "{ Example2 => {} }";
    let daemon = world.daemon().config(config).prefix("mytasks::").arg("-T").arg("by/option").start();
    daemon.wait_for("Example2: received a message: 1 (by option)", SOON);
    assert_eq!(world.waiting("Example2"), 1, "the other transit is another's");
    assert!(world.qtrans(&["-P", "by/option", "-a"]).stdout.contains("Example2"));
    assert!(world.qtrans(&[]).stdout.contains("Example2"));
}

#[test]
fn without_a_variable_the_queues_lie_where_the_user_keeps_state() {
    let world = World::new();
    let program = env!("CARGO_BIN_EXE_strans");
    let root = nix::unistd::Uid::effective().is_root();
    // Root's place is the machine's, which a test must not touch: root is only asked for help.
    let words = if root { "--help" } else { "'{a => 1}' Q" };
    let outcome = world.run("/bin/sh", &["-c", &format!("unset MULTIMODULE_TRANSIT; exec {program} {words}")]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let transit = world.path().join("home/state/multimodule/transit");
    assert!(if root { outcome.stdout.contains("/var/lib/multimodule/transit") } else { transit.join("Q").is_dir() });
}

#[test]
fn a_removed_transit_directory_is_reported_and_messages_arrive_again() {
    let world = World::new();
    let daemon = world.own_daemon("{ Counter => {}, Echo => {} }").start();
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("has heard 1.", SOON);
    daemon.wait_for("Echo: started", SOON);
    fs::remove_dir_all(world.transit()).unwrap();
    world.send("{from => 'a', n => 2}", "Counter");
    world.send("{text => 'anew'}", "Echo");
    daemon.wait_for("has heard 2.", SOON);
    daemon.wait_for("Echo: anew.", SOON);
    for queue in ["Counter", "Echo"] {
        daemon.wait_for(&format!("queue {queue}: its directory was removed or replaced"), SOON);
    }
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    assert_eq!(world.saved_state("Counter"), "({\"a\":[1,2]})");
}
