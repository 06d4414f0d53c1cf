//! State: exact whatever is killed and when, and never a silent start at zero.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::thread;

use crate::children::Exit;
use crate::daemon::Daemon;
use crate::own_tasks::Heard;
use crate::processes;
use crate::records::{cut_in_half, damage};
use crate::world::{SOON, World};

/// Commits so often that kills fall between them, and in the middle of them.
const COUNTER: &str =
    "Counter => { is_external => 0, intervals => { save_state => 0.01 }, delivery => 'at_least_once' }";

/// What Counter emits goes to a queue that this test reads.
const ROUTER: &str = "Router => { routes => [ { match => { source => 'Counter' }, \
                      forwards => [ { qname => 'Sink', outside => 1 } ] } ] }";

/// Commits at the end only: each run leaves one record.
const SELDOM: &str = "Counter => { is_external => 0, intervals => { save_state => 3600 } }";

fn heard(world: &World) -> Heard {
    ron::from_str(&world.saved_state("Counter")).expect("the counter's state")
}

/// A number below `bound`, another at each call.
fn random(bound: u64) -> u64 {
    RandomState::new().hash_one(bound) % bound
}

/// Sends `from..to`, one message after another.
fn send_numbers(world: &World, sender: &str, numbers: std::ops::Range<i64>) {
    numbers.for_each(|n| world.send(&format!("{{from => '{sender}', n => {n}}}"), "Counter"));
}

fn run_seldom(world: &World) -> Daemon {
    world.own_daemon(&format!("{{ {SELDOM}, {ROUTER} }}")).start()
}

/// A run that hears one more number and ends in order.
fn run_once(world: &World, n: i64) {
    let daemon = run_seldom(world);
    world.send(&format!("{{from => 'a', n => {n}}}"), "Counter");
    daemon.wait_for(&format!("has heard {n}."), SOON);
    end(&daemon);
}

fn end(daemon: &Daemon) {
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
}

/// An end in order, not before there is something to end.
fn start_and_end(_: &World, daemon: &Daemon) {
    daemon.wait_for("Counter: started", SOON);
    end(daemon);
}

fn kill(_: &World, daemon: &Daemon) {
    daemon.kill();
    assert_eq!(daemon.exit(SOON), Exit::Signal(9));
}

/// Kills the daemon, its host and that one's keeper.
fn kill_all(world: &World, daemon: &Daemon) {
    kill(world, daemon);
    world.end_externals();
}

/// Kills the host alone, if there is one yet: its keeper starts it again.
fn kill_host(world: &World, daemon: &Daemon) {
    world.record("Counter").iter().for_each(|record| processes::kill(&record.host_identity()));
    daemon.wait_for("runs", SOON);
    daemon.terminate();
    assert_eq!(daemon.exit_code(SOON), 0);
}

#[test]
fn every_message_counts_exactly_once_whenever_the_daemon_is_killed_and_what_it_causes_goes_out_at_least_once() {
    let (world, all) = hear_numbers(COUNTER, kill);
    let emitted = world.emitted("Sink");
    for sender in SENDERS {
        let numbers = &emitted[sender];
        assert!(first_appearances(numbers).into_iter().eq(0..all), "{sender}: {numbers:?}");
    }
}

#[test]
fn with_delivery_exactly_once_what_a_message_causes_goes_out_once_whenever_the_daemon_is_killed() {
    let (world, all) = hear_numbers(&COUNTER.replace("at_least_once", "exactly_once"), kill);
    let emitted = world.emitted("Sink");
    for sender in SENDERS {
        let numbers = &emitted[sender];
        assert!(numbers.iter().copied().eq(0..all), "{sender}: {numbers:?}");
    }
}

#[test]
fn it_is_the_same_for_a_process_of_its_own_whatever_is_killed() {
    // A person would have asked why by then.
    let external = COUNTER.replace("is_external => 0", "restart => { max => 1000, backoff => 0.01 }");
    for end_run in [kill_all, kill_host] {
        for delivery in ["at_least_once", "exactly_once"] {
            let (world, all) = hear_numbers(&external.replace("at_least_once", delivery), end_run);
            let emitted = world.emitted("Sink");
            for sender in SENDERS {
                let numbers = &emitted[sender];
                assert!(first_appearances(numbers).into_iter().eq(0..all), "{sender}: {numbers:?}");
                assert!(delivery == "at_least_once" || numbers.len() == usize::try_from(all).unwrap(), "{numbers:?}");
            }
        }
    }
}

