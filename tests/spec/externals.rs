//! External tasks: where they run, what outlives what, and how they end.

use multimodule::process::{HostRecord, ProcessIdentity};
use nix::sys::signal::Signal;

use crate::daemon::Daemon;
use crate::processes::{kill, lives, parent_session_and_words, signal};
use crate::world::{SOON, World};

const HOWDY: &str = "Example2: received a message: ";

fn tutorial(world: &World, entry: &str) -> Daemon {
    tutorial_saying(world, "howdy", entry)
}

fn tutorial_saying(world: &World, outstr: &str, entry: &str) -> Daemon {
    let config = format!(
        "{{ Example1 => {{ outstr => '{outstr}', {entry} }}, Router => {{ routes => [ {{ match => {{ source => 'Example1' }}, \
         forwards => [ {{ qname => 'Example2' }} ] }} ] }} }}"
    );
    world.daemon().config(&config).prefix("mytasks::").start()
}

fn both(record: &HostRecord) -> [ProcessIdentity; 2] {
    [record.keeper_identity(), record.host_identity()]
}

#[test]
fn a_stateful_task_runs_in_a_process_of_its_own_that_is_no_child_of_the_daemon() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    let (keeper, session, words) = parent_session_and_words(record.host.pid);
    assert!(words.contains("multimodule") && words.contains(" -m Example1 "), "{words}");
    assert_eq!((keeper, session), (record.keeper.pid, record.keeper.pid));
    let (parent, _, words) = parent_session_and_words(record.keeper.pid);
    assert_ne!(parent, daemon.pid());
    assert_eq!(words, "multimodule keeper Example1");
}

#[test]
fn what_an_external_task_prints_reaches_the_terminal_and_its_log_as_it_is() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for(&format!("{HOWDY}3 (howdy)"), SOON);
    let log = std::fs::read_to_string(world.state().join("log/Example1.log")).unwrap();
    assert!(log.contains(&format!("{HOWDY}1 (howdy)\n{HOWDY}2 (howdy)\n")), "{log}");
}

#[test]
fn with_is_external_false_it_runs_in_the_daemon() {
    let world = World::new();
    let daemon = tutorial(&world, "is_external => 0");
    daemon.wait_for("2 (howdy)", SOON);
    assert_eq!(world.record("Example1"), None);
}

#[test]
fn ctrl_c_ends_external_tasks_and_their_keepers() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    world.wait_ended(&both(&record));
}

#[test]
fn sigterm_leaves_external_tasks_running_and_the_next_daemon_adopts_them() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    daemon.terminate();
    daemon.wait_for("caught SIGTERM. starting orderly exit", SOON);
    assert_eq!(daemon.exit_code(SOON), 0);
    assert!(both(&record).iter().all(lives));
    let daemon = tutorial(&world, "");
    daemon.wait_for("Example1: adopted: pid", SOON);
    daemon.wait_for(HOWDY, SOON);
    assert_eq!(world.process("Example1"), record, "it was not started again");
}

#[test]
fn after_a_crash_of_the_daemon_they_go_on_and_are_adopted() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    daemon.kill();
    daemon.exit(SOON);
    world.wait_for("a line without a daemon", || world.logs().contains("3 (howdy)").then_some(()));
    let daemon = tutorial_saying(&world, "again", "");
    daemon.wait_for("Example1: adopted", SOON);
    daemon.wait_for("(again)", SOON);
    assert_eq!(world.process("Example1").host, record.host);
}

#[test]
fn an_adopted_task_is_not_ended_meanwhile() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    daemon.kill();
    daemon.exit(SOON);
    let daemon = tutorial(&world, "");
    let adopted = daemon.wait_for("Example1: adopted: pid", SOON);
    let heard = daemon.wait_for_after(adopted, HOWDY, SOON);
    daemon.wait_for_after(heard, HOWDY, SOON);
    assert_eq!(world.process("Example1"), record);
    assert!(!world.state().join("Example1.end").exists(), "nothing of it has ended");
}

#[test]
fn a_host_that_is_killed_is_started_again_and_goes_on_with_its_state_also_without_a_daemon() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("2 (howdy)", SOON);
    let record = world.process("Example1");
    daemon.kill();
    daemon.exit(SOON);
    kill(&record.host_identity());
    let again = world.wait_for("a new host", || world.record("Example1").filter(|new| new.host != record.host));
    assert_eq!(again.keeper, record.keeper);
    world.wait_for("its next number", || world.logs().contains("4 (howdy)").then_some(()));
}

#[test]
fn a_host_whose_keeper_was_killed_goes_on_and_is_started_again_by_the_daemon_when_it_ends() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    kill(&record.keeper_identity());
    world.wait_ended(&[record.keeper_identity()]);
    let before = daemon.lines().len();
    daemon.wait_for_after(before, HOWDY, SOON);
    assert!(lives(&record.host_identity()));
    kill(&record.host_identity());
    let again = world.wait_for("a new keeper", || world.record("Example1").filter(|new| new.keeper != record.keeper));
    assert_ne!(again.host, record.host);
    let before = daemon.lines().len();
    daemon.wait_for_after(before, HOWDY, SOON);
}

#[test]
fn a_killed_spawner_is_replaced_when_it_is_needed() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    // Whichever thread started it.
    let threads = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let children = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
    let spawner: u32 = children.collect::<String>().trim().parse().expect("the daemon has one child, the spawner");
    let spawner = ProcessIdentity::of(spawner).unwrap().unwrap();
    kill(&spawner);
    let record = world.process("Example1");
    kill(&record.keeper_identity());
    kill(&record.host_identity());
    let again = world.wait_for("a new keeper", || world.record("Example1").filter(|new| new.keeper != record.keeper));
    assert!(lives(&again.keeper_identity()));
}

#[test]
fn what_the_next_daemon_does_not_want_is_ended() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    daemon.kill();
    daemon.exit(SOON);
    let daemon = world.daemon().config("{ Tally => { is_external => 0 } }").prefix("mytasks::").start();
    daemon.wait_for("runs", SOON);
    world.wait_ended(&both(&record));
    world.wait_for("an end of its record", || world.record("Example1").is_none().then_some(()));
}

#[test]
fn a_daemon_that_is_refused_at_its_start_leaves_what_runs_alone() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    daemon.kill();
    daemon.exit(SOON);
    for faulty in ["{ Example1 => {", "{ Example1 => { outsrt => 'x' } }", "{ Example1 => { workers => 2 } }"] {
        let daemon = world.daemon().config(faulty).prefix("mytasks::").start();
        assert_eq!(daemon.exit_code(SOON), 78, "{daemon:?}");
    }
    let daemon = tutorial(&world, "");
    daemon.wait_for("Example1: adopted: pid", SOON);
    assert_eq!(world.process("Example1"), record);
}

#[test]
fn a_stopped_host_is_told_and_neither_killed_nor_waited_for() {
    let world = World::new();
    let daemon = tutorial(&world, "");
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    daemon.kill();
    daemon.exit(SOON);
    signal(&record.host_identity(), Signal::SIGSTOP);
    let daemon = tutorial(&world, "");
    daemon.wait_for("Example1: alive but silent: pid", SOON);
    assert!(lives(&record.host_identity()));
    signal(&record.host_identity(), Signal::SIGCONT);
    daemon.wait_for(HOWDY, SOON);
    assert_eq!(world.process("Example1").host, record.host);
}
