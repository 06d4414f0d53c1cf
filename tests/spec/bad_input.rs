//! Bad input is refused with a reason and an exit code, and nothing is lost.

use std::fs::{self, File};
use std::os::unix::fs::chown;

use nix::unistd::Uid;

use crate::places::SmallDisk;
use crate::world::{Outcome, SOON, World};

const COUNTER: &str = "{ Counter => { is_external => 0, intervals => { save_state => 0.02 } }, Echo => {} }";

/// How the daemon ends with this config file, and what it says.
fn config_refused(world: &World, config: &str, reason: &str) {
    let daemon = world.daemon().arg("-c").arg(config).start();
    assert_eq!(daemon.exit_code(SOON), 78, "{config}: {daemon:?}");
    daemon.wait_for(reason, SOON);
}

fn refused(outcome: &Outcome, code: i32, reasons: &[&str]) {
    assert_eq!(outcome.code, code, "{outcome:?}");
    for reason in reasons {
        assert!(outcome.stderr.contains(reason), "{reason}: {outcome:?}");
    }
}

/// `strans` with what a shell command prints as its message.
fn strans_piped(world: &World, command: &str) -> Outcome {
    let program = env!("CARGO_BIN_EXE_strans");
    world.run("/bin/sh", &["-c", &format!("{{ {command}; }} | {program} - Q")])
}

#[test]
fn a_config_that_is_missing_unreadable_or_endless_ends_the_start_with_78_and_the_reason() {
    let world = World::new();
    config_refused(&world, "missing.conf", "there is no such file, neither as given nor as conf/missing.conf");
    config_refused(&world, "conf", "config file conf: is no regular file");
    config_refused(&world, "/dev/zero", "config file /dev/zero: is no regular file");
    // A regular file whose reading fails for every user.
    config_refused(&world, "/proc/self/mem", "config file /proc/self/mem: Input/output error");
    File::create(world.path().join("endless.conf")).unwrap().set_len(1 << 40).unwrap();
    config_refused(&world, "endless.conf", "a config has at most 16777216 bytes");
    fs::write(world.config_path(), b"{ A => '\xff' }").unwrap();
    config_refused(&world, "test.conf", "UTF-8");
    world.write_config(&"[".repeat(10_000));
    config_refused(&world, "test.conf", "nested deeper than");
}

#[test]
fn places_that_contradict_each_other_end_the_start_with_78_and_each_is_told_at_its_line() {
    let world = World::new();
    let config = "{\n  Example1 => {\n    process => 'Example2',\n  },\n  Example2 => { workers => 2 },\n  \
                  Tally => {\n    is_external => 0, workers => 2 },\n}";
    let daemon = world.daemon().config(config).prefix("mytasks::").start();
    assert_eq!(daemon.exit_code(SOON), 78, "{daemon:?}");
    for told in [
        "test.conf:3:5: Example1.process: process \"Example2\" has the name of task Example2, which runs in a pool",
        "test.conf:7:23: Tally.workers: a task with is_external: false runs in the daemon",
        "test.conf:7:23: Tally.workers: a task with state runs once",
    ] {
        daemon.wait_for(told, SOON);
    }
}