#[test]
fn orderly_ends_among_the_messages_lose_and_repeat_nothing() {
    let (world, all) = hear_numbers(COUNTER, start_and_end);
    let emitted = world.emitted("Sink");
    for sender in SENDERS {
        assert!(emitted[sender].iter().copied().eq(0..all), "{sender}: {:?}", emitted[sender]);
    }
}

#[test]
fn with_delivery_exactly_once_an_orderly_end_holds_nothing_back() {
    let world = World::new();
    let once = SELDOM.replacen('{', "{ delivery => 'exactly_once',", 1);
    let daemon = world.own_daemon(&format!("{{ {once}, {ROUTER} }}")).start();
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("has heard 1.", SOON);
    assert_eq!(world.waiting("Sink"), 0, "it waits for its record");
    end(&daemon);
    assert_eq!(world.emitted("Sink")["a"], [1]);
}

const SENDERS: [&str; 3] = ["a", "b", "c"];

/// Three senders send while the daemon is ended again and again; the state must count every number once, in its
/// sender's order. Returns how many numbers each has sent.
fn hear_numbers(counter: &str, end_run: fn(&World, &Daemon)) -> (World, i64) {
    const ROUNDS: i64 = 8;
    const EACH: i64 = 60;
    let world = World::new();
    let config = format!("{{ {counter}, {ROUTER} }}");
    for round in 0..ROUNDS {
        let daemon = world.own_daemon(&config).start();
        thread::scope(|scope| {
            for sender in SENDERS {
                let world = &world;
                scope.spawn(move || send_numbers(world, sender, round * EACH..(round + 1) * EACH));
            }
            // Two are ended while they start, the others somewhere among this round's messages.
            let sent = SENDERS.len() as u64 * EACH.unsigned_abs();
            let target = round.unsigned_abs() * sent + random(sent) + 1;
            match round {
                0 => {}
                4 => wait_printed(&world, &daemon, "Counter: started"),
                _ => wait_printed(&world, &daemon, &format!("has heard {target}.")),
            }
            end_run(&world, &daemon);
        });
    }
    let all = ROUNDS * EACH;
    let daemon = world.own_daemon(&config).start();
    world.send("{from => 'last', n => 0}", "Counter");
    wait_printed(&world, &daemon, &format!("has heard {}.", all * 3 + 1));
    end(&daemon);
    let heard = heard(&world).0;
    for sender in SENDERS {
        assert!(heard[sender].iter().copied().eq(0..all), "{sender}: {:?}", heard[sender]);
    }
    assert_eq!((world.waiting("Counter"), world.waiting("dead")), (0, 0));
    (world, all)
}

/// Waits until Counter has printed `line`: what a process prints while no daemon runs is in its log alone.
fn wait_printed(world: &World, daemon: &Daemon, line: &str) {
    let printed = || daemon.stdout().contains(line) || world.log("Counter").contains(line);
    world.wait_for(line, || printed().then_some(()));
}

fn first_appearances(numbers: &[i64]) -> Vec<i64> {
    let mut seen = BTreeSet::new();
    numbers.iter().copied().filter(|n| seen.insert(*n)).collect()
}

#[test]
fn save_state_says_how_often_a_state_is_saved() {
    let world = World::new();
    let config = |seconds: &str| {
        format!(
            "{{ Example1 => {{ is_external => 0, outstr => 'x', ct => 1, intervals => {{ save_state => {seconds}, Example1 => 0.1 }} }}, \
                 Router => {{ routes => [ {{ match => {{ source => 'Example1' }}, forwards => [ {{ qname => 'Example2' }} ] }} ] }} }}"
        )
    };
    let first_after_a_kill = |seconds| {
        let run = || world.daemon().config(&config(seconds)).prefix("mytasks::").start();
        let daemon = run();
        daemon.wait_for("20 (x)", SOON);
        daemon.kill();
        daemon.exit(SOON);
        let again = run();
        let line = again.wait_for("Example2: received a message: ", SOON);
        let text = again.lines()[line].text.clone();
        again.kill();
        again.exit(SOON);
        text.split(' ').find_map(|word| word.parse::<i64>().ok()).unwrap()
    };
    assert_eq!(first_after_a_kill("3600"), 1, "nothing was saved in between");
    let goes_on = first_after_a_kill("0.05");
    assert!(goes_on > 15, "the state is at most some ticks old: {goes_on}");
}

