//! Saving the config applies it; what is wrong with it is said; what runs goes on.

use crate::daemon::Daemon;
use crate::world::{SOON, World};

const HOWDY: &str = "Example2: received a message: ";

/// The tutorial's config with another outstr, and perhaps more keys.
fn tutorial(example1: &str) -> String {
    format!(
        "{{ Example1 => {{ {example1} }},\n  Router => {{ routes => [\n    \
         {{ match => {{ source => 'Example1' }}, forwards => [ {{ qname => 'Example2' }} ] }},\n  ] }},\n}}\n"
    )
}

fn run(world: &World, config: &str) -> Daemon {
    world.daemon().config(config).prefix("mytasks::").start()
}

/// What Example2 printed: numbers and outstrs.
fn heard(daemon: &Daemon) -> Vec<(i64, String)> {
    let lines = daemon.lines();
    let printed = lines.iter().filter_map(|line| line.text.strip_prefix(HOWDY)?.split_once(" ("));
    printed.map(|(ct, outstr)| (ct.parse().expect("a count"), outstr.trim_end_matches(')').to_owned())).collect()
}

#[test]
fn a_saved_change_shows_within_a_second_and_the_count_goes_on() {
    let world = World::new();
    let daemon = run(&world, &tutorial("outstr => 'howdy'"));
    daemon.wait_for("2 (howdy)", SOON);
    let before = heard(&daemon).len();
    world.write_config(&tutorial("outstr => 'hello'"));
    daemon.wait_for("(hello)", SOON);
    let heard = heard(&daemon);
    assert!(heard.iter().map(|(ct, _)| *ct).eq(1..=i64::try_from(heard.len()).unwrap()), "{heard:?}");
    let late = heard[before..].iter().filter(|(_, outstr)| outstr == "howdy").count();
    assert!(late <= 1, "a tick a second, and the old text came {late} times after the change: {heard:?}");
}

#[test]
fn a_change_reaches_the_tasks_that_it_names_and_no_others() {
    let world = World::new();
    let daemon = world.own_daemon("{ Counter => { label => 'one' }, Echo => { label => 'one' } }").start();
    daemon.wait_for("Counter: started one", SOON);
    daemon.wait_for("Echo: started one", SOON);
    world.write_config("{ Counter => { label => 'two' }, Echo => { label => 'one' } }");
    daemon.wait_for("Counter: started two", SOON);
    world.write_config("{ Counter => { label => 'three' }, Echo => { label => 'two' } }");
    daemon.wait_for("Counter: started three", SOON);
    daemon.wait_for("Echo: started two", SOON);
    let begun = daemon.lines().iter().filter(|line| line.text.contains(": started")).count();
    assert_eq!(begun, 5, "{daemon:?}");
    assert!(!daemon.stdout().contains("stopped"), "{daemon:?}");
}

#[test]
fn tasks_come_and_go_and_a_returning_one_goes_on_with_its_state() {
    let world = World::new();
    let daemon = world.own_daemon("{ Counter => {} }").start();
    world.send("{from => 'a', n => 1}", "Counter");
    daemon.wait_for("has heard 1.", SOON);
    world.write_config("{ Echo => { label => 'came' } }");
    daemon.wait_for("Counter: stopped", SOON);
    daemon.wait_for("Echo: started came", SOON);
    world.send("{from => 'a', n => 2}", "Counter");
    world.send("{text => 'still here'}", "Echo");
    daemon.wait_for("Echo: still here.", SOON);
    world.write_config("{ Counter => { label => 'again' } }");
    let again = daemon.wait_for("Counter: started again", SOON);
    daemon.wait_for_after(again, "has heard 2.", SOON);
}

#[test]
fn a_broken_file_is_refused_with_its_place_and_what_runs_goes_on() {
    let world = World::new();
    let daemon = run(&world, &tutorial("outstr => 'howdy'"));
    daemon.wait_for("1 (howdy)", SOON);
    world.write_config("{ Example1 => {\n    outstr => 'hello',\n    ct => ],\n} }\n");
    let place = daemon.wait_for(&format!("{}:3:11", world.config_path().display()), SOON);
    daemon.wait_for_after(place.saturating_sub(3), "refused", SOON);
    daemon.wait_for_after(place, "    ct => ],", SOON);
    daemon.wait_for_after(place, "(howdy)", SOON);
    world.write_config(&tutorial("outstr => 'mended'"));
    daemon.wait_for_after(place, "(mended)", SOON);
    let heard = heard(&daemon);
    assert!(heard.iter().map(|(ct, _)| *ct).eq(1..=i64::try_from(heard.len()).unwrap()), "{heard:?}");
}

#[test]
fn a_misspelt_key_or_queue_is_told_with_what_is_meant_all_at_once() {
    let world = World::new();
    let daemon = run(&world, &tutorial("outstr => 'howdy'"));
    daemon.wait_for("1 (howdy)", SOON);
    let misspelt = tutorial("outsrt => 'hello', intervalls => {}").replace("'Example2'", "'Exmaple2'");
    world.write_config(&misspelt);
    for (place, text) in [(":1:", "outsrt"), (":1:", "intervalls"), (":3:", "Exmaple2")] {
        let line = daemon.wait_for(&format!("{}{place}", world.config_path().display()), SOON);
        daemon.wait_for_after(line, text, SOON);
    }
    for meant in ["did you mean \"outstr\"", "did you mean \"intervals\"", "did you mean \"Example2\""] {
        daemon.wait_for(meant, SOON);
    }
    let said = daemon.lines().len();
    daemon.wait_for_after(said, "(howdy)", SOON);
}

