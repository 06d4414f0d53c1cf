//! Keepers and spawners that are killed at any moment of a start.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use multimodule::process::{HostRecord, Pidfd, ProcessIdentity, SpawnError, end_host, read_record};
use multimodule::restart::When;
use nix::sys::signal::Signal;

use crate::world::{SOON, World, new_spawner, policy, wait_for};

/// How many starts are struck.
const ROUNDS: u64 = 60;

/// Says whether it finds itself in the record, then stays.
const SCRIPT: &str = "grep -q \"host:(pid:$$,\" $DIR/T.process && echo named >>$DIR/hosts || echo NOT NAMED >>$DIR/hosts; \
                      exec sleep 600";

/// Kills the process whose pid comes to stand in `lock`, `delay` after it does; whether there was one.
fn kill_holder(lock: PathBuf, delay: Duration, give_up: &AtomicBool) -> bool {
    while !give_up.load(Ordering::Relaxed) {
        let pid = fs::read_to_string(&lock).ok().and_then(|text| text.trim().parse().ok());
        let holder = pid.and_then(|pid| ProcessIdentity::of(pid).unwrap());
        if let Some(handle) = holder.and_then(|holder| Pidfd::open(&holder).unwrap()) {
            spin(delay);
            return handle.signal(Signal::SIGKILL).unwrap();
        }
    }
    false
}

/// Waits for less than a sleep takes.
fn spin(delay: Duration) {
    let end = Instant::now() + delay;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// One start whose keeper is killed, during it or after; whether during.
fn strike(world: &mut World, delay: Duration) -> bool {
    let order = world.order(SCRIPT, policy(When::Always, 1000));
    let files = world.files();
    let (lock, give_up) = (world.files().keeper_lock(), AtomicBool::new(false));
    // The one before may still be about to give its lock back.
    fs::write(&lock, "").unwrap();
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill_holder(lock, delay, &give_up));
        let answer = wait_for("a free lock", || match world.spawn(&order) {
            Err(SpawnError::Busy(_)) => None,
            // One that had passed its gate when it was looked for, and was not yet what it became.
            Err(SpawnError::HostRuns { .. }) => {
                end_host(&read_record(&files.process()).unwrap().unwrap(), Duration::ZERO).unwrap();
                None
            }
            answer => Some(answer),
        });
        give_up.store(true, Ordering::Relaxed);
        killer.join().unwrap();
        match answer {
            Ok(keeper) => {
                let handle = Pidfd::open(&keeper).unwrap();
                handle.map(|handle| handle.signal(Signal::SIGKILL).unwrap() && handle.wait(SOON).unwrap());
                false
            }
            Err(SpawnError::Failed { .. }) => true,
            Err(error) => panic!("{error}"),
        }
    })
}

#[test]
fn a_keeper_that_is_killed_at_any_moment_of_its_start_leaves_no_host_without_a_record() {
    let mut world = World::new();
    let (mut struck, mut hosts) = (0, 0);
    for round in 0..ROUNDS {
        struck += u64::from(strike(&mut world, Duration::from_micros(round * 50)));
        if let Some(record) = read_record::<HostRecord>(&world.files().process()).unwrap() {
            hosts += u64::from(end_host(&record, Duration::ZERO).unwrap().killed > 0);
        }
    }
    let said = fs::read_to_string(world.file("hosts")).unwrap_or_default();
    println!(
        "{struck} of {ROUNDS} keepers killed before their answer; {hosts} hosts left; {} began",
        said.lines().count()
    );
    assert!(!said.contains("NOT NAMED"), "{said}");
    assert!(struck > 0 && hosts > 0, "{struck} starts were struck, {hosts} hosts left");
}

#[test]
fn a_spawner_that_is_killed_at_any_moment_of_an_order_spoils_nothing() {
    let mut world = World::new();
    let order = world.order("exec sleep 600", policy(When::Always, 1000));
    for round in 0..20 {
        let spawner = ProcessIdentity::of(world.spawner.pid()).unwrap().unwrap();
        let handle = Pidfd::open(&spawner).unwrap().unwrap();
        let answer = std::thread::scope(|scope| {
            scope.spawn(|| {
                spin(Duration::from_micros(round * 150));
                handle.signal(Signal::SIGKILL).unwrap();
            });
            world.spawn(&order)
        });
        assert!(matches!(answer, Ok(_) | Err(SpawnError::Gone(_) | SpawnError::Busy(_))), "{answer:?}");
        world.spawner = new_spawner();
    }
    // Whatever became of each order: now there is one keeper and one host.
    let answer = world.spawn(&order);
    assert!(matches!(answer, Ok(_) | Err(SpawnError::Busy(_))), "{answer:?}");
    let record = wait_for("the record", || read_record::<HostRecord>(&world.files().process()).unwrap());
    assert!(record.keeper_identity().exists().unwrap() && record.host_identity().exists().unwrap());
}