#[test]
fn what_is_no_message_is_refused_with_65_and_no_queue_is_made() {
    let world = World::new();
    refused(&world.strans(&["[1, 2]", "Q"]), 65, &["a message must be a map of fields, this is a list"]);
    refused(&world.strans(&["howdy", "Q"]), 65, &["message:1:1"]);
    let nested = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    refused(&world.strans(&[&nested, "Q"]), 65, &["nested deeper than 128 levels"]);
    refused(&strans_piped(&world, r#"printf '{"a": "\377"}'"#), 65, &["not UTF-8"]);
    let large = r#"printf '{"a": "'; head -c 67108864 /dev/zero | tr '\0' x; printf '"}'"#;
    refused(&strans_piped(&world, large), 65, &["has more than 67104768 bytes"]);
    assert!(!world.transit().join("Q").exists());
}

#[test]
fn a_queue_name_that_is_a_path_is_refused_and_nothing_is_written_there() {
    let world = World::new();
    for name in ["../x", "a/b", "..", "", &"x".repeat(256)] {
        refused(&world.strans(&["{a => 1}", name]), 64, &["QUEUE"]);
    }
    assert!(!world.path().join("x").exists());
    let config = "{ Example1 => {}, Router => { routes => [ { match => {}, forwards => [ { qname => '../x' } ] } ] } }";
    let daemon = world.daemon().config(config).prefix("mytasks::").start();
    assert_eq!(daemon.exit_code(SOON), 78);
    daemon.wait_for("../x", SOON);
}

#[test]
fn a_full_disk_under_the_queues_refuses_the_message_and_says_so() {
    let world = World::new();
    let program = env!("CARGO_BIN_EXE_strans");
    let outcome = match SmallDisk::mount(&world, "transit", 1 << 20) {
        Some(disk) => {
            world.send("{text => 'kept'}", "Other");
            let filler = disk.fill();
            let outcome = world.strans(&["{text => 'refused'}", "Echo"]);
            refused(&outcome, 74, &["No space left on device"]);
            filler.remove();
            assert_eq!(world.waiting("Other"), 1);
            let again = world.strans(&["{text => 'accepted'}", "Echo"]);
            assert_eq!((again.code, world.waiting("Echo")), (0, 1));
            return;
        }
        // The same error path, by a limit on the size of files instead of the disk's.
        None => world.run("/bin/sh", &["-c", &format!("trap '' XFSZ; ulimit -f 8; exec {program} '{{a => 1}}' Q")]),
    };
    refused(&outcome, 74, &["File too large"]);
}

#[test]
fn a_full_disk_under_the_state_is_reported_and_nothing_is_lost_when_there_is_room_again() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(&world, "state", 1 << 20) else { return };
    assert_eq!(disk.path(), world.state());
    let daemon = world.own_daemon(COUNTER).start();
    daemon.wait_for("Counter: started", SOON);
    let filler = disk.fill();
    for n in 0..100 {
        world.send(&format!("{{from => '{}', n => {n}}}", "long ".repeat(20)), "Counter");
    }
    daemon.wait_for("has heard 100.", SOON);
    // The records of many senders outgrow the block they stand in.
    for n in 0..60 {
        world.send(&format!("{{from => '{n} {}', n => {n}}}", "x".repeat(200)), "Counter");
    }
    daemon.wait_for("[ERROR] Counter: its state could not be saved", SOON);
    daemon.wait_for("No space left on device", SOON);
    daemon.wait_for("has heard 160.", SOON);
    world.send("{text => 'the others run'}", "Echo");
    daemon.wait_for("Echo: the others run.", SOON);
    daemon.kill();
    daemon.exit(SOON);
    filler.remove();
    let daemon = world.own_daemon(COUNTER).start();
    world.send("{from => 'last', n => 0}", "Counter");
    daemon.wait_for("has heard 161.", SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}

#[test]
fn a_state_directory_that_cannot_be_written_ends_the_start_with_74_and_its_name() {
    let world = World::new();
    let refused = |directory: &str| {
        let daemon = world.daemon().config("{}").arg("-s").arg(directory).start();
        assert_eq!(daemon.exit_code(SOON), 74, "{daemon:?}");
        daemon.wait_for(directory, SOON);
    };
    refused("/proc/no/such");
    fs::write(world.path().join("file"), "").unwrap();
    refused("file");
    if let Some(disk) = SmallDisk::mount(&world, "protected", 1 << 20) {
        disk.protect();
        refused("protected");
    }
}

#[test]
fn a_transit_directory_of_someone_else_or_that_cannot_be_written_is_refused_with_the_way_out() {
    let world = World::new();
    let others = world.path().join("others");
    let others = if Uid::effective().is_root() {
        fs::create_dir(&others).unwrap();
        chown(&others, Some(65_534), None).unwrap();
        others
    } else {
        "/".into()
    };
    let others = others.to_str().unwrap();
    refused(&world.strans(&["-P", others, "{a => 1}", "Q"]), 78, &["belongs to user", "choose another transit"]);
    let daemon = world.daemon().config("{}").arg("-T").arg(others).start();
    assert_eq!(daemon.exit_code(SOON), 78);
    daemon.wait_for("belongs to user", SOON);
    refused(&world.strans(&["-P", "/proc/no/such", "{a => 1}", "Q"]), 74, &["/proc/no/such: not writable"]);
    if let Some(disk) = SmallDisk::mount(&world, "protected", 1 << 20) {
        disk.protect();
        refused(&world.strans(&["-P", "protected", "{a => 1}", "Q"]), 74, &["protected: not writable: Read-only"]);
    }
}

#[test]
fn a_state_directory_that_is_removed_under_way_is_reported_and_its_messages_wait() {
    let world = World::new();
    let daemon = world.own_daemon(COUNTER).start();
    daemon.wait_for("Counter: started", SOON);
    // The daemon may be writing there.
    world.wait_for("its removal", || fs::remove_dir_all(world.state()).ok());
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("has heard 1.", SOON);
    daemon.wait_for("[ERROR] Counter: its state could not be saved", SOON);
    world.send("{text => 'the others run'}", "Echo");
    daemon.wait_for("Echo: the others run.", SOON);
    daemon.interrupt();
    assert_ne!(daemon.exit_code(SOON), 0);
    assert_eq!(world.waiting("Counter"), 1, "what is in no record is still in the queue");
}

#[test]
fn a_bound_that_is_reached_refuses_with_75_and_both_numbers_and_keeps_what_it_has() {
    let world = World::new();
    let config = "{ Counter => { is_external => 0, queue => { max_messages => 2, max_bytes => 20000, block_timeout => 0.05 } } }";
    let daemon = world.own_daemon(config).start();
    daemon.wait_for("Counter: started", SOON);
    world.send("{block_ms => 1}", "Counter");
    daemon.wait_for("has heard 0.", SOON);
    daemon.kill();
    daemon.exit(SOON);
    let mut accepted = 0;
    let outcome = loop {
        let outcome = world.strans(&["{from => 'a', n => 1}", "Counter"]);
        if outcome.code != 0 {
            break outcome;
        }
        accepted += 1;
        assert!(accepted < 10_000, "the bound is passed by at most one segment");
    };
    refused(&outcome, 75, &["queue Counter is full", "of at most 2 messages"]);
    let large = format!("{{from => '{}', n => 1}}", "x".repeat(30_000));
    refused(&world.strans(&[&large, "Counter"]), 65, &["is too large for queue Counter", "at most 20000"]);
    let daemon = world.own_daemon(config).start();
    daemon.wait_for(&format!("has heard {accepted}."), SOON);
}
