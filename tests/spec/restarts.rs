//! When an external task that ended is started again, and when it waits for a person.

use std::fs;

use multimodule::name::TaskName;
use multimodule::process::{BootId, EndRecord, HostFiles, HostRecord, How, write_record};

use crate::daemon::Daemon;
use crate::processes::{kill, lives};
use crate::world::{SOON, World};

fn config(restart: &str, label: &str) -> String {
    format!("{{ Counter => {{ restart => {restart}, label => '{label}' }}, Echo => {{}} }}")
}

fn start(world: &World, restart: &str) -> Daemon {
    let daemon = world.own_daemon(&config(restart, "")).start();
    daemon.wait_for("Counter: started", SOON);
    daemon
}

/// Kills the host; how it ended is on record then.
fn kill_host(world: &World) {
    let record = world.process("Counter");
    kill(&record.host_identity());
    world.wait_for("its end", || world.end("Counter").filter(|end| end.host == Some(record.host)));
}

#[test]
fn never_means_that_it_stays_away_until_its_policy_changes() {
    let world = World::new();
    let daemon = start(&world, "'never'");
    kill_host(&world);
    daemon.wait_for("Counter: its process has ended: ended by SIGKILL", SOON);
    world.send("{from => 'a', n => 1}", "Counter");
    world.send("{text => 'the others run'}", "Echo");
    daemon.wait_for("Echo: the others run.", SOON);
    assert_eq!((world.waiting("Counter"), world.record("Counter").unwrap().starts), (1, 1));
    world.write_config(&config("'always'", ""));
    daemon.wait_for("Counter: has heard 1.", SOON);
}

#[test]
fn never_holds_for_the_next_daemon_too() {
    let world = World::new();
    let daemon = start(&world, "'never'");
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    let keeper = world.process("Counter").keeper_identity();
    kill_host(&world);
    world.wait_ended(&[keeper]);
    let daemon = world.own_daemon(&config("'never'", "")).start();
    daemon.wait_for("Counter: ended while away: ", SOON);
    daemon.wait_for("runs 2 tasks", SOON);
    world.send("{text => 'the others run'}", "Echo");
    daemon.wait_for("Echo: the others run.", SOON);
    assert!(!daemon.stdout().contains("Counter: started"), "{daemon:?}");
}

/// What the files of Counter look like after a reboot: all that is on record was in another boot.
fn reboot(world: &World) {
    let files = HostFiles::new(&world.state(), &TaskName::new("Counter").expect("a name"));
    let earlier = || BootId::from("00000000-0000-0000-0000-000000000000".to_owned());
    let record = world.record("Counter").expect("it ran");
    write_record(&files.process(), &HostRecord { boot: earlier(), ..record }).expect("the world is writable");
    if let Some(end) = world.end("Counter") {
        write_record(&files.end(), &EndRecord { boot: earlier(), ..end }).expect("the world is writable");
    }
}

/// A task with this policy runs after a reboot: no end of it came before, but a boot.
fn runs_after_a_reboot(policy: &str, ends_before: bool) {
    let world = World::new();
    let daemon = start(&world, policy);
    let record = world.process("Counter");
    if ends_before {
        kill(&record.host_identity());
        daemon.wait_for("Counter: its process has ended", SOON);
    }
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    [record.keeper_identity(), record.host_identity()].iter().for_each(kill);
    world.wait_ended(&[record.keeper_identity(), record.host_identity()]);
    reboot(&world);
    let daemon = world.own_daemon(&config(policy, "after")).start();
    daemon.wait_for("Counter: gone: it ran in an earlier boot", SOON);
    daemon.wait_for("Counter: started after", SOON);
}

#[test]
fn a_reboot_starts_what_is_wanted_whatever_its_policy_and_however_it_was_before() {
    runs_after_a_reboot("'never'", false);
    runs_after_a_reboot("'never'", true);
    runs_after_a_reboot("'on_failure'", false);
}

#[test]
fn on_failure_looks_at_how_it_ended() {
    let world = World::new();
    let config = "{ Runaway => { restart => 'on_failure' }, Quitter => { restart => { when => 'on_failure', \
                  max => 2, backoff => 0.01 } } }";
    let daemon = world.own_daemon(config).start();
    daemon.wait_for("Quitter: parked", SOON);
    assert_eq!(world.record("Quitter").unwrap().starts, 3);
    assert_eq!(world.end("Runaway").unwrap().how, How::Exited(0));
    assert_eq!(world.record("Runaway").unwrap().starts, 1);
}

