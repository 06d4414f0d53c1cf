//! How programs end: in order, at once, refused; and with which code.

use std::fs;
use std::time::Instant;

use crate::children::Exit;
use crate::world::{SOON, World};

const ECHO: &str = "{ Echo => {}, Router => { routes => [ { match => { source => 'Echo' }, \
                    forwards => [ { qname => 'Second' } ] } ] } }";

#[test]
fn sigterm_ends_in_order_too_and_says_so() {
    let world = World::new();
    let daemon = world.daemon().config("{ Example1 => { is_external => 0 } }").prefix("mytasks::").start();
    daemon.wait_for("runs", SOON);
    daemon.terminate();
    daemon.wait_for("caught SIGTERM. starting orderly exit", SOON);
    assert_eq!(daemon.exit_code(SOON), 0);
    assert!(world.state().join("Example1.state").exists());
}

#[test]
fn what_is_in_mailboxes_is_delivered_before_the_end() {
    let world = World::new();
    let daemon = world.own_daemon(ECHO).start();
    daemon.wait_for("Echo: started", SOON);
    world.send("{emit => 50, text => 'emitted'}", "Echo");
    daemon.wait_for("Second: number 0.", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    assert_eq!(daemon.stdout().matches("Second: number ").count(), 50, "{daemon:?}");
}

#[test]
fn a_task_that_does_not_come_to_an_end_is_given_up_after_two_seconds_and_its_message_is_still_there() {
    let world = World::new();
    let daemon = world.own_daemon("{ Echo => {} }").start();
    world.send("{text => 'a', wait_ms => 600000}", "Echo");
    world.send("{text => 'b'}", "Echo");
    daemon.wait_for("Echo: took a", SOON);
    let asked = Instant::now();
    daemon.interrupt();
    daemon.wait_for("Echo did not end within 2 s and is given up", SOON);
    assert_ne!(daemon.exit_code(SOON), 0);
    assert!(asked.elapsed().as_secs_f64() > 1.5, "it had its time: {:?}", asked.elapsed());
    assert_eq!(world.waiting("Echo"), 2);
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let world = World::new();
    let daemon = world.own_daemon("{ Echo => {} }").start();
    world.send("{text => 'a', wait_ms => 600000}", "Echo");
    daemon.wait_for("Echo: took a", SOON);
    daemon.interrupt();
    daemon.wait_for("caught SIGINT. starting orderly exit", SOON);
    daemon.interrupt();
    daemon.wait_for("ended at once, on a second signal", SOON);
    assert_ne!(daemon.exit_code(SOON), 0);
    assert!(!daemon.lines().iter().any(|line| line.text.contains("given up")), "{daemon:?}");
    assert_eq!(world.waiting("Echo"), 1);
}

#[test]
fn a_second_daemon_on_the_same_state_directory_is_refused_with_the_pid() {
    let world = World::new();
    let config = "{ Example1 => {} }";
    let first = world.daemon().config(config).prefix("mytasks::").start();
    first.wait_for("runs", SOON);
    let second = world.daemon().config(config).prefix("mytasks::").start();
    assert_eq!(second.exit_code(SOON), 69);
    second.wait_for(&format!("program is already running under PID {}", first.pid()), SOON);
    first.kill();
    assert_eq!(first.exit(SOON), Exit::Signal(9));
    let third = world.daemon().config(config).prefix("mytasks::").start();
    third.wait_for("runs", SOON);
}

#[test]
fn a_program_ends_with_the_code_that_says_what_was_wrong() {
    let world = World::new();
    let daemon = |words: &[&str]| words.iter().fold(world.daemon(), |d, word| d.arg(word)).start().exit_code(SOON);
    assert_eq!(daemon(&["--help"]), 0);
    assert_eq!(daemon(&["--version"]), 0);
    assert_eq!(daemon(&["--no-such-option"]), 64);
    assert_eq!(daemon(&["-m", "main"]), 64);
    assert_eq!(daemon(&["-c", "no-such.conf"]), 78);
    assert_eq!(daemon(&["-s", "/proc/no/such"]), 74);
    assert_eq!(daemon(&["-T", "/proc/no/such", "-s", "other"]), 74);
    assert_eq!(world.strans(&["{a => 1}"]).code, 64);
    assert_eq!(world.strans(&["howdy", "Q"]).code, 65);
    assert_eq!(world.strans(&["{a => 1}", "Q", "elsewhere"]).code, 69);
    assert_eq!(world.strans(&["-P", "/proc/no/such", "{a => 1}", "Q"]).code, 74);
    assert_eq!(world.rtrans(&["--timeout", "0.01", "Q"]).code, 75);
}

#[test]
fn the_daemon_may_open_as_many_files_as_the_kernel_lets_it() {
    let world = World::new();
    let program = env!("CARGO_BIN_EXE_multimodule");
    world.write_config("{}");
    let script = format!("ulimit -S -n 64; exec {program} -c test.conf");
    let daemon = world.program("/bin/sh").arg("-c").arg(script).start();
    daemon.wait_for("runs", SOON);
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), words.next(), "{line}");
}

#[test]
fn without_a_config_it_says_on_a_terminal_that_it_waits_for_one() {
    let world = World::new();
    // The end is asked for before the start, so that the terminal's program ends by itself.
    world.send("{'.multimodule' => {control => [{type => 'cleanly_exit'}]}}", "MultiModule_control");
    let typed = env!("CARGO_BIN_EXE_multimodule");
    let outcome = world.run("script", &["-qec", typed, "/dev/null"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("waiting for one on the control queue MultiModule_control"), "{outcome:?}");
}
