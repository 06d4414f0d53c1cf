//! A new program in the place of the old one: what runs goes on, is said to be outdated, and is renewed when asked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use multimodule::process::HostRecord;
use serde::Deserialize;

use crate::daemon::Daemon;
use crate::processes::{kill, lives};
use crate::world::{SOON, World};

const CONTROL: &str = "MultiModule_control";
const HOWDY: &str = "Example2: received a message: ";
const CONFIG: &str = "{ Example1 => { outstr => 'howdy' }, Tally => { by => ['n'] }, Router => { routes => [ \
                      { match => { source => 'Example1' }, forwards => [ { qname => 'Example2' } ] } ] } }";

/// A `multimodule` of this world's own, which may be replaced.
struct Installed<'world> {
    world: &'world World,
    path: PathBuf,
}

impl<'world> Installed<'world> {
    fn new(world: &'world World) -> Self {
        let folder = world.path().join("bin");
        fs::create_dir(&folder).expect("the world is writable");
        let installed = Self { world, path: folder.join("multimodule") };
        installed.replace();
        installed
    }

    /// Puts a new file in its place, by rename.
    fn replace(&self) -> u64 {
        let beside = self.path.with_extension("new");
        copy(Path::new(env!("CARGO_BIN_EXE_multimodule")), &beside);
        fs::rename(&beside, &self.path).expect("a rename in one directory");
        self.inode()
    }

    fn inode(&self) -> u64 {
        fs::metadata(&self.path).expect("it is installed").ino()
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    fn start(&self) -> Daemon {
        self.world.program(&self.path).config(CONFIG).prefix("mytasks::").start()
    }

    /// A daemon whose external tasks run.
    fn start_afresh(&self) -> Daemon {
        let daemon = self.start();
        daemon.wait_for("1 (howdy)", SOON);
        self.world.process("Tally");
        daemon
    }

    /// The next daemon, of a new program, over what the one before has left; the new file.
    fn upgrade(&self, daemon: &Daemon) -> (Daemon, u64) {
        let new = self.replace();
        daemon.terminate();
        assert_eq!(daemon.exit_code(SOON), 0);
        let daemon = self.start();
        for task in ["Example1", "Tally"] {
            daemon.wait_for(&format!("{task}: adopted: pid"), SOON);
            daemon.wait_for(&format!("{task}: outdated: it runs multimodule "), SOON);
        }
        (daemon, new)
    }
}

/// Copies a program, by a process of its own: no child of ours must inherit a descriptor that writes to it.
fn copy(program: &Path, to: &Path) {
    let copied = Command::new("cp").arg(program).arg(to).status();
    assert!(copied.expect("there is a cp").success());
}

/// The file that a process runs, whatever its name is now.
fn program_of(record: &HostRecord) -> u64 {
    fs::metadata(format!("/proc/{}/exe", record.host.pid)).expect("it lives").ino()
}

fn renew(world: &World, task: &str) {
    world.send(&format!("{{'.multimodule' => {{control => [{{type => 'renew'{task}}}]}}}}"), CONTROL);
}

/// Sends one number after another to Tally until `meanwhile` is over; how many.
fn while_numbers_flow(world: &World, meanwhile: impl FnOnce()) -> u64 {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                world.send(&format!("{{n => {sent}}}"), "Tally");
                sent += 1;
            }
            sent
        });
        // Also where this panics the sender ends.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
        over.store(true, Ordering::Relaxed);
        let sent = sender.join().expect("the queue takes what is sent");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sent
    })
}

#[derive(Deserialize)]
struct Tallied {
    tally: BTreeMap<String, u64>,
    total: u64,
}

/// Every number was counted, and once.
fn all_are_counted_once(world: &World, sent: u64) {
    let state: Tallied = ron::from_str(&world.saved_state("Tally")).expect("the state of a Tally");
    println!("{sent} numbers went through");
    assert_eq!((state.total, state.tally.len() as u64), (sent, sent));
    assert!(
        state.tally.values().all(|count| *count == 1) && (0..sent).all(|n| state.tally.contains_key(&n.to_string()))
    );
}

/// What Example1 has counted, as far as it was shown: each number is larger than the one before.
fn goes_on_counting(daemons: &[&Daemon]) {
    let stdout: String = daemons.iter().map(|daemon| daemon.stdout()).collect();
    let shown = stdout.lines().filter_map(|line| line.strip_prefix(HOWDY)?.split(' ').next()?.parse::<u64>().ok());
    let numbers: Vec<_> = shown.collect();
    assert!(numbers.windows(2).all(|pair| pair[1] > pair[0]), "{numbers:?}");
}

