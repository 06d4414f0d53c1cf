//! Many external tasks at once.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::moves::append;
use crate::own_tasks::CROWD;
use crate::world::World;

/// How long so many starts may take on a slow machine that others use too.
const STARTS: Duration = Duration::from_secs(120);
/// How long their adoption may take, from the start of the daemon's program to the last line that tells of one.
const ADOPTIONS: Duration = Duration::from_secs(10);

#[test]
fn two_hundred_external_tasks_are_adopted_at_once_and_none_is_started_again() {
    let world = World::new();
    let entries: Vec<String> = (0..CROWD).map(|number| format!("Crowd{number} => {{}}")).collect();
    let config = format!("{{ {} }}", entries.join(", "));
    let daemon = world.own_daemon(&config).start();
    (0..CROWD).for_each(|number| _ = daemon.wait_for(&format!("Crowd{number}: started"), STARTS));
    let before: Vec<_> = (0..CROWD).map(|number| world.process(&format!("Crowd{number}"))).collect();
    daemon.kill();
    daemon.exit(ADOPTIONS);
    let begin = Instant::now();
    let daemon = world.own_daemon(&config).start();
    (0..CROWD).for_each(|number| _ = daemon.wait_for(&format!("Crowd{number}: adopted: pid "), ADOPTIONS));
    let took = begin.elapsed();
    println!("{CROWD} processes adopted in {took:?} and {} ms of processor time, start included", cpu_ms(daemon.pid()));
    let after: Vec<_> = (0..CROWD).map(|number| world.process(&format!("Crowd{number}"))).collect();
    assert_eq!(before, after);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(STARTS), 0);
}

/// How many tasks a small system has, and how long their adoption may take by the daemon's own clock, unoptimised too.
const FEW: usize = 20;
const FEW_ADOPTED_MS: u64 = 1000;

#[test]
fn twenty_external_tasks_are_adopted_within_a_second_and_the_daemon_says_how_long_it_took() {
    let world = World::new();
    let entries: Vec<String> = (0..FEW).map(|number| format!("Crowd{number} => {{}}")).collect();
    let config = format!("{{ {} }}", entries.join(", "));
    let daemon = world.own_daemon(&config).start();
    (0..FEW).for_each(|number| _ = daemon.wait_for(&format!("Crowd{number}: started"), STARTS));
    daemon.kill();
    daemon.exit(ADOPTIONS);
    let daemon = world.own_daemon(&config).start();
    let line = daemon.wait_for(&format!("adopted {FEW} processes in "), ADOPTIONS);
    let line = &daemon.lines()[line].text;
    let took = line.split(" processes in ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(took.is_some_and(|ms| ms <= FEW_ADOPTED_MS), "{line}");
}

/// The processor time of a process so far, at the kernel's usual 100 ticks a second.
fn cpu_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the daemon lives");
    let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
    let ticks = after_name.split_ascii_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks"));
    ticks.sum::<u64>() * 10
}

/// How long the receiver of a crowd blocks its thread: the senders are looked at meanwhile.
const BLOCKED: Duration = Duration::from_secs(20);
/// How long they are looked at.
const LOOKED_AT: Duration = Duration::from_secs(5);

/// More than the queue and an outbox hold.
const MORE: i64 = 8000;

#[test]
fn two_hundred_senders_that_wait_for_room_cost_little_and_go_on_when_there_is_some() {
    let world = World::new();
    let each = |text: &dyn Fn(usize) -> String| (0..CROWD).map(text).collect::<Vec<_>>().join(", ");
    let entries = each(&|number| format!("Crowd{number} => {{ is_external => 0 }}"));
    let routes = each(&|number| {
        format!("{{ match => {{ source => 'Crowd{number}' }}, forwards => [ {{ qname => 'Counter' }} ] }}")
    });
    let config = format!(
        "{{ {entries}, Counter => {{ queue => {{ max_messages => 2000, block_timeout => 3600 }} }}, \
         Router => {{ routes => [ {routes} ] }} }}"
    );
    let daemon = world.own_daemon(&config).start();
    daemon.wait_for("Counter: started", STARTS);
    (0..CROWD).for_each(|number| _ = daemon.wait_for(&format!("Crowd{number}: started"), STARTS));
    let idle = cpu_ms_of(&daemon);
    world.send(&format!("{{from => 'a', n => 0, block_ms => {} }}", BLOCKED.as_millis()), "Counter");
    let begin = Instant::now();
    // One has more to send than queue and outbox hold, and more to do than it takes meanwhile.
    append(&world, "Crowd0", &"process:sender".parse().expect("a name of ours"), 0..MORE);
    daemon.wait_for("Crowd0: has heard 6000.", STARTS);
    (1..CROWD).for_each(|number| world.send("{from => 'a', n => 1}", &format!("Crowd{number}")));
    (1..CROWD).for_each(|number| _ = daemon.wait_for(&format!("Crowd{number}: has heard 1."), STARTS));
    assert!(begin.elapsed() + LOOKED_AT + Duration::from_secs(1) < BLOCKED, "the crowd is slow: {:?}", begin.elapsed());
    let used = cpu_ms_of(&daemon);
    let all = MORE + i64::try_from(CROWD).expect("a small number");
    daemon.wait_for(&format!("Counter: has heard {all}."), STARTS);
    println!("{CROWD} senders that wait for room used {used} ms in {LOOKED_AT:?}, and {idle} ms when they were idle");
    // It is 1 % of a core where nothing else runs; each of them by itself took 40 %.
    assert!(u128::from(used.saturating_sub(idle)) * 10 < LOOKED_AT.as_millis(), "{used} ms, and {idle} ms when idle");
}

/// The processor time that a daemon uses while it is looked at.
fn cpu_ms_of(daemon: &Daemon) -> u64 {
    let before = cpu_ms(daemon.pid());
    // Nobody sends: the time is what is measured.
    let (_tx, rx) = mpsc::channel::<()>();
    let _timed_out = rx.recv_timeout(LOOKED_AT);
    cpu_ms(daemon.pid()) - before
}
