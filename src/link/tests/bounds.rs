//! A peer that does not read, a path that is too long, and many hosts at once.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::parties::{DEADLINE, EXIT, World};
use crate::link::{LinkError, OUTBOX_MESSAGES, ToHost};

/// Long enough that a host which is not stopped would have answered.
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_stopped_host_stops_nobody() {
    let world = World::new();
    let host = world.host("One");
    host.signal(Signal::SIGSTOP);
    let error = world.try_connect("One", SHORT).await.err().unwrap();
    assert_eq!(error.to_string(), "process One was silent for 200 ms");
    for _ in 0..50 {
        let begun = Instant::now();
        let again = world.try_connect("One", DEADLINE).await;
        assert!(matches!(again, Err(LinkError::Claimed { .. })) && begun.elapsed() < DEADLINE / 4);
    }
    host.signal(Signal::SIGCONT);
    world.connect("One").await.works().await;
}

#[tokio::test]
async fn an_attempt_on_a_stopped_host_ends_with_the_host() {
    let world = World::new();
    let host = world.host("One");
    host.signal(Signal::SIGSTOP);
    assert!(matches!(world.try_connect("One", SHORT).await, Err(LinkError::Silent { .. })));
    host.kill();
    let begun = Instant::now();
    while !matches!(world.try_connect("One", DEADLINE).await, Err(LinkError::NobodyListens { .. })) {
        assert!(begun.elapsed() < DEADLINE, "the attempt still waits");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn messages_to_a_host_that_does_not_read_are_bounded_and_block_nobody() {
    let world = World::new();
    let host = world.host("One");
    let linked = world.connect("One").await;
    host.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    let left = (0..1000).filter(|level| linked.link.send(ToHost::SetLevel { level: *level })).count();
    println!("a stopped host: {left} of 1,000 left in {:?}", begun.elapsed());
    assert!((OUTBOX_MESSAGES..1000).contains(&left), "{left}");
    assert!(begun.elapsed() < DEADLINE / 4);
}

#[tokio::test]
async fn a_daemon_that_does_not_read_blocks_no_host() {
    let world = World::new();
    let _host = world.host("One");
    let mut linked = world.connect("One").await;
    assert!(linked.link.send(ToHost::SetLevel { level: 5000 }));
    assert!(linked.link.send(EXIT));
    // Nothing is read until the host has said how much it could leave.
    let told = world.state_dir.join("left");
    let begun = Instant::now();
    let left: usize = loop {
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        if let Ok(left) = text.parse() {
            break left;
        }
        assert!(begun.elapsed() < DEADLINE, "the host is blocked");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    println!("a daemon that does not read: {left} of 5,000 left");
    assert!(left < 5000, "{left}");
    let mut received = 0;
    while linked.next().await.is_some() {
        received += 1;
    }
    assert!(received <= left);
}

#[tokio::test]
async fn a_state_directory_may_have_a_path_of_three_hundred_bytes() {
    let world = World::below(&format!("{}/{}", "a".repeat(150), "b".repeat(150)));
    let mut host = world.host("One");
    for _ in 0..3 {
        world.connect("One").await.works().await;
    }
    assert!(world.connect("One").await.link.send(EXIT));
    assert!(host.ends_well());
    assert!(world.run_files().is_empty(), "{:?}", world.run_files());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_hosts_are_linked_together() {
    let world = std::sync::Arc::new(World::new());
    let hosts: Vec<_> = (0..200).map(|n| world.host(&format!("Host{n}"))).collect();
    let begun = Instant::now();
    let attempts: Vec<_> = (0..hosts.len())
        .map(|n| {
            let world = std::sync::Arc::clone(&world);
            tokio::spawn(async move { world.try_connect(&format!("Host{n}"), DEADLINE).await })
        })
        .collect();
    let mut linked = Vec::new();
    for attempt in attempts {
        linked.push(attempt.await.unwrap().unwrap());
    }
    println!("200 hosts were linked in {:?}", begun.elapsed());
    for one in &mut linked {
        one.works().await;
    }
}
