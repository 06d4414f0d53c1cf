//! A watcher by itself: its process is what the records say.

use std::path::Path;

use super::super::launch::{Launch, Program};
use super::*;
use crate::link::{self, HostHello};
use crate::process::{
    Argument, BootId, EndRecord, HostFiles, HostRecord, How, Intent, NONCE_VARIABLE, Nonce, ProcessIdentity,
    write_record,
};
use crate::restart::{Backoff, Budget, When};

/// A watcher of the process `Task`, whose records are in `place`.
fn watcher(place: &Path) -> Watcher {
    let own = Path::new("/proc/self/exe");
    let launch = Launch {
        spawner: own.to_owned(),
        program: Program::open(own).unwrap(),
        arguments: Arc::new(|_| Vec::new()),
        program_text: "this program".to_owned(),
        environment: Vec::new(),
    };
    let (_wish, wishes) = watch::channel(Wish::Unknown);
    let (_requests, rx) = mpsc::channel(1);
    Watcher::new(
        Arc::new(Shared::new(place.to_owned(), launch, None, tokio::sync::mpsc::channel(1).0, &[])),
        name(),
        wishes,
        rx,
    )
}

fn name() -> TaskName {
    TaskName::new("Task").unwrap()
}

/// The record of a start whose processes are gone: no process has so high a pid.
fn record(start: u32) -> HostRecord {
    let process = |pid| ProcessRef { pid, start_ticks: 1 };
    HostRecord {
        boot: BootId::current().unwrap(),
        pid_namespace: 1,
        keeper: process(u32::MAX / 4 + start),
        host: process(u32::MAX / 4 + 1000 + start),
        nonce: Nonce::fresh().unwrap(),
        started_unix_ms: 1,
        starts: 1,
        program: "this program".to_owned(),
    }
}

fn write(place: &Path, record: &HostRecord) {
    write_record(&HostFiles::new(place, &name()).process(), record).unwrap();
}

fn write_end(place: &Path, record: &HostRecord, how: How) {
    let end = EndRecord {
        boot: record.boot.clone(),
        host: Some(record.host),
        how,
        asked: false,
        started_unix_ms: 1,
        ended_unix_ms: 2,
        user_cpu_ms: 0,
        system_cpu_ms: 0,
        max_rss_kib: 0,
    };
    write_record(&HostFiles::new(place, &name()).end(), &end).unwrap();
}

fn hello(record: &HostRecord) -> HostHello {
    let nonce = record.nonce.to_string();
    HostHello { version: link::VERSION, nonce, process: "Task".into(), program: "this program".into(), generation: 1 }
}

#[tokio::test]
async fn a_host_that_took_the_place_of_another_is_known_by_the_record_of_now() {
    let place = tempfile::tempdir().unwrap();
    let mut watcher = watcher(place.path());
    let (first, second) = (record(1), record(2));
    write(place.path(), &first);
    watcher.look();
    write(place.path(), &second);
    watcher.answered(&hello(&second));
    assert_eq!(watcher.sight.record(), Some(&second));
    assert!(watcher.is_proven(&hello(&second)));
    assert!(!watcher.is_proven(&hello(&first)), "the one before has no business there");
    let age = format!("{:?}", watcher.age.said());
    assert!(age.contains(&second.nonce.to_string()), "{age}");
}

#[tokio::test]
async fn a_start_that_ended_before_it_was_seen_is_judged_at_once_and_not_when_a_start_takes_too_long() {
    let place = tempfile::tempdir().unwrap();
    let mut watcher = watcher(place.path());
    let record = record(1);
    let restart = Policy::new(When::Never, Backoff::default(), Budget::default()).unwrap();
    watcher.wish = Wish::Runs(Spec { restart, caps: crate::process::Caps::default(), entries: String::new() });
    watcher.phase = Phase::Starting { until: Instant::now() + Duration::from_secs(10) };
    watcher.made = Some(record.keeper);
    write(place.path(), &record);
    write_end(place.path(), &record, How::Exited(0));
    let seen = watcher.look();
    watcher.act(seen).await;
    assert_eq!(watcher.phase, Phase::Stays);
}

#[tokio::test]
async fn each_start_whose_program_never_began_is_counted_once() {
    let place = tempfile::tempdir().unwrap();
    let mut watcher = watcher(place.path());
    watcher.look();
    let starts = [How::NotStarted("no program".to_owned()), How::Exited(3), How::NotStarted("no program".to_owned())];
    for (start, (how, unmade)) in (1..).zip(starts.into_iter().zip([1, 1, 2])) {
        let record = record(start);
        write(place.path(), &record);
        write_end(place.path(), &record, how);
        watcher.look();
        watcher.look();
        assert_eq!(watcher.unmade, unmade, "after start {start}");
    }
}

#[tokio::test]
async fn caps_that_change_while_a_host_is_being_started_hold_for_it() {
    let place = tempfile::tempdir().unwrap();
    let mut watcher = watcher(place.path());
    watcher.look();
    // Between the look and the change a host begins, by the old caps.
    let mut record = record(1);
    let mut host = std::process::Command::new("/bin/sleep");
    let mut host = host.arg("600").env(NONCE_VARIABLE, record.nonce.to_string()).spawn().unwrap();
    record.host = ProcessIdentity::of(host.id()).unwrap().unwrap().reference();
    write(place.path(), &record);
    let restart = Policy::new(When::Never, Backoff::default(), Budget::default()).unwrap();
    let (directory, caps) = (Argument::new("/").unwrap(), Caps { files: Some(300), ..Caps::default() });
    let (arguments, program) = (Vec::new(), String::new());
    let intent = Intent { name: name(), arguments, directory, restart, program, caps, entries: String::new() };
    write_record(&HostFiles::new(place.path(), &name()).intent(), &intent).unwrap();
    let caps = Caps { files: Some(200), ..Caps::default() };
    watcher.wish = Wish::Runs(Spec { restart, caps, entries: String::new() });
    watcher.tell_keeper();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", host.id())).unwrap();
    host.kill().unwrap();
    host.wait().unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(4), Some("200"), "{files}");
}