#[test]
fn a_task_that_ends_too_often_is_parked_with_its_reason_and_runs_again_when_the_file_is_removed() {
    let world = World::new();
    let daemon = start(&world, "{ max => 2, within => 60, backoff => 0.01 }");
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("Counter: has heard 1.", SOON);
    (0..3).for_each(|_| kill_host(&world));
    daemon.wait_for("Counter: parked: its process is not started again until ", SOON);
    let failsafe = world.state().join("Counter.failsafe");
    let why = fs::read_to_string(&failsafe).unwrap();
    for part in ["ended by SIGKILL", "Counter: has heard 1.", "To clear: `multimodule failsafe clear Counter`"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    // A daemon that is started again leaves it parked, and says so.
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
    let daemon = world.own_daemon(&config("{ max => 2, within => 60, backoff => 0.01 }", "")).start();
    daemon.wait_for("Counter: parked: ", SOON);
    world.send("{from => 'a', n => 2}", "Counter");
    world.send("{text => 'the others run'}", "Echo");
    daemon.wait_for("Echo: the others run.", SOON);
    assert!(world.waiting("Counter") >= 1 && !daemon.stdout().contains("Counter: started"), "{daemon:?}");
    fs::remove_file(&failsafe).unwrap();
    daemon.wait_for("Counter: has heard 2.", SOON);
    // The budget begins anew.
    kill_host(&world);
    world.send("{from => 'a', n => 3}", "Counter");
    daemon.wait_for("Counter: has heard 3.", SOON);
}

#[test]
fn a_keeper_gives_up_by_the_same_budget_while_the_daemon_is_away() {
    let world = World::new();
    let daemon = start(&world, "{ max => 2, within => 60, backoff => 0.01 }");
    kill_host(&world);
    world.process("Counter");
    daemon.kill();
    daemon.exit(SOON);
    (0..2).for_each(|_| kill_host(&world));
    let keeper = world.record("Counter").unwrap().keeper_identity();
    world.wait_ended(&[keeper]);
    assert!(world.state().join("Counter.failsafe").exists());
    let daemon = world.own_daemon(&config("{ max => 2, within => 60, backoff => 0.01 }", "")).start();
    daemon.wait_for("Counter: parked: ", SOON);
}

#[test]
fn a_changed_policy_alone_does_not_start_a_task_again() {
    let world = World::new();
    let daemon = start(&world, "'always'");
    world.write_config(&config("'never'", ""));
    daemon.wait_for("the changed config is applied", SOON);
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("Counter: has heard 1.", SOON);
    world.write_config(&config("'never'", "other"));
    daemon.wait_for("Counter: started other", SOON);
    assert_eq!(world.log("Counter").matches("Counter: started").count(), 2, "{}", world.log("Counter"));
}

#[test]
fn changes_and_moves_are_no_ends_that_count() {
    let world = World::new();
    let restart = "{ max => 1, within => 60, backoff => 0.01 }";
    let daemon = start(&world, restart);
    for round in 0..4 {
        for external in [0, 1] {
            let label = format!("{round}.{external}");
            let entry = config(restart, &label).replacen("restart", &format!("is_external => {external}, restart"), 1);
            // What runs in the daemon has no restarts.
            let entry = if external == 0 { entry.replacen(&format!("restart => {restart},"), "", 1) } else { entry };
            world.write_config(&entry);
            daemon.wait_for(&format!("Counter: started {label}"), SOON);
        }
    }
    assert!(lives(&world.process("Counter").host_identity()));
    assert!(!daemon.stdout().contains("parked"), "{daemon:?}");
}

/// A parked task is sent more than its queue holds.
fn parked_does_not_block(parked: &str, park: fn(&World)) {
    const ALL: u64 = 3000;
    let world = World::new();
    let config = format!(
        "{{ {parked} => {{ restart => {{ max => 1, backoff => 0.01 }}, queue => {{ max_messages => 10, \
         block_timeout => 3600 }} }}, Counter => {{}}, Router => {{ routes => [ {{ match => {{ source => 'Counter' }}, \
         forwards => [ {{ qname => '{parked}' }} ] }} ] }} }}"
    );
    let daemon = world.own_daemon(&config).start();
    park(&world);
    daemon.wait_for(&format!("{parked}: parked"), SOON);
    (0..ALL).for_each(|n| world.send(&format!("{{from => 'a', n => {n}}}"), "Counter"));
    daemon.wait_for(&format!("Counter: has heard {ALL}."), 3 * SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    assert!(world.waiting("dead") > 0);
    assert_eq!(world.waiting(parked) + world.waiting("dead"), ALL, "nothing is lost");
}

#[test]
fn the_queue_of_a_parked_task_does_not_block_who_sends_to_it_and_what_does_not_fit_goes_to_dead() {
    parked_does_not_block("Other", |world| {
        for _ in 0..2 {
            let record = world.process("Other");
            kill(&record.host_identity());
            world.wait_for("its end", || world.end("Other").filter(|end| end.host == Some(record.host)));
        }
    });
}

#[test]
fn the_queue_of_a_parked_task_that_never_began_has_its_bound_too() {
    parked_does_not_block("Quitter", |_| {});
}