#[test]
fn a_transform_message_changes_the_state_and_is_not_delivered() {
    let world = World::new();
    world.write_config(include_str!("../../conf/test.conf"));
    let daemon = world.daemon().arg("-c").arg("test.conf").prefix("mytasks::").start();
    daemon.wait_for("1 (howdy)", SOON);
    assert_eq!(world.strans(&["{'.multimodule' => {transform => {ct => 500}}}", "Example1"]).code, 0);
    daemon.wait_for("Example2: received a message: 500 (howdy)", SOON);
    daemon.wait_for("Example2: received a message: 501 (howdy)", SOON);
    assert!(!daemon.stdout().contains("Example1: received"), "{daemon:?}");
    world.send("{'.multimodule' => {transform => {ct => 'many'}}}", "Example1");
    daemon.wait_for("[ERROR] Example1:", SOON);
    daemon.wait_for("502 (howdy)", SOON);
}

#[test]
fn a_state_file_that_is_cut_in_half_or_damaged_loses_nothing_while_another_is_whole() {
    for spoil in [cut_in_half, damage] as [fn(&Path); 2] {
        let world = World::new();
        run_once(&world, 1);
        run_once(&world, 2);
        spoil(&world.newest_records("Counter")[0]);
        run_once(&world, 3);
        assert_eq!(heard(&world).0["a"], [1, 2, 3]);
    }
}

#[test]
fn a_damaged_record_is_kept_aside_and_what_the_older_one_misses_and_may_repeat_is_told() {
    for spoil in [cut_in_half, damage] as [fn(&Path); 2] {
        let world = World::new();
        run_once(&world, 1);
        run_once(&world, 2);
        world.newest_records("Counter").iter().for_each(|path| spoil(path));
        let daemon = run_seldom(&world);
        daemon.wait_for("1 messages from anon:0 are missing in this state", SOON);
        daemon.wait_for("up to 1 messages to Sink may go out again", SOON);
        daemon.wait_for("it is kept as", SOON);
        world.send("{from => 'a', n => 3}", "Counter");
        daemon.wait_for("has heard 2.", SOON);
        end(&daemon);
        assert_eq!(heard(&world).0["a"], [1, 3]);
        let names = std::fs::read_dir(world.state()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().any(|name| name.to_string_lossy().contains(".damaged-")));
    }
}

#[test]
fn a_state_that_the_tasks_own_check_refuses_is_kept_aside_and_an_older_one_is_taken() {
    let world = World::new();
    run_once(&world, 1);
    let daemon = run_seldom(&world);
    world.send("{from => 'stranger', n => 1}", "Counter");
    daemon.wait_for("has heard 2.", SOON);
    end(&daemon);
    let daemon = run_seldom(&world);
    daemon.wait_for("the task refuses it: a stranger was heard; it is kept as", SOON);
    daemon.wait_for("1 messages from anon:0 are missing in this state", SOON);
    world.send("{from => 'a', n => 2}", "Counter");
    daemon.wait_for("has heard 2.", SOON);
}

#[test]
fn a_state_restored_from_last_week_says_what_it_misses() {
    let world = World::new();
    run_once(&world, 1);
    let last_week = world.keep_records("Counter");
    run_once(&world, 2);
    run_once(&world, 3);
    world.remove_records("Counter");
    last_week.restore();
    let daemon = run_seldom(&world);
    daemon.wait_for("2 messages from anon:0 are missing in this state", SOON);
    world.send("{from => 'a', n => 4}", "Counter");
    daemon.wait_for("has heard 2.", SOON);
    end(&daemon);
    assert_eq!(heard(&world).0["a"], [1, 4]);
}

#[test]
fn a_task_without_a_good_record_is_not_started_and_the_error_says_what_to_do() {
    let world = World::new();
    let config = "{ Counter => {}, Echo => {} }";
    run_once(&world, 1);
    world.records("Counter").iter().for_each(|path| damage(path));
    let damaged = world.keep_records("Counter");
    let daemon = world.own_daemon(config).start();
    let line = daemon.wait_for("task Counter is not started, for none of its records is good", SOON);
    let text = daemon.lines()[line].text.clone();
    for part in ["its checksum is wrong", "to go on, mend one of them", "to start at zero, remove all three"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    world.send("{from => 'a', n => 2}", "Counter");
    world.send("{text => 'the others run'}", "Echo");
    daemon.wait_for("Echo: the others run.", SOON);
    daemon.interrupt();
    daemon.exit(SOON);
    assert!(!daemon.stdout().contains("Counter: started"), "{daemon:?}");
    assert!(damaged.is_untouched());
    assert_eq!(world.waiting("Counter"), 1, "its messages wait");
    // What the error says helps.
    world.remove_records("Counter");
    let daemon = world.own_daemon(config).start();
    daemon.wait_for("has heard 1.", SOON);
}
