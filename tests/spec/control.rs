//! The control queue: config and commands by message.

use crate::daemon::Daemon;
use crate::world::{SOON, World};

const CONTROL: &str = "MultiModule_control";

const FILE: &str = "{ Counter => { label => 'by file' } }";

fn by_message(label: &str) -> String {
    format!("{{'.multimodule' => {{config => {{Counter => {{label => '{label}'}}}}}}}}")
}

fn started(daemon: &Daemon, label: &str) {
    daemon.wait_for(&format!("Counter: started {label}"), SOON);
}

#[test]
fn a_config_by_message_overlays_the_file_until_the_files_entry_changes() {
    let world = World::new();
    let daemon = world.own_daemon(FILE).start();
    started(&daemon, "by file");
    assert_eq!(world.strans(&[&by_message("by message"), CONTROL]).code, 0);
    started(&daemon, "by message");
    // Another entry changes: the message's word stands.
    world.write_config("{ Counter => { label => 'by file' }, Echo => { label => 'new' } }");
    daemon.wait_for("Echo: started new", SOON);
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("has heard 1.", SOON);
    assert_eq!(daemon.stdout().matches("Counter: started").count(), 2, "{daemon:?}");
    world.write_config("{ Counter => { label => 'by the new file' }, Echo => { label => 'new' } }");
    started(&daemon, "by the new file");
}

#[test]
fn a_message_may_bring_a_task_that_no_file_names() {
    let world = World::new();
    let daemon = world.own_daemon("{ Echo => {} }").start();
    daemon.wait_for("Echo: started", SOON);
    world.send(&by_message("by message"), CONTROL);
    started(&daemon, "by message");
}

#[test]
fn messages_that_wait_at_start_are_applied_after_the_file() {
    let world = World::new();
    world.send(&by_message("waited"), CONTROL);
    let daemon = world.own_daemon(FILE).start();
    started(&daemon, "waited");
    let lines = daemon.stdout();
    assert!(lines.find("started by file") < lines.find("started waited"), "{lines}");
}

#[test]
fn a_faulty_config_by_message_is_refused_with_the_reason_and_what_runs_goes_on() {
    let world = World::new();
    let daemon = world.own_daemon(FILE).start();
    started(&daemon, "by file");
    world.send("{'.multimodule' => {config => {Counter => {labell => 'x'}}}}", CONTROL);
    daemon.wait_for("labell", SOON);
    daemon.wait_for("did you mean \"label\"", SOON);
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("has heard 1.", SOON);
}

#[test]
fn both_spellings_end_the_daemon_in_order() {
    for spelling in ["cleanly_exit", "exit_cleanly"] {
        let world = World::new();
        let daemon = world.own_daemon(FILE).start();
        started(&daemon, "by file");
        let message = format!("{{'.multimodule' => {{control => [{{type => '{spelling}', exit_externals => 1}}]}}}}");
        world.send(&message, CONTROL);
        daemon.wait_for("Counter: stopped", SOON);
        assert_eq!(daemon.exit_code(SOON), 0);
        assert_eq!(world.waiting(CONTROL), 0, "the command must not end the next daemon too");
    }
}

#[test]
fn debug_raises_the_level_of_what_is_said() {
    let world = World::new();
    let daemon = world.daemon().config("{}").prefix("mytasks::").arg("-o").arg("log:1,error:2,debug:1").start();
    daemon.wait_for("runs", SOON);
    world.send("{'.multimodule' => {control => [{type => 'debug', level => 1}]}}", CONTROL);
    daemon.wait_for("the debug level is 1 now", SOON);
    world.write_config("{ Example2 => {} }");
    daemon.wait_for("[DEBUG]", SOON);
}

#[test]
fn another_control_queue_may_be_named() {
    let world = World::new();
    let daemon = world.daemon().config("{}").arg("-q").arg("Steering").start();
    daemon.wait_for("runs", SOON);
    world.send("{'.multimodule' => {control => [{type => 'cleanly_exit'}]}}", "Steering");
    assert_eq!(daemon.exit_code(SOON), 0);
}

#[test]
fn what_the_control_queue_does_not_understand_is_reported_and_nothing_ends() {
    let world = World::new();
    let daemon = world.own_daemon(FILE).start();
    for (message, reason) in [
        ("{new_ct => 999}", "no key `.multimodule`"),
        ("{'.multimodule' => {control => [{type => 'dance'}]}}", "\"dance\" is no type of control"),
        ("{'.multimodule' => {config => 'x'}}", "`config` is text"),
    ] {
        world.send(message, CONTROL);
        daemon.wait_for(reason, SOON);
    }
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("has heard 1.", SOON);
}
