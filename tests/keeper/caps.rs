//! Each hard cap, seen in a real host.

use multimodule::process::{Caps, How, user_number};
use multimodule::restart::When;

use crate::world::{World, argument, ended, policy};

/// Runs a host with these caps to its end.
fn run(caps: Caps, script: &str) -> (World, How) {
    let mut world = World::new();
    let mut order = world.order(script, policy(When::Never, 0));
    order.caps = caps;
    let keeper = world.spawn(&order).unwrap();
    ended(&keeper);
    let how = world.end().unwrap().how;
    (world, how)
}

fn check(caps: Caps, script: &str, expected: &How, words: &str) {
    let (world, how) = run(caps.clone(), script);
    assert_eq!(&how, expected, "{caps:?}: {}", world.log());
    assert!(world.log().contains(words), "{caps:?}: {words:?} is not in {}", world.log());
}

/// The soft and the hard limit, as the kernel lists them.
fn limits(list: &str, name: &str) -> String {
    let line = list.lines().find(|line| line.starts_with(name)).unwrap();
    let words: Vec<&str> = line[name.len()..].split_whitespace().take(2).collect();
    words.join(" ")
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

#[test]
fn the_kernel_has_the_limits_that_were_ordered() {
    let caps = Caps {
        memory_bytes: Some(100 << 20),
        cpu_seconds: Some(1000),
        files: Some(64),
        processes: Some(500),
        file_bytes: Some(32 << 20),
        ..Caps::default()
    };
    let (world, how) = run(caps, "cat /proc/$$/limits");
    assert_eq!(how, How::Exited(0));
    let log = world.log();
    for (name, expected) in [
        ("Max data size", "104857600 104857600"),
        ("Max cpu time", "1000 1001"),
        ("Max open files", "64 64"),
        ("Max processes", "500 500"),
        ("Max file size", "33554432 33554432"),
    ] {
        assert_eq!(limits(&log, name), expected, "{name}");
    }
    let (name, ours) = ("Max address space", std::fs::read_to_string("/proc/self/limits").unwrap());
    assert_eq!(limits(&log, name), limits(&ours, name), "address space is not what is bounded");
}

#[test]
fn memory_above_its_cap_is_refused() {
    let caps = Caps { memory_bytes: Some(64 << 20), ..Caps::default() };
    check(caps, "head -c 200M /dev/zero | tail -c 200M >/dev/null || echo refused", &How::Exited(0), "refused");
}

#[test]
fn a_spinner_ends_when_its_processor_time_is_used_up() {
    let caps = Caps { cpu_seconds: Some(1), ..Caps::default() };
    let (world, how) = run(caps, "ulimit -c 0; while :; do :; done");
    assert_eq!(how, How::Signaled { signal: 24, core: false }, "{}", world.log());
}

#[test]
fn files_above_their_cap_are_refused() {
    let caps = Caps { files: Some(6), ..Caps::default() };
    let script = "exec 3</dev/null; exec 4</dev/null; exec 5</dev/null; true </dev/null || echo refused";
    check(caps, script, &How::Exited(0), "Too many open files");
}

#[test]
fn a_file_stays_within_its_cap() {
    let caps = Caps { file_bytes: Some(65536), ..Caps::default() };
    // Ignored, as a host has it, the signal becomes an error.
    let script = "trap '' XFSZ; head -c 100000 /dev/zero >big; wc -c <big";
    check(caps.clone(), script, &How::Exited(0), "File too large");
    let (world, _) = run(caps, "head -c 100000 /dev/zero >big; wc -c <big");
    assert!(world.log().contains("65536"), "{}", world.log());
}

#[test]
fn niceness_and_the_renunciation_of_rights_are_set() {
    let caps = Caps { nice: Some(7), no_new_privileges: true, ..Caps::default() };
    check(caps.clone(), "nice", &How::Exited(0), "7");
    check(caps, "cat /proc/self/status", &How::Exited(0), "NoNewPrivs:\t1");
}

#[test]
fn a_host_runs_as_the_user_and_group_that_were_ordered() {
    if !is_root() {
        return println!("skipped: only root can run a host as another user");
    }
    let nobody = user_number("nobody").unwrap().expect("the user nobody");
    let script = "echo $(id -u) $(id -g) $(id -G)";
    let caps = Caps { user: Some(nobody), group: Some(4711), ..Caps::default() };
    check(caps, script, &How::Exited(0), &format!("{nobody} 4711 4711\n"));
    let own = nix::unistd::User::from_name("nobody").unwrap().unwrap().gid;
    let caps = Caps { user: Some(nobody), ..Caps::default() };
    check(caps, script, &How::Exited(0), &format!("{nobody} {own} {own}\n"));
}

#[test]
fn processes_above_their_cap_are_refused_to_every_user_but_root() {
    if !is_root() {
        return println!(
            "skipped: the processes of this user that are there already count too; root takes a fresh one"
        );
    }
    let user = 54_321;
    let caps = Caps { user: Some(user), group: Some(user), processes: Some(3), ..Caps::default() };
    let script = "for n in 1 2 3 4 5; do sleep 600 & done; wait";
    let (world, how) = run(caps, script);
    assert!(how.failed(), "{how}");
    assert!(world.log().to_lowercase().contains("fork"), "{}", world.log());
}

#[test]
fn a_host_enters_its_cgroup_before_its_program_begins() {
    let mut world = World::new();
    let door = world.file("cgroup.procs");
    std::fs::write(&door, "").unwrap();
    let mut order = world.order("cat cgroup.procs; echo .", policy(When::Never, 0));
    order.caps.cgroup = Some(argument(&door));
    ended(&world.spawn(&order).unwrap());
    assert!(world.log().contains("0."), "{}", world.log());
}

#[test]
fn a_cgroup_that_cannot_be_entered_is_told_and_the_limits_hold_without_it() {
    let cgroup = Some(argument("/nowhere/cgroup.procs"));
    let caps = Caps { cgroup, processes: Some(500), processes_by_cgroup: true, ..Caps::default() };
    let (world, how) = run(caps, "cat /proc/$$/limits");
    assert_eq!(how, How::Exited(0));
    let log = world.log();
    assert!(log.contains("cannot enter the cgroup of /nowhere") && limits(&log, "Max processes") == "500 500", "{log}");
}

#[test]
fn processes_that_a_cgroup_bounds_are_not_counted_with_those_of_others() {
    let mut world = World::new();
    let door = world.file("cgroup.procs");
    std::fs::write(&door, "").unwrap();
    let mut order = world.order("cat /proc/$$/limits", policy(When::Never, 0));
    order.caps =
        Caps { cgroup: Some(argument(&door)), processes: Some(500), processes_by_cgroup: true, ..Caps::default() };
    ended(&world.spawn(&order).unwrap());
    let ours = std::fs::read_to_string("/proc/self/limits").unwrap();
    assert_eq!(limits(&world.log(), "Max processes"), limits(&ours, "Max processes"));
}

#[test]
fn a_cap_that_cannot_be_set_is_an_end_with_its_reason() {
    // Nobody has that number, so nobody knows its group.
    let nobody = Caps { user: Some(54_321), ..Caps::default() };
    let (_world, how) = run(nobody, "exit 0");
    assert!(matches!(&how, How::NotStarted(reason) if reason.contains("cannot run as user")), "{how}");
}

#[test]
fn caps_that_change_hold_from_the_next_start_on() {
    use multimodule::process::{Intent, read_record, write_record};
    let mut world = World::new();
    let script = "ulimit -n >> starts; read line < gate; exit 1";
    nix::unistd::mkfifo(&world.file("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut order = world.order(script, policy(When::Always, 1));
    order.caps.files = Some(50);
    let keeper = world.spawn(&order).unwrap();
    assert_eq!(world.lines("starts", 1), ["50"]);
    let path = world.files().intent();
    let mut intent = read_record::<Intent>(&path).unwrap().unwrap();
    intent.caps.files = Some(40);
    write_record(&path, &intent).unwrap();
    std::fs::write(world.file("gate"), "\n").unwrap();
    assert_eq!(world.lines("starts", 2), ["50", "40"]);
    std::fs::write(world.file("gate"), "\n").unwrap();
    ended(&keeper);
}
