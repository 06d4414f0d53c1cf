//! What a keeper looks like from outside.

use std::fs;
use std::os::fd::AsFd;
use std::time::Instant;

use multimodule::name::TaskName;
use multimodule::process::{NONCE_VARIABLE, ProcessIdentity};
use multimodule::restart::When;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpgid, getsid};

use crate::world::{World, argument, ended, new_spawner, policy, signal, wait_for};

/// What a keeper may hold of memory of its own.
const MAX_USS_KIB: u64 = 256;

fn parent(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    line.trim().parse().unwrap()
}

fn raw(process: &ProcessIdentity) -> Pid {
    Pid::from_raw(i32::try_from(process.pid).unwrap())
}

/// Private memory of a process, in KiB.
fn uss_kib(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    private.map(|line| line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn a_keeper_is_nobodys_child_and_has_a_session_and_a_title_of_its_own() {
    let mut world = World::new();
    let keeper = world.keep("echo; exec sleep 600", policy(When::Always, 3));
    let strangers = [std::process::id(), world.spawner.pid()];
    assert!(!strangers.contains(&parent(keeper.pid)));
    assert_eq!(getsid(Some(raw(&keeper))).unwrap(), raw(&keeper));
    assert_eq!(fs::read(format!("/proc/{}/cmdline", keeper.pid)).unwrap(), b"multimodule keeper T\0");
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", keeper.pid)).unwrap(), "keeper T\n");
    let host = world.record().host_identity();
    assert_eq!(parent(host.pid), keeper.pid);
    assert_eq!(getpgid(Some(raw(&host))).unwrap(), raw(&host), "a host that signals its group spares its keeper");
    assert_eq!(getsid(Some(raw(&host))).unwrap(), raw(&keeper));
}

#[test]
fn a_title_holds_the_longest_name_whole() {
    let mut world = World::new();
    let name = "n".repeat(240);
    let mut order = world.order("exit 0", policy(When::Never, 0));
    order.arguments = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 600 & wait; done"].map(argument).to_vec();
    order.name = TaskName::new(&name).unwrap();
    let keeper = world.spawn(&order).unwrap();
    let shown = fs::read(format!("/proc/{}/cmdline", keeper.pid)).unwrap();
    signal(&keeper, Signal::SIGTERM);
    assert_eq!(shown, format!("multimodule keeper {name}\0").as_bytes());
    ended(&keeper);
}

#[test]
fn a_keeper_and_its_host_hold_only_the_descriptors_that_they_need() {
    // One that exec does not close: it reaches the spawner, and goes no further.
    let _inherited = nix::unistd::dup(fs::File::open("/dev/zero").unwrap()).unwrap();
    let mut world = World::new();
    let script = "ls -l /proc/$$/fd >$DIR/open; mv $DIR/open $DIR/fds; exec sleep 600";
    let keeper = world.keep(script, policy(When::Never, 0));
    let program = fs::canonicalize("/bin/sh").unwrap().display().to_string();
    let expected = ["/dev/null", &program, "DIR/T.keeper", "DIR/log/T.log", "DIR/log/T.log", "anon_inode:[signalfd]"];
    // It has answered a moment before it closes the pipe on which it did.
    wait_for("the last descriptor's end", || (held(&world, keeper.pid) == expected).then_some(()));
    let hosts = world.lines("fds", 3).join("\n");
    assert!(hosts.contains("0 -> /dev/null") && hosts.contains("1 -> ") && hosts.contains("2 -> "), "{hosts}");
    for other in ["T.keeper", "signalfd", "pipe", "socket", "/dev/zero"] {
        assert!(!hosts.contains(other), "{hosts}");
    }
}

fn held(world: &World, pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let texts = targets.map(|target| target.to_string_lossy().replace(&world.path().display().to_string(), "DIR"));
    let mut held: Vec<String> = texts.collect();
    held.sort();
    held
}

#[test]
fn a_host_finds_its_own_record_when_it_begins() {
    let mut world = World::new();
    world.keep("cat $DIR/T.process; echo $$ $MULTIMODULE_NONCE >$DIR/own; exec sleep 600", policy(When::Never, 0));
    let record = world.record();
    assert_eq!(world.lines("own", 1), [format!("{} {}", record.host.pid, record.nonce)]);
    assert!(world.log().contains(&format!("host:(pid:{}", record.host.pid)), "{}", world.log());
    let mark = format!("{NONCE_VARIABLE}={}", record.nonce);
    // While the shell becomes another program there is nothing to read.
    let environment = || fs::read_to_string(format!("/proc/{}/environ", record.host.pid)).unwrap();
    wait_for("the mark", || environment().split('\0').any(|one| one == mark).then_some(()));
    assert_eq!((record.starts, record.program.as_str()), (1, "a shell"));
    assert!(record.host_identity().exists().unwrap() && record.keeper_identity().exists().unwrap());
}

#[test]
fn a_keeper_takes_little_memory_of_its_own() {
    let mut spawner = new_spawner();
    let worlds: Vec<World> = (0..10).map(|_| World::new()).collect();
    let program = fs::File::open("/bin/sh").unwrap();
    let begin = Instant::now();
    for world in &worlds {
        let order = world.order("exec sleep 600", policy(When::Never, 0));
        spawner.spawn(&order, program.as_fd()).unwrap();
    }
    let each = begin.elapsed() / 10;
    let uss: Vec<u64> = worlds.iter().map(|world| uss_kib(world.record().keeper.pid)).collect();
    println!("from order to answer {each:?}; memory of their own of ten keepers, in KiB: {uss:?}");
    // Only a binary that is optimised is what users run.
    if !cfg!(debug_assertions) {
        assert!(uss.iter().all(|kib| *kib <= MAX_USS_KIB), "{uss:?}");
    }
}
