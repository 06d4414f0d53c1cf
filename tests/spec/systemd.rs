//! The unit file, and the daemon as a service of systemd. Where systemd is not process 1, a stand-in listens at
//! `NOTIFY_SOCKET`; that it did so is printed, whatever the test runner captures.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use crate::processes::{lives, signal};
use crate::world::{SOON, World};
use multimodule::usage::{CgroupTree, Cgroups};
use nix::sys::signal::Signal;

const UNIT: &str = include_str!("../../conf/package/multimodule.service");
const PROGRAM: &str = "/usr/bin/multimodule";
const CONFIG: &str = "/etc/multimodule/multimodule.conf";
const DIRECTORY: &str = "/var/lib/multimodule";

/// What a setting of the unit says.
fn setting(name: &str) -> &'static str {
    let line = UNIT.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("the unit has no {name}"))
}

/// Says something past the test runner.
fn say(text: &str) {
    let init = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    let where_we_are =
        if init.trim() == "systemd" { "systemd is process 1 here" } else { "process 1 is not systemd here" };
    writeln!(std::io::stderr(), "systemd: {where_we_are}; {text}").expect("standard error is open");
}

/// The service manager of a world.
struct StandIn(UnixDatagram);

impl StandIn {
    fn new(world: &World) -> Self {
        let socket = UnixDatagram::bind(world.path().join("notify")).expect("a socket in the world");
        socket.set_read_timeout(Some(SOON)).expect("a socket takes a timeout");
        Self(socket)
    }

    /// What comes up to the notice that begins with `last`, that one included.
    fn heard_until(&self, last: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            let length = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("no {last} after {heard:?}: {error}"));
            heard.push(String::from_utf8(bytes[..length].to_vec()).expect("notices are text"));
            if heard[heard.len() - 1].starts_with(last) {
                return heard;
            }
        }
    }
}

/// The unit's command in a world, with its paths there, and an external counter.
fn service(world: &World, watchdog_usec: u64) -> crate::daemon::Daemon {
    let mut words = setting("ExecStart").split(' ');
    assert_eq!(words.next(), Some(PROGRAM));
    let config = world.config_path().display().to_string();
    let directory = world.path().display().to_string();
    let words = words.map(|word| word.replace(CONFIG, &config).replace(DIRECTORY, &directory));
    world.write_config("{ Example1 => { outstr => 'howdy' } }");
    let daemon = words.fold(world.daemon(), |daemon, word| daemon.arg(word)).prefix("mytasks::");
    let daemon = daemon.env("NOTIFY_SOCKET", world.path().join("notify"));
    daemon.env("WATCHDOG_USEC", watchdog_usec.to_string()).start()
}

#[test]
fn systemd_takes_the_unit() {
    let world = World::new();
    let unit = world.path().join("multimodule.service");
    fs::write(&unit, UNIT.replace(PROGRAM, env!("CARGO_BIN_EXE_multimodule"))).unwrap();
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(&unit).output() else {
        return say("there is no systemd-analyze, so the unit was not verified; tests/run gets it");
    };
    let told = String::from_utf8_lossy(&output.stderr);
    // Systemd before version 254 does not know that one, and the unit says what to do there.
    let is_fault = |line: &&str| line.contains("multimodule") && !line.contains("'DelegateSubgroup'");
    let ours: Vec<_> = told.lines().filter(is_fault).collect();
    assert!(output.status.success() && ours.is_empty(), "{told}");
    say("systemd-analyze verify has taken the unit");
}

#[test]
fn the_unit_delegates_a_control_group_that_the_daemon_takes_for_its_own() {
    assert_eq!(setting("Delegate"), "yes");
    let world = World::new();
    let unit = world.path().join("cgroup/multimodule.service");
    fs::create_dir_all(&unit).unwrap();
    for file in ["cgroup.controllers", "cgroup.procs", "cgroup.subtree_control"] {
        fs::write(unit.join(file), "").unwrap();
    }
    let enter = |own: &str| {
        let tree = CgroupTree { root: world.path().join("cgroup"), own: format!("0::/{own}\n") };
        Cgroups::enter(&tree, "owner", &[std::process::id()])
    };
    enter(&format!("multimodule.service/{}", setting("DelegateSubgroup"))).unwrap();
    // Systemd before version 254 makes no such group, and would find no place for the daemon at its next start.
    let lacking = enter("multimodule.service").unwrap_err().to_string();
    assert!(lacking.contains("DelegateSubgroup=daemon"), "{lacking}");
}

#[test]
fn a_service_says_that_it_works_reloads_lives_and_ends_and_leaves_its_external_tasks() {
    let world = World::new();
    let manager = StandIn::new(&world);
    let daemon = service(&world, 200_000);
    let ready = manager.heard_until("READY=1").pop().unwrap();
    assert_eq!(ready, "READY=1\nSTATUS=tasks: 2, processes beside the daemon: 1");
    let record = world.process("Example1");
    for _ in 0..3 {
        manager.heard_until("WATCHDOG=1");
    }
    world.write_config("{ Example1 => { outstr => 'again' } }");
    manager.heard_until("RELOADING=1\nMONOTONIC_USEC=");
    // The watchdog is fed by the loop alone, which is busy with the reload.
    assert_eq!(manager.heard_until("READY=1").len(), 1);
    manager.heard_until("WATCHDOG=1");
    daemon.terminate();
    manager.heard_until("STOPPING=1");
    assert_eq!(daemon.exit_code(SOON), 0);
    assert_eq!(setting("KillMode"), "process");
    assert!(lives(&record.host_identity()) && lives(&record.keeper_identity()));
    say("the unit's command was run under a stand-in with NOTIFY_SOCKET and WATCHDOG_USEC");
}

#[test]
fn external_tasks_do_not_inherit_what_the_service_manager_said() {
    let world = World::new();
    let manager = StandIn::new(&world);
    let _daemon = service(&world, 60_000_000);
    manager.heard_until("READY=1");
    let record = world.process("Example1");
    for pid in [record.host.pid, record.keeper.pid] {
        let environment = fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG"), "{environment}");
    }
}

#[test]
fn a_stopped_daemon_feeds_no_watchdog() {
    let world = World::new();
    let manager = StandIn::new(&world);
    let daemon = service(&world, 100_000);
    manager.heard_until("WATCHDOG=1");
    let identity = multimodule::process::ProcessIdentity::of(daemon.pid()).unwrap().unwrap();
    signal(&identity, Signal::SIGSTOP);
    let silence = 3 * std::time::Duration::from_millis(100);
    manager.0.set_read_timeout(Some(silence)).unwrap();
    // What it said before it stopped, and then nothing.
    let left = (0..100).take_while(|_| manager.0.recv(&mut [0; 4096]).is_ok()).count();
    assert!(left < 100, "a stopped process goes on talking");
    signal(&identity, Signal::SIGCONT);
    manager.0.set_read_timeout(Some(SOON)).unwrap();
    manager.heard_until("WATCHDOG=1");
}
