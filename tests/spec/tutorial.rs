//! The tutorial, exactly as it is documented.

use std::time::Instant;

use crate::daemon::Daemon;
use crate::world::{SOON, World};

const HOWDY: &str = "Example2: received a message: ";

/// The tutorial's config as it is delivered, in `conf/` of the world.
fn world() -> World {
    let world = World::new();
    world.write_config(include_str!("../../conf/test.conf"));
    world
}

/// `multimodule -c test.conf -p mytasks::`, typed exactly so.
fn run(world: &World) -> Daemon {
    world.daemon().arg("-c").arg("test.conf").arg("-p").arg("mytasks::").start()
}

/// The numbers that Example2 has printed, each line being exactly as documented.
fn numbers(daemon: &Daemon) -> Vec<i64> {
    let lines = daemon.lines();
    let printed = lines.iter().filter_map(|line| line.text.strip_prefix(HOWDY));
    printed.map(|rest| rest.strip_suffix(" (howdy)").expect("the outstr follows").parse().unwrap()).collect()
}

#[test]
fn the_first_run_counts_from_1_one_a_second_and_says_nothing_else() {
    let world = world();
    let daemon = run(&world);
    daemon.wait_for("Example2: received a message: 1 (howdy)", SOON);
    let first = Instant::now();
    daemon.wait_for("Example2: received a message: 4 (howdy)", SOON);
    // Three ticks; the margin is for a first line that was read late.
    assert!(first.elapsed().as_secs_f64() > 2.0, "{:?}", first.elapsed());
    assert_eq!(numbers(&daemon), [1, 2, 3, 4]);
    let others = daemon.lines().iter().filter(|line| !line.text.starts_with(HOWDY)).count();
    assert!(others <= 1 && !daemon.lines()[1..].iter().any(|line| !line.text.starts_with(HOWDY)), "{daemon:?}");
}

#[test]
fn ctrl_c_ends_it_in_order_and_the_next_run_goes_on_with_the_next_number() {
    let world = world();
    let daemon = run(&world);
    daemon.wait_for("2 (howdy)", SOON);
    daemon.interrupt();
    daemon.wait_for("caught SIGINT. starting orderly exit", SOON);
    assert_eq!(daemon.exit_code(SOON), 0);
    let last = *numbers(&daemon).last().unwrap();
    let daemon = run(&world);
    daemon.wait_for(HOWDY, SOON);
    assert_eq!(numbers(&daemon), [last + 1]);
}

#[test]
fn a_message_in_any_form_from_any_directory_sets_the_count() {
    let world = world();
    let daemon = run(&world);
    daemon.wait_for("1 (howdy)", SOON);
    for (count, form) in
        [(999, "<new_ct=>999>"), (2999, "{new_ct => 2999}"), (4999, "{\"new_ct\": 4999}"), (6999, "(new_ct: 6999)")]
    {
        let before = daemon.lines().len();
        let outcome = world.strans(&[form, "Example1"]);
        assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (0, "", ""));
        let received = daemon.wait_for_after(before, "Example1: received a message: {", SOON);
        assert!(daemon.lines()[received].text.contains(&format!("\"new_ct\":{count}")), "{daemon:?}");
        let set = daemon.wait_for_after(received, &format!("Example1: set ct to {count}"), SOON);
        daemon.wait_for_after(set, &format!("{HOWDY}{count} (howdy)"), SOON);
        daemon.wait_for_after(set, &format!("{HOWDY}{} (howdy)", count + 1), SOON);
    }
}

#[test]
fn the_config_may_be_json_or_ron() {
    let forms = [
        r#"{"Example1": {"outstr": "in JSON", "ct": 7}, "Router": {"routes": [
            {"match": {"source": "Example1"}, "forwards": [{"qname": "Example2"}]}]}}"#,
        r#"(Example1: (outstr: "in RON", ct: 7), Router: (routes: [
            (match: (source: "Example1"), forwards: [(qname: "Example2")])]))"#,
    ];
    for (form, outstr) in forms.into_iter().zip(["in JSON", "in RON"]) {
        let world = World::new();
        let daemon = world.daemon().config(form).prefix("mytasks::").start();
        daemon.wait_for(&format!("{HOWDY}7 ({outstr})"), SOON);
    }
}
