//! Identity records that lie: what they say is checked, and no stranger is signalled for it.

use std::fs;
use std::process::{Child, Command};

use multimodule::name::TaskName;
use multimodule::process::{BootId, HostFiles, HostRecord, ProcessIdentity, ProcessRef, write_record};

use crate::daemon::Daemon;
use crate::processes::{kill, lives};
use crate::records::cut_in_half;
use crate::rough_tasks::{BYSTANDERS, BYSTANDERS_ROUTE, Bystanders};
use crate::world::{SOON, World};

/// A process that has nothing to do with us.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().expect("there is a sleep"))
    }

    fn identity(&self) -> ProcessIdentity {
        ProcessIdentity::of(self.0.id()).expect("there is a /proc").expect("it lives")
    }

    fn is_unhurt(&mut self) -> bool {
        self.0.try_wait().expect("it is our child").is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // It is our child and not reaped yet: that very process.
        self.0.kill().and_then(|()| self.0.wait().map(drop)).expect("a child can be killed");
    }
}

fn config() -> String {
    format!("{{ Counter => {{}}, {BYSTANDERS}, Router => {{ routes => [ {BYSTANDERS_ROUTE} ] }} }}")
}

fn files(world: &World) -> HostFiles {
    HostFiles::new(&world.state(), &TaskName::new("Counter").expect("a name"))
}

/// A world in which Counter has run and was killed with its keeper, while the daemon was away; its last record.
fn ended_while_away(world: &World) -> HostRecord {
    let record = left_alone(world);
    kill(&record.keeper_identity());
    kill(&record.host_identity());
    world.wait_ended(&[record.keeper_identity(), record.host_identity()]);
    record
}

/// A world in which Counter and the bystanders run without a daemon.
fn left_alone(world: &World) -> HostRecord {
    let daemon = world.own_daemon(&config()).start();
    daemon.wait_for("Counter: started", SOON);
    daemon.wait_for("Witness: started", SOON);
    let record = world.process("Counter");
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    record
}

/// The daemon is started over what `lie` left, says `told`, and runs Counter; nobody else is touched.
fn is_found_out(lie: impl Fn(&World, HostRecord, &Stranger), told: &str) {
    let (world, mut stranger) = (World::new(), Stranger::new());
    let record = ended_while_away(&world);
    let bystanders = Bystanders::watch(&world);
    lie(&world, record, &stranger);
    let daemon = world.own_daemon(&config()).start();
    let line = daemon.wait_for(told, SOON);
    assert!(daemon.lines()[line].text.contains("Counter"), "{daemon:?}");
    runs_once(&world, &daemon, 1);
    bystanders.are_undisturbed();
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    assert!(stranger.is_unhurt(), "{daemon:?}");
    bystanders.have_missed_nothing();
}

/// Counter takes a message; it is the one who does, for the `n`th time.
fn runs_once(world: &World, daemon: &Daemon, n: usize) {
    world.send(&format!("{{from => 'a', n => {n}}}"), "Counter");
    daemon.wait_for(&format!("Counter: has heard {n}."), SOON);
}

fn refers_to(stranger: &Stranger) -> ProcessRef {
    let identity = stranger.identity();
    ProcessRef { pid: identity.pid, start_ticks: identity.start_ticks }
}

#[test]
fn a_record_with_a_pid_that_has_passed_to_another_is_told_from_the_process_it_meant() {
    let lie = |world: &World, mut record: HostRecord, stranger: &Stranger| {
        (record.host.pid, record.keeper.pid) = (stranger.0.id(), stranger.0.id());
        write_record(&files(world).process(), &record).unwrap();
    };
    is_found_out(lie, "Counter: gone: pid ");
}

#[test]
fn a_record_that_names_a_stranger_in_every_detail_makes_nobody_signal_it() {
    let lie = |world: &World, mut record: HostRecord, stranger: &Stranger| {
        (record.host, record.keeper) = (refers_to(stranger), refers_to(stranger));
        write_record(&files(world).process(), &record).unwrap();
    };
    is_found_out(lie, "is another program's");
}

