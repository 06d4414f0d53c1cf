//! How ends are known, asked for, and complete.

use std::time::{Duration, Instant};

use multimodule::process::{How, Pidfd, SpawnError, end_host};
use multimodule::restart::When;
use nix::sys::signal::Signal;

use crate::world::{World, argument, ended, policy, process, signal, wait_for};

fn ends_as(script: &str, how: &How) {
    let mut world = World::new();
    let keeper = world.keep(script, policy(When::Never, 0));
    let host = world.record().host;
    ended(&keeper);
    let end = world.end().unwrap();
    assert_eq!((&end.how, end.asked, end.host), (how, false, Some(host)), "{script}: {}", world.log());
    assert!(end.ended_unix_ms >= end.started_unix_ms && end.max_rss_kib > 0, "{end:?}");
    assert!(!world.files().failsafe().exists());
}

#[test]
fn how_a_host_ended_is_written_down() {
    ends_as("exit 0", &How::Exited(0));
    ends_as("exit 7", &How::Exited(7));
    ends_as("ulimit -c 0; kill -SEGV $$", &How::Signaled { signal: 11, core: false });
    ends_as("kill -KILL $$", &How::Signaled { signal: 9, core: false });
    // Signals that a keeper or its spawner ignores or blocks are a host's as ever.
    ends_as("kill -PIPE $$", &How::Signaled { signal: 13, core: false });
    ends_as("kill -XFSZ $$", &How::Signaled { signal: 25, core: false });
}

#[test]
fn a_program_that_cannot_begin_is_an_end_with_its_reason() {
    let mut world = World::new();
    let text = world.file("text");
    std::fs::write(&text, "no program\n").unwrap();
    let order = world.order("", policy(When::Never, 0));
    let keeper = world.spawn_program(&order, &text).unwrap();
    ended(&keeper);
    let how = world.end().unwrap().how;
    assert!(matches!(&how, How::NotStarted(reason) if reason.contains("cannot execute")), "{how}");

    let mut order = world.order("exit 0", policy(When::Never, 0));
    order.directory = argument("/nowhere");
    let keeper = world.spawn(&order).unwrap();
    ended(&keeper);
    let how = world.end().unwrap().how;
    assert!(matches!(&how, How::NotStarted(reason) if reason.contains("/nowhere")), "{how}");
}

#[test]
fn an_end_that_is_asked_for_is_known_as_such_and_final() {
    let mut world = World::new();
    let keeper =
        world.keep("trap 'exit 5' TERM; echo ready; while :; do sleep 600 & wait; done", policy(When::Always, 3));
    world.wait_for_log("ready");
    signal(&keeper, Signal::SIGTERM);
    ended(&keeper);
    let end = world.end().unwrap();
    assert_eq!((end.how, end.asked), (How::Exited(5), true));
    assert_eq!(world.record().starts, 1);
}

#[test]
fn a_host_that_ignores_term_is_killed_after_two_seconds() {
    let mut world = World::new();
    let keeper = world.keep("trap '' TERM; echo ready; while :; do sleep 600; done", policy(When::Always, 3));
    world.wait_for_log("ready");
    let begin = Instant::now();
    signal(&keeper, Signal::SIGTERM);
    ended(&keeper);
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    let end = world.end().unwrap();
    assert_eq!((end.how, end.asked), (How::Signaled { signal: 9, core: false }, true));
}

#[test]
fn what_a_host_has_forked_away_ends_with_it() {
    let away = "(setsid sh -c 'echo $$ >$DIR/away; exec sleep 600' &)";
    // Once the host ends by itself, once an end is asked for.
    for (rest, asked) in [("while [ ! -s $DIR/away ]; do :; done; exit 0", false), ("exec sleep 600", true)] {
        let mut world = World::new();
        let keeper = world.keep(&format!("{away}; {rest}"), policy(When::OnFailure, 3));
        let pid = world.lines("away", 1).remove(0);
        if asked {
            assert!(process(&pid).is_some());
            signal(&keeper, Signal::SIGTERM);
        }
        ended(&keeper);
        let left = process(&pid).and_then(|process| Pidfd::open(&process).unwrap());
        assert!(left.is_none(), "it lives on (asked: {asked})");
        assert_eq!(world.end().unwrap().asked, asked);
    }
}

#[test]
fn a_keeper_that_is_killed_leaves_its_host_running_and_the_record_true() {
    let mut world = World::new();
    let keeper = world.keep("sleep 600; exit 0", policy(When::Always, 3));
    let record = world.record();
    signal(&keeper, Signal::SIGKILL);
    ended(&keeper);
    assert_eq!(world.record(), record);
    wait_for("the end of the keeper", || Pidfd::open(&record.keeper_identity()).unwrap().is_none().then_some(()));
    let host = Pidfd::open(&record.host_identity()).unwrap().expect("the host lives");
    assert!(!host.wait(Duration::from_millis(20)).unwrap());
    assert_eq!(world.end(), None);
    // Nobody starts a second one beside it.
    let order = world.order("exit 1", policy(When::Always, 3));
    let refused = world.spawn(&order);
    assert!(matches!(refused, Err(SpawnError::HostRuns { host, .. }) if host == record.host_identity()));
    assert_eq!(world.record(), record);
    // Who finds it so ends it, with all below it, by its mark.
    let ended = end_host(&record, Duration::from_secs(2)).unwrap();
    assert!(ended.terminated >= 1 && ended.left.is_empty(), "{ended:?}");
    assert!(host.wait(Duration::ZERO).unwrap());
}
