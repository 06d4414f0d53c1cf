//! What a keeper looks like from outside.

use std::fs;
use std::time::Instant;

use multimodule::process::{NONCE_VARIABLE, ProcessIdentity};
use multimodule::restart::When;
use nix::unistd::{Pid, getpgid, getsid};

use crate::world::{World, argument, policy};

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
    order.name = multimodule::name::TaskName::new(&name).unwrap();
    let keeper = world.spawn(&order).unwrap();
    let shown = fs::read(format!("/proc/{}/cmdline", keeper.pid)).unwrap();
    crate::world::signal(&keeper, nix::sys::signal::Signal::SIGTERM);
    assert_eq!(shown, format!("multimodule keeper {name}\0").as_bytes());
    crate::world::ended(&keeper);
}

#[test]
fn a_keeper_and_its_host_hold_only_the_descriptors_that_they_need() {
    let _inherited = fs::File::open("/dev/zero").unwrap();
    let mut world = World::new();
    let keeper =
        world.keep("ls -l /proc/$$/fd >$DIR/fds; echo done >>$DIR/fds; exec sleep 600", policy(When::Never, 0));
    let mut held: Vec<String> = fs::read_dir(format!("/proc/{}/fd", keeper.pid))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().to_string_lossy().into_owned())
        .map(|target| target.replace(&world.path().display().to_string(), "DIR"))
        .collect();
    held.sort();
    let program = fs::canonicalize("/bin/sh").unwrap().display().to_string();
    let expected = ["/dev/null", &program, "DIR/T.keeper", "DIR/log/T.log", "DIR/log/T.log", "anon_inode:[signalfd]"];
    assert_eq!(held, expected);
    let hosts = world.lines("fds", 5).join("\n");
    assert!(hosts.contains("0 -> /dev/null") && hosts.contains("1 -> ") && hosts.contains("2 -> "), "{hosts}");
    assert!(!hosts.contains("T.keeper") && !hosts.contains("signalfd") && !hosts.contains("pipe"), "{hosts}");
}

#[test]
fn a_host_finds_its_own_record_when_it_begins() {
    let mut world = World::new();
    world.keep("cat $DIR/T.process; echo $$ $MULTIMODULE_NONCE >$DIR/own; exec sleep 600", policy(When::Never, 0));
    let record = world.record();
    assert_eq!(world.lines("own", 1), [format!("{} {}", record.host.pid, record.nonce)]);
    assert!(world.log().contains(&format!("host:(pid:{}", record.host.pid)), "{}", world.log());
    let environment = fs::read_to_string(format!("/proc/{}/environ", record.host.pid)).unwrap();
    assert!(environment.contains(&format!("{NONCE_VARIABLE}={}", record.nonce)));
    assert_eq!((record.starts, record.program.as_str()), (1, "a shell"));
    assert!(record.host_identity().exists().unwrap() && record.keeper_identity().exists().unwrap());
}

#[test]
fn a_keeper_takes_little_memory_of_its_own() {
    let worlds: Vec<World> = (0..5).map(|_| kept()).collect();
    let mut uss: Vec<u64> = worlds.iter().map(|world| uss_kib(world.record().keeper.pid)).collect();
    uss.sort_unstable();
    println!("memory of its own, five keepers with a spawner each, in KiB: {uss:?}");
    let mut world = World::new();
    let begin = Instant::now();
    let keeper = world.keep("exec sleep 600", policy(When::Never, 0));
    println!("from order to answer: {:?}", begin.elapsed());
    let alone = uss_kib(keeper.pid);
    println!("memory of its own of a further one: {alone} KiB");
    // Only a binary that is optimised is what users run.
    if !cfg!(debug_assertions) {
        assert!(alone <= MAX_USS_KIB && uss.iter().all(|kib| *kib <= MAX_USS_KIB), "{alone} {uss:?}");
    }
}

fn kept() -> World {
    let mut world = World::new();
    world.keep("exec sleep 600", policy(When::Never, 0));
    world
}