#[test]
fn a_record_of_another_boot_tells_of_nothing_that_lives() {
    let lie = |world: &World, mut record: HostRecord, stranger: &Stranger| {
        (record.host, record.keeper) = (refers_to(stranger), refers_to(stranger));
        record.boot = BootId::from("00000000-0000-0000-0000-000000000000".to_owned());
        write_record(&files(world).process(), &record).unwrap();
    };
    is_found_out(lie, "Counter: gone: it ran in an earlier boot of this machine");
}

#[test]
fn a_record_that_is_cut_off_is_not_used_and_the_task_is_started() {
    let lie = |world: &World, _, _: &Stranger| cut_in_half(&files(world).process());
    is_found_out(lie, "Counter: its identity record is not used: ");
}

#[test]
fn a_record_of_a_newer_program_stops_the_daemon_from_deciding_until_it_is_removed() {
    let world = World::new();
    ended_while_away(&world);
    let bystanders = Bystanders::watch(&world);
    let path = files(&world).process();
    let newer = fs::read_to_string(&path).unwrap().replacen("multimodule process 1 ", "multimodule process 2 ", 1);
    fs::write(&path, newer).unwrap();
    let daemon = world.own_daemon(&config()).start();
    daemon.wait_for("Counter: its identity record is not used: ", SOON);
    let removed = format!("until {} is removed", path.display());
    daemon.wait_for(&removed, SOON);
    daemon.wait_for("Witness: adopted", SOON);
    world.send("{from => 'a', n => 1}", "Counter");
    bystanders.are_undisturbed();
    assert_eq!(world.waiting("Counter"), 1, "{daemon:?}");
    assert!(fs::read_to_string(&path).unwrap().contains("process 2 "), "it is left as it is");
    fs::remove_file(&path).unwrap();
    daemon.wait_for("Counter: has heard 1.", SOON);
    bystanders.are_undisturbed();
}

#[test]
fn a_record_of_a_newer_program_whose_host_runs_is_left_alone_with_it_whatever_is_asked() {
    let world = World::new();
    let record = left_alone(&world);
    let bystanders = Bystanders::watch(&world);
    let path = files(&world).process();
    let ours = fs::read_to_string(&path).unwrap();
    let newer = ours.replacen("multimodule process 1 ", "multimodule process 2 ", 1);
    fs::write(&path, &newer).unwrap();
    let daemon = world.own_daemon(&config()).start();
    daemon.wait_for("Counter: its identity record is not used: ", SOON);
    daemon.wait_for(&format!("until {} is removed", path.display()), SOON);
    world.send("{'.multimodule' => {control => [{type => 'renew', task => 'Counter'}]}}", "MultiModule_control");
    daemon.wait_for("Counter: it is not renewed: its identity record is of a newer program", SOON);
    runs_on(&world, 1);
    bystanders.are_undisturbed();
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    runs_on(&world, 2);
    assert!(lives(&record.host_identity()) && lives(&record.keeper_identity()));
    assert_eq!(fs::read_to_string(&path).unwrap(), newer, "it is left as it is");
    // The program that wrote it comes back.
    fs::write(&path, &ours).unwrap();
    let daemon = world.own_daemon(&config()).start();
    daemon.wait_for("Counter: adopted", SOON);
    assert_eq!(world.process("Counter"), record);
}

/// Counter hears its `n`th message, whether a daemon shows that or not.
fn runs_on(world: &World, n: usize) {
    world.send(&format!("{{from => 'a', n => {n}}}"), "Counter");
    let line = format!("Counter: has heard {n}.");
    world.wait_for(&line, || world.log("Counter").contains(&line).then_some(()));
}

#[test]
fn a_process_whose_record_is_cut_off_while_it_runs_goes_on_and_is_not_started_a_second_time() {
    let world = World::new();
    let record = left_alone(&world);
    let bystanders = Bystanders::watch(&world);
    cut_in_half(&files(&world).process());
    let daemon = world.own_daemon(&config()).start();
    daemon.wait_for("Counter: its identity record is not used: ", SOON);
    runs_once(&world, &daemon, 1);
    assert!(lives(&record.host_identity()) && lives(&record.keeper_identity()));
    // Its keeper writes a new one with the next start.
    kill(&record.host_identity());
    runs_once(&world, &daemon, 2);
    let again = world.process("Counter");
    assert_eq!(again.keeper, record.keeper);
    bystanders.are_undisturbed();
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    world.wait_ended(&[again.keeper_identity(), again.host_identity()]);
}