/// Line numbers of these texts; each must be there.
fn in_this_order(daemon: &Daemon, texts: &[&str]) {
    let numbers: Vec<_> = texts.iter().map(|text| daemon.wait_for(text, SOON)).collect();
    assert!(numbers.is_sorted(), "{texts:?} at {numbers:?}: {daemon:?}");
}

#[test]
fn a_host_that_ends_after_its_program_was_replaced_is_started_again_from_the_program_it_had() {
    let world = World::new();
    let installed = Installed::new(&world);
    let daemon = installed.start_afresh();
    daemon.wait_for("4 (howdy)", SOON);
    let (old, before) = (installed.inode(), world.process("Example1"));
    let new = installed.replace();
    assert_ne!(new, old);
    kill(&before.host_identity());
    let again = world.wait_for("a new host", || world.record("Example1").filter(|now| now.host != before.host));
    let line = daemon.lines().len();
    daemon.wait_for_after(line, HOWDY, SOON);
    assert_eq!((program_of(&again), again.keeper), (old, before.keeper));
    assert_eq!(again.program, before.program);
    assert!(!daemon.stdout().contains("outdated"), "{daemon:?}");
    // What it did in the second before it was killed may be done again; it does not begin anew.
    assert_eq!(daemon.stdout().matches(&format!("{HOWDY}1 (howdy)")).count(), 1, "{daemon:?}");
}

#[test]
fn a_new_daemon_adopts_hosts_of_the_old_program_and_renews_them_in_turn_without_loss() {
    let world = World::new();
    let installed = Installed::new(&world);
    let old = installed.inode();
    let first = installed.start_afresh();
    let before = ["Example1", "Tally"].map(|name| world.process(name));
    let mut daemon = None;
    let sent = while_numbers_flow(&world, || {
        let (second, new) = installed.upgrade(&first);
        assert_eq!(["Example1", "Tally"].map(|name| world.process(name)), before, "they are as they were");
        assert!(before.iter().all(|record| program_of(record) == old));
        renew(&world, "");
        second.wait_for("2 external processes are renewed", SOON);
        in_this_order(
            &second,
            &["Example1: it is ended", "Example1: renewed: pid", "Tally: it is ended", "Tally: renewed: pid"],
        );
        let after = ["Example1", "Tally"].map(|name| world.process(name));
        assert!(after.iter().all(|record| program_of(record) == new), "{after:?}");
        assert!(after.iter().zip(&before).all(|(after, before)| after.keeper != before.keeper));
        let line = second.lines().len();
        second.wait_for_after(line, HOWDY, SOON);
        renew(&world, "");
        second.wait_for("nothing is renewed", SOON);
        assert_eq!(["Example1", "Tally"].map(|name| world.process(name)), after);
        daemon = Some(second);
    });
    let daemon = daemon.expect("it was started");
    world.wait_for("an empty queue", || (world.waiting("Tally") == 0).then_some(()));
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    all_are_counted_once(&world, sent);
    goes_on_counting(&[&first, &daemon]);
}

#[test]
fn one_task_is_renewed_by_its_name_and_what_has_no_process_is_told() {
    let world = World::new();
    let installed = Installed::new(&world);
    let (daemon, new) = installed.upgrade(&installed.start_afresh());
    let before = world.process("Example1");
    renew(&world, ", task => 'Tally'");
    daemon.wait_for("Tally: renewed: pid", SOON);
    assert_eq!(program_of(&world.process("Tally")), new);
    for name in ["Example2", "Unknown"] {
        renew(&world, &format!(", task => '{name}'"));
        daemon.wait_for(&format!("{name} is not renewed: it has no external process"), SOON);
    }
    assert_eq!(world.process("Example1"), before);
}