#[test]
fn thresholds_change_while_all_runs_on_and_senseless_ones_are_refused_at_their_places() {
    let world = World::new();
    let daemon = world.own_daemon("{ Counter => {} }").start();
    daemon.wait_for("Counter: started", SOON);
    world.write_config("{ Counter => {}, MultiModule => { windows => { one_minute => '3s', five_minutes => '3s' } } }");
    daemon.wait_for("applied: thresholds changed", SOON);
    let levels = "levels => [ { name => 'warn', threshold => 2 }, { name => 'severe', threshold => 1 } ]";
    let path = world.config_path().display().to_string();
    world.write_config(&format!(
        "{{ Counter => {{ limits => {{ memory => '1kib' }} }}, MultiModule => {{ thresholds => {{\n'local.cpu.one_core' => \
         {{ {levels} }},\n'local.handles.fh.cuont' => {{}} }} }} }}"
    ));
    for told in [
        format!("{path}:1:28: Counter.limits.memory: below 16777216 bytes"),
        format!("{path}:2:"),
        "levels out of order: \"severe\" at 1 is not above \"warn\" at 2".to_owned(),
        format!("{path}:3:1: "),
        "did you mean \"local.handles.fh.count\"?".to_owned(),
    ] {
        daemon.wait_for(&told, SOON);
    }
    let begun = daemon.lines().iter().filter(|line| line.text.contains("Counter: started")).count();
    assert_eq!(begun, 1, "{daemon:?}");
}

#[test]
fn at_start_a_broken_file_ends_the_daemon_with_78_before_anything_is_made() {
    let world = World::new();
    let daemon = run(&world, &tutorial("outstr => 'howdy', ct => 'many'"));
    assert_eq!(daemon.exit_code(SOON), 78);
    daemon.wait_for(&format!("{}:1:", world.config_path().display()), SOON);
    daemon.wait_for("ct => 'many'", SOON);
    assert!(!daemon.stdout().contains("Example2"), "{daemon:?}");
    let daemon = run(&world, "{ Example1 => {");
    assert_eq!(daemon.exit_code(SOON), 78);
}

#[test]
fn a_missing_task_is_reported_with_what_is_meant_and_the_others_run() {
    let world = World::new();
    let config = tutorial("outstr => 'howdy'").replacen('{', "{ Exmaple3 => {},", 1);
    let daemon = run(&world, &config);
    daemon.wait_for("there is no code for task Exmaple3", SOON);
    daemon.wait_for("did you mean \"Example", SOON);
    daemon.wait_for("1 (howdy)", SOON);
}

#[test]
fn a_removed_config_file_changes_nothing_until_there_is_one_again() {
    let world = World::new();
    let daemon = run(&world, &tutorial("outstr => 'howdy'"));
    daemon.wait_for("1 (howdy)", SOON);
    std::fs::remove_file(world.config_path()).unwrap();
    daemon.wait_for("3 (howdy)", SOON);
    world.write_config(&tutorial("outstr => 'back'"));
    daemon.wait_for("(back)", SOON);
}

#[test]
fn of_many_changes_at_once_the_last_one_holds() {
    let world = World::new();
    let daemon = world.own_daemon("{ Echo => { label => 'first' } }").start();
    daemon.wait_for("Echo: started first", SOON);
    for change in 0..30 {
        world.write_config(&format!("{{ Echo => {{ label => 'number {change}' }} }}"));
    }
    daemon.wait_for("Echo: started number 29", SOON);
}

#[test]
fn no_message_is_lost_or_doubled_while_its_tasks_are_stopped_and_started_by_reloads() {
    const ALL: i64 = 300;
    let world = World::new();
    let config = |label: usize| {
        let blocking = label % 2;
        format!(
            "{{ Counter => {{ label => '{label}', blocking => {blocking} }},
                Second => {{ label => '{label}', blocking => {blocking} }},
                Router => {{ routes => [ {{ match => {{ source => 'Counter' }}, forwards => [ {{ qname => 'Second' }} ] }} ] }} }}"
        )
    };
    let daemon = world.own_daemon(&config(0)).start();
    daemon.wait_for("Counter: started 0", SOON);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..ALL).for_each(|n| world.send(&format!("{{from => 'a', n => {n}}}"), "Counter")));
        for label in 1..8 {
            world.write_config(&config(label));
            daemon.wait_for(&format!("Counter: started {label}"), SOON);
            daemon.wait_for(&format!("Second: started {label}"), SOON);
        }
    });
    daemon.wait_for(&format!("has heard {ALL}."), SOON);
    daemon.interrupt();
    assert_eq!(daemon.exit_code(SOON), 0);
    let numbers: Vec<_> = (0..ALL).map(|n| n.to_string()).collect();
    assert_eq!(world.saved_state("Counter"), format!("({{\"a\":[{}]}})", numbers.join(",")));
    assert_eq!(daemon.stdout().matches("Second: emitted.").count(), numbers.len());
}
