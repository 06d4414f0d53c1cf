//! The doorbell within one process.

use std::sync::Arc;
use std::time::Duration;

use super::super::*;
use super::*;

#[test]
fn a_waker_is_called_once_per_sleep_also_from_the_same_process() {
    let fixture = Fixture::new();
    let woken = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = woken.clone();
    let waker: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let bell = Bell::open(&fixture.transit).unwrap();
    let reader = Reader { bell: bell.clone(), waker: Some(waker), description: String::new() };
    let mut consumer = fixture.transit.consumer(&fixture.queue, None, &reader).unwrap();
    let sender = fixture.sender();
    let woken = || woken.load(std::sync::atomic::Ordering::Relaxed);
    append_numbers(&sender, 0..1);
    assert!(!consumer.prepare_sleep(), "there is something");
    assert_eq!(drain(&mut consumer).len(), 1);
    assert!(consumer.prepare_sleep());
    append_numbers(&sender, 1..10);
    assert_eq!(woken(), 1);
    assert_eq!(drain(&mut consumer).len(), 9);
    let other = Transit::open(fixture.directory.path()).unwrap();
    let far = other.sender(&fixture.queue, &lane("process:far")).unwrap();
    assert!(consumer.prepare_sleep());
    append_numbers(&far, 0..5);
    assert_eq!(woken(), 1, "the FIFO has it");
    assert_eq!(bell.ring_pending().unwrap(), 1);
    assert_eq!(woken(), 2);
    assert_eq!(bell.late_wakeups(), 0);
}

#[test]
fn a_writer_that_waits_is_rung_for_once_when_enough_is_finished_by_any_process() {
    let fixture = Fixture::new();
    let woken = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = woken.clone();
    let waker: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let bell = Bell::open(&fixture.transit).unwrap();
    let reader = Reader { bell: bell.clone(), waker: Some(waker), description: String::new() };
    let own = fixture.transit.consumer(&QueueName::new("own").unwrap(), None, &reader).unwrap();
    let other = Transit::open(fixture.directory.path()).unwrap();
    let far_bell = Bell::open(&other).unwrap();
    let far_reader = Reader { bell: far_bell, waker: None, description: String::new() };
    let mut far = other.consumer(&fixture.queue, None, &far_reader).unwrap();
    let sender = fixture.sender();
    assert!(!sender.await_finished(0, &own), "there is nothing");
    append_numbers(&sender, 0..8);
    let mut batch = Vec::new();
    while far.take(&mut batch).unwrap() > 0 {}
    assert!(!sender.await_finished(8, &own) && sender.await_finished(5, &own));
    let mut tokens = Vec::new();
    for taken in &batch {
        tokens.push((bell.ring_pending().unwrap(), sender.awaits_ring()));
        far.finish(taken.lane, taken.end, taken.count);
    }
    let (waits, is_over) = ((0, true), (0, false));
    assert_eq!(tokens, [waits, waits, waits, (1, false), is_over, is_over, is_over, is_over]);
    assert_eq!(woken.load(std::sync::atomic::Ordering::Relaxed), 1);
    drop(far);
    let mut near = fixture.consumer();
    append_numbers(&sender, 8..9);
    assert!(sender.await_finished(0, &own));
    let taken = drain(&mut near);
    finish_all(&mut near, &taken);
    assert_eq!(woken.load(std::sync::atomic::Ordering::Relaxed), 2, "within the process the kernel is not asked");
}

#[test]
fn a_full_doorbell_wakes_everybody() {
    let fixture = Fixture::new();
    let mut consumer = fixture.consumer();
    let other = Transit::open(fixture.directory.path()).unwrap();
    let far = other.sender(&fixture.queue, &lane("process:far")).unwrap();
    for n in 0..10_000 {
        drain(&mut consumer);
        assert!(consumer.prepare_sleep());
        append_numbers(&far, n..n + 1);
    }
    assert_eq!(consumer.wait(Duration::ZERO).unwrap(), Wake::Look);
    assert_eq!(drain(&mut consumer).len(), 1);
}

#[test]
fn stale_bells_are_removed_and_live_ones_stay() {
    let fixture = Fixture::new();
    let bells = fixture.directory.path().join(".bells");
    let live = Bell::open(&fixture.transit).unwrap();
    nix::unistd::mkfifo(&bells.join("00000000000000aa"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let other = Bell::open(&fixture.transit).unwrap();
    assert_eq!(std::fs::read_dir(&bells).unwrap().count(), 2);
    drop((live, other));
    assert_eq!(std::fs::read_dir(&bells).unwrap().count(), 0);
}

#[test]
fn a_doorbell_that_was_removed_is_made_anew_and_rung_again_by_old_and_new_senders() {
    let fixture = Fixture::new();
    let woken = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = woken.clone();
    let waker: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let bell = Bell::open(&fixture.transit).unwrap();
    let reader = Reader { bell: bell.clone(), waker: Some(waker), description: String::new() };
    let mut consumer = fixture.transit.consumer(&fixture.queue, None, &reader).unwrap();
    let other = Transit::open(fixture.directory.path()).unwrap();
    let [old, deaf, new] =
        ["process:old", "process:deaf", "process:new"].map(|name| other.sender(&fixture.queue, &lane(name)).unwrap());
    let mut ring = |sender: &Sender| {
        drain(&mut consumer);
        assert!(consumer.prepare_sleep());
        append_numbers(sender, 0..1);
        bell.ring_pending().unwrap()
    };
    assert_eq!(ring(&old), 1);
    assert!(!bell.mend().unwrap(), "nothing is wrong");
    std::fs::remove_dir_all(fixture.directory.path().join(".bells")).unwrap();
    assert_eq!(ring(&old), 1, "it has the old one open");
    assert_eq!(ring(&deaf), 0, "it finds none");
    let before = woken.load(std::sync::atomic::Ordering::Relaxed);
    assert!(bell.mend().unwrap());
    assert!(woken.load(std::sync::atomic::Ordering::Relaxed) > before, "what could not ring is looked for");
    for sender in [&old, &deaf, &new] {
        assert_eq!(ring(sender), 1);
    }
    assert_eq!(bell.late_wakeups(), 0);
}

#[test]
fn a_plain_thread_that_waits_makes_its_doorbell_anew_within_two_waits() {
    let fixture = Fixture::new();
    let (mut consumer, second) = (fixture.consumer(), Duration::from_secs(1));
    assert!(drain(&mut consumer).is_empty());
    assert_eq!(consumer.wait(second).unwrap(), Wake::TimedOut);
    std::fs::remove_dir_all(fixture.directory.path().join(".bells")).unwrap();
    assert_eq!(consumer.wait(second).unwrap(), Wake::TimedOut);
    let other = Transit::open(fixture.directory.path()).unwrap();
    let far = other.sender(&fixture.queue, &lane("process:far")).unwrap();
    drain(&mut consumer);
    let ringing = std::thread::spawn(move || {
        append_numbers(&far, 0..1);
        far
    });
    while drain(&mut consumer).is_empty() {
        assert_eq!(consumer.wait(second).unwrap(), Wake::Look);
    }
    ringing.join().unwrap();
}