#[test]
fn a_new_program_that_does_not_start_stops_the_renewals_and_the_restart_policy_decides() {
    let world = World::new();
    let installed = Installed::new(&world);
    let first = installed.start_afresh();
    let (daemon, new) = installed.upgrade(&first);
    let tally = world.process("Tally");
    installed.set_mode(0o644);
    renew(&world, "");
    daemon.wait_for("Example1: its renewal has failed: what ran was ended, and multimodule ", SOON);
    daemon.wait_for("renewing stops at Example1; left as they are: Tally", SOON);
    daemon.wait_for("Example1: parked: its process is not started again until ", SOON);
    assert_eq!(world.process("Tally"), tally);
    // Whoever mends it clears it.
    installed.set_mode(0o755);
    fs::remove_file(world.state().join("Example1.failsafe")).unwrap();
    let line = daemon.wait_for("Example1: no longer parked", SOON);
    daemon.wait_for_after(line, HOWDY, SOON);
    assert_eq!(program_of(&world.process("Example1")), new);
    renew(&world, "");
    daemon.wait_for("Tally: renewed: pid", SOON);
    goes_on_counting(&[&first, &daemon]);
}

#[test]
fn a_daemon_that_is_told_to_end_finishes_the_renewal_under_way_and_begins_no_other() {
    let world = World::new();
    let installed = Installed::new(&world);
    let (daemon, new) = installed.upgrade(&installed.start_afresh());
    let tally = world.process("Tally");
    renew(&world, "");
    daemon.wait_for("Example1: it is ended", SOON);
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    let example = world.process("Example1");
    assert_eq!(program_of(&example), new, "{daemon:?}");
    assert!(lives(&tally.host_identity()) && world.process("Tally") == tally, "{daemon:?}");
}

#[test]
fn a_daemon_that_is_killed_in_a_renewal_leaves_it_to_the_next_one() {
    let world = World::new();
    let installed = Installed::new(&world);
    let first = installed.start_afresh();
    let (daemon, new) = installed.upgrade(&first);
    let before = world.process("Example1");
    renew(&world, "");
    daemon.wait_for("Example1: it is ended", SOON);
    world.wait_ended(&[before.host_identity()]);
    daemon.kill();
    daemon.exit(SOON);
    // Its keeper may still be ending then.
    let third = installed.start();
    third.wait_for(HOWDY, SOON);
    assert_eq!(program_of(&world.process("Example1")), new);
    goes_on_counting(&[&first, &third]);
}

#[test]
fn a_host_without_keeper_is_renewed_too_and_has_one_then() {
    let world = World::new();
    let installed = Installed::new(&world);
    let first = installed.start_afresh();
    let before = world.process("Tally");
    kill(&before.keeper_identity());
    world.wait_ended(&[before.keeper_identity()]);
    let (daemon, new) = installed.upgrade(&first);
    assert!(lives(&before.host_identity()));
    renew(&world, ", task => 'Tally'");
    daemon.wait_for("Tally: renewed: pid", SOON);
    assert_eq!(program_of(&world.process("Tally")), new);
    assert!(!lives(&before.host_identity()));
}

#[test]
fn the_workers_of_a_pool_are_renewed_one_after_another_by_the_name_of_their_task() {
    let world = World::new();
    let config = "{ Mill => { workers => 2 }, Router => { routes => [ { match => { source => 'Mill' }, \
                  forwards => [ { qname => 'Sink', outside => 1 } ] } ] } }";
    let first = world.own_daemon(config).start();
    let workers = ["Mill.1", "Mill.2"];
    let before = workers.map(|name| world.process(name));
    first.terminate();
    assert_eq!(first.exit_code(SOON), 0);
    let program = world.path().join("spec");
    copy(&std::env::current_exe().unwrap(), &program);
    let daemon = world.own_daemon_of(&program, config).start();
    let outdated = workers.map(|name| format!("{name}: outdated: "));
    for told in &outdated {
        daemon.wait_for(told, SOON);
    }
    let send = |n: i64| world.send(&format!("{{from => 'a', n => {n}}}"), "Mill");
    (0..200).for_each(send);
    renew(&world, ", task => 'Mill'");
    (200..400).for_each(send);
    daemon.wait_for("2 external processes are renewed", SOON);
    in_this_order(&daemon, &["Mill.1: renewed: pid", "Mill.2: it is ended", "Mill.2: renewed: pid"]);
    let after = workers.map(|name| world.process(name));
    let new = fs::metadata(&program).unwrap().ino();
    assert!(after.iter().all(|record| program_of(record) == new) && after != before);
    (400..450).for_each(send);
    world.wait_for("all of them in the sink", || (world.waiting("Sink") >= 450).then_some(()));
    let mut numbers = world.emitted("Sink").remove("a").unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..450).collect::<Vec<_>>());
}
