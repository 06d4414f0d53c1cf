//! The daemon as process 1 of a container.

use std::fs;
use std::process::Command;

use multimodule::process::ProcessIdentity;
use nix::sys::signal::Signal;

use crate::processes::{kill, signal};
use crate::world::{SOON, World};

/// Runs what follows as process 1 of a namespace of its own, with a `/proc` of its own.
const NAMESPACE: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];

/// A child of a process: its pid, as we see it, its state, and its command line.
struct Child {
    pid: u32,
    state: char,
    words: String,
}

fn children(parent: u32) -> Vec<Child> {
    let pids = fs::read_dir("/proc")
        .expect("there is a /proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        // One that ends meanwhile is none.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let (state, its_parent) = (fields.next()?.chars().next()?, fields.next()?);
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        (its_parent == parent.to_string()).then_some(Child { pid, state, words })
    })
    .collect()
}

fn identity(pid: u32) -> ProcessIdentity {
    ProcessIdentity::of(pid).expect("there is a /proc").expect("it lives")
}

#[test]
fn as_process_one_the_daemon_passes_on_signals_and_leaves_no_zombies_of_processes_that_lost_their_parents() {
    let tried = Command::new("unshare").args(NAMESPACE).arg("true").output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        println!("no namespace of processes can be made here ({tried:?}): nothing is checked");
        return;
    }
    let world = World::new();
    let daemon = NAMESPACE.into_iter().fold(world.program("unshare"), |daemon, word| daemon.arg(word));
    let daemon = daemon.arg(env!("CARGO_BIN_EXE_multimodule")).config("{ Example1 => {} }").prefix("mytasks::");
    let daemon = daemon.start();
    daemon.wait_for(" runs 2 tasks", SOON);
    let one = world.wait_for("process 1", || children(daemon.pid()).first().map(|child| child.pid));
    let child = |what: &str, other_than: u32| {
        let is_meant = |child: &Child| child.words.contains(what) && child.pid != other_than && child.state != 'Z';
        world.wait_for(what, || children(one).into_iter().find(is_meant)).pid
    };
    let keeper = child("multimodule keeper Example1", 0);
    let host = world.wait_for("a host", || children(keeper).into_iter().find(|child| child.words.contains("-m Exam")));
    kill(&identity(keeper));
    // Without its keeper it is nobody's child, and so that of process 1.
    assert_eq!(child("-m Example1", 0), host.pid);
    kill(&identity(host.pid));
    child("multimodule keeper Example1", keeper);
    let zombies = || children(one).iter().filter(|child| child.state == 'Z').count();
    world.wait_for("end of the zombies", || (zombies() == 0).then_some(()));
    signal(&identity(one), Signal::SIGTERM);
    assert_eq!(daemon.exit_code(SOON), 0);
}
