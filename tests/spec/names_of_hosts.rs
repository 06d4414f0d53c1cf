//! Names that a host is called by: unknown ones, taken ones, and tasks that two daemons want.

use crate::rough_tasks::{BYSTANDERS, BYSTANDERS_ROUTE, Bystanders};
use crate::world::{SOON, World};

const HOWDY: &str = "Example2: received a message: ";

/// `multimodule -m NAME` by hand: its code and what it says.
fn by_hand(world: &World, name: &str) -> (i32, String) {
    let outcome = world.ask(&["-p", "mytasks::", "-m", name]);
    (outcome.code, outcome.stderr + &outcome.stdout)
}

#[test]
fn a_host_that_is_not_called_for_is_refused_by_name_and_the_running_one_goes_on() {
    let world = World::new();
    let config = "{ Example1 => { outstr => 'howdy' }, Tally => { is_external => 0 }, Router => { routes => [ \
                  { match => { source => 'Example1' }, forwards => [ { qname => 'Example2' } ] } ] } }";
    let daemon = world.daemon().config(config).prefix("mytasks::").start();
    daemon.wait_for("1 (howdy)", SOON);
    let record = world.process("Example1");
    // The daemon itself, a name that nobody has, tasks that run in the daemon, and a misspelt one.
    for name in ["main", "Unknown", "Example2", "Tally", "Exmaple1"] {
        let (code, said) = by_hand(&world, name);
        assert_eq!(code, 64, "{name}: {said}");
        assert!(said.contains(name), "{name}: {said}");
    }
    assert_eq!(by_hand(&world, "../x").0, 64);
    let files = std::fs::read_dir(world.state()).unwrap().map(|entry| entry.unwrap().file_name());
    let files: Vec<_> = files.map(|name| name.to_string_lossy().into_owned()).collect();
    for name in ["main.", "Unknown.", "Example2.", "Exmaple1."] {
        assert!(!files.iter().any(|file| file.starts_with(name)), "{files:?}");
    }
    let (code, said) = by_hand(&world, "Example1");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Example1 is run by another process already; this one ends"), "{said}");
    let line = daemon.lines().len();
    daemon.wait_for_after(line, HOWDY, SOON);
    assert_eq!(world.process("Example1"), record);
}

#[test]
fn a_host_by_hand_without_any_config_is_refused() {
    let world = World::new();
    let (code, said) = by_hand(&world, "Example1");
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("Example1"), "{said}");
    assert!(!world.transit().exists());
}

#[test]
fn of_two_daemons_that_want_a_task_the_second_waits_names_the_first_and_takes_over() {
    let world = World::new();
    let config = format!("{{ Counter => {{}}, {BYSTANDERS}, Router => {{ routes => [ {BYSTANDERS_ROUTE} ] }} }}");
    let first = world.own_daemon(&config).start();
    first.wait_for("Counter: started", SOON);
    let bystanders = Bystanders::watch(&world);
    let host = world.process("Counter").host;
    let second = world.own_daemon(&config).own_state("other").start();
    let waits = format!(
        "Counter: waits: queue Counter is consumed by Counter, pid {}, state directory {}",
        host.pid,
        world.state().display()
    );
    second.wait_for(&waits, SOON);
    world.send("{from => 'a', n => 1}", "Counter");
    first.wait_for("Counter: has heard 1.", SOON);
    bystanders.are_undisturbed();
    assert_eq!(world.process("Counter").host, host);
    first.interrupt();
    assert_eq!(first.exit_code(SOON), 0);
    second.wait_for("Counter: started", SOON);
    world.send("{from => 'a', n => 2}", "Counter");
    // The state is the first one's; the second begins its own.
    second.wait_for("Counter: has heard 1.", SOON);
    assert_eq!(second.lines().iter().filter(|line| line.text.contains(&waits)).count(), 1, "{second:?}");
    bystanders.have_missed_nothing();
}
