//! Hosts of other versions of the program: adopted where the protocols go together, told where not, and never killed
//! unless somebody asks.

use std::fs;
use std::time::{Duration, Instant};

use multimodule::link::{OLDEST, VERSION};
use multimodule::process::HostRecord;

use crate::daemon::Daemon;
use crate::processes::lives;
use crate::version_1::{OtherHost, PROGRAM, TALKATIVE};
use crate::world::{SOON, World};

const CONTROL: &str = "MultiModule_control";
const RENEW: &str = "{'.multimodule' => {control => [{type => 'renew'}]}}";

fn config(label: &str) -> String {
    format!("{{ Counter => {{ label => '{label}' }}, Echo => {{ label => '{label}' }} }}")
}

/// A daemon over a host of that version; what it says at first.
fn adopting(world: &World, host: OtherHost, said: &[&str]) -> (HostRecord, Daemon) {
    let record = world.start_other_host(host);
    let daemon = world.own_daemon(&config("first")).start();
    for text in said {
        daemon.wait_for(text, SOON);
    }
    daemon.wait_for("Echo: started first", SOON);
    (record, daemon)
}

/// What the host of the fixture has said so often already is said once more.
fn says_again(world: &World, text: &str, cause: impl Fn()) {
    let count = || world.log("Counter").matches(text).count();
    let before = count();
    cause();
    world.wait_for(text, || (count() > before).then_some(()));
}

/// The host runs on as it was: nothing has ended it.
fn is_unhurt(world: &World, record: &HostRecord) {
    assert!(lives(&record.host_identity()) && lives(&record.keeper_identity()));
    assert_eq!(world.record("Counter").as_ref(), Some(record));
}

/// Renewed, it is a host of this program, and has what waited for it.
fn is_renewed(world: &World, daemon: &Daemon, record: &HostRecord) {
    world.send("{from => 'a', n => 1}", "Counter");
    assert_eq!(world.waiting("Counter"), 1, "the fixture runs no task");
    is_unhurt(world, record);
    world.send(RENEW, CONTROL);
    daemon.wait_for("Counter: renewed: pid", SOON);
    daemon.wait_for("1 external processes are renewed", SOON);
    daemon.wait_for("Counter: has heard 1.", SOON);
    assert!(!lives(&record.host_identity()) && !lives(&record.keeper_identity()));
    assert_ne!(world.process("Counter").program, PROGRAM);
}

#[test]
fn a_host_of_the_previous_version_is_adopted_asked_only_what_it_knows_and_renewed_when_asked() {
    let world = World::new();
    let host = OtherHost { process: "Counter", protocol: 1, refuses: false };
    let outdated = format!("Counter: outdated: it runs {PROGRAM} with protocol 1, this daemon is multimodule ");
    let (record, daemon) = adopting(&world, host, &["Counter: adopted", &outdated]);
    says_again(&world, "fixture: configure", || world.write_config(&config("second")));
    daemon.wait_for("Echo: started second", SOON);
    let talk = format!("{{'.multimodule' => {{control => [{{type => 'debug', level => {TALKATIVE}}}]}}}}");
    says_again(&world, "fixture: level", || world.send(&talk, CONTROL));
    // Its log is larger than logs grow, and is not rotated: it could not be told.
    daemon.wait_for("fixture: level", SOON);
    says_again(&world, "fixture: configure", || world.write_config(&config("third")));
    daemon.wait_for("Echo: started third", SOON);
    assert!(fs::metadata(world.state().join("log/Counter.log")).unwrap().len() > 10 << 20);
    assert!(!world.state().join("log/Counter.log.1").exists());
    assert!(!world.log("Counter").contains("not understood"));
    is_renewed(&world, &daemon, &record);
}

#[test]
fn a_host_of_the_previous_version_is_linked_again_by_each_daemon_and_told_each_time() {
    let world = World::new();
    let host = OtherHost { process: "Counter", protocol: 1, refuses: false };
    let (record, daemon) = adopting(&world, host, &["Counter: adopted"]);
    daemon.kill();
    daemon.exit(SOON);
    world.wait_for("the end of its link", || world.log("Counter").contains("the daemon is gone").then_some(()));
    let daemon = world.own_daemon(&config("second")).start();
    daemon.wait_for("Counter: adopted", SOON);
    daemon.wait_for("Counter: outdated: ", SOON);
    is_unhurt(&world, &record);
    assert_eq!(daemon.stdout().matches("Counter: outdated: ").count(), 1, "{daemon:?}");
}

#[test]
fn a_host_that_is_too_old_is_told_with_both_versions_left_alone_and_renewed_when_asked() {
    let world = World::new();
    let told = format!("speaks version {} of the control protocol, this program {OLDEST} to {VERSION}", OLDEST - 1);
    let said = ["Counter: alive but silent: ", &told, "Counter: outdated: "];
    let (record, daemon) =
        adopting(&world, OtherHost { process: "Counter", protocol: OLDEST - 1, refuses: false }, &said);
    // A host that cannot be told holds up no change of the config.
    let begin = Instant::now();
    world.write_config(&config("second"));
    daemon.wait_for("Echo: started second", SOON);
    println!("a change beside a host that is too old took {:?}", begin.elapsed());
    is_renewed(&world, &daemon, &record);
}

#[test]
fn a_newer_host_that_takes_us_is_adopted_and_said_to_be_newer() {
    let world = World::new();
    let newer = format!("Counter: newer than this daemon: it runs {PROGRAM} with protocol {}", VERSION + 1);
    let host = OtherHost { process: "Counter", protocol: VERSION + 1, refuses: false };
    let (record, daemon) = adopting(&world, host, &["Counter: adopted", &newer]);
    says_again(&world, "fixture: configure", || world.write_config(&config("second")));
    daemon.wait_for("Echo: started second", SOON);
    is_renewed(&world, &daemon, &record);
}

#[test]
fn a_newer_host_that_lets_go_of_us_is_told_left_alone_and_called_ever_less_often() {
    let world = World::new();
    let told = format!("speaks version {} of the control protocol and lets go of this program", VERSION + 7);
    let begin = Instant::now();
    let host = OtherHost { process: "Counter", protocol: VERSION + 7, refuses: true };
    let (record, daemon) = adopting(&world, host, &["Counter: alive but silent: ", &told]);
    let calls = || world.log("Counter").matches("fixture: a daemon of protocol").count();
    world.wait_for("more calls", || (calls() >= 8).then_some(()));
    assert!(begin.elapsed() > Duration::from_millis(500), "it is called without rest");
    let told = |text: &str| daemon.lines().iter().filter(|line| line.text.contains(text)).count();
    assert_eq!((told("Counter: alive but silent"), told("Counter: adopted")), (1, 0), "{daemon:?}");
    is_renewed(&world, &daemon, &record);
}

#[test]
fn a_renewal_whose_new_host_ends_at_once_has_failed_with_how_it_ended() {
    let world = World::new();
    world.start_other_host(OtherHost { process: "Quitter", protocol: 1, refuses: false });
    let daemon = world.own_daemon("{ Counter => {}, Quitter => {} }").start();
    daemon.wait_for("Quitter: outdated", SOON);
    daemon.wait_for("Counter: started", SOON);
    world.send(RENEW, CONTROL);
    let failed = daemon.wait_for("Quitter: its renewal has failed: what ran was ended, and multimodule ", SOON);
    assert!(daemon.lines()[failed].text.contains(" does not run: exited with 3; its restart policy decides"));
    daemon.wait_for("renewing stops at Quitter; left as they are: none", SOON);
    daemon.wait_for("Quitter: parked", SOON);
}
