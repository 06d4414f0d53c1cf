//! A link ends with either side, is seen to end, and is made again.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::parties::{DEADLINE, EXIT, Linked, World, files, holdings, name};
use crate::link::{LinkError, ToHost, VERSION, remove_remains};

#[tokio::test]
async fn a_host_says_who_it_is_and_answers() {
    let world = World::new();
    let _host = world.host("One");
    let mut linked = world.connect("One").await;
    assert_eq!((linked.hello.process.as_str(), linked.hello.nonce.as_str()), ("One", "nonce"));
    assert_eq!((linked.hello.generation, linked.link.version()), (1, VERSION));
    linked.works().await;
    drop(linked);
    assert_eq!(world.connect("One").await.hello.generation, 9, "what set_generation said");
}

#[tokio::test]
async fn a_link_is_renewed_when_the_daemon_is_killed() {
    let world = World::new();
    let _host = world.host("One");
    for _ in 0..3 {
        world.daemon("One").kill();
    }
    world.connect("One").await.works().await;
}

#[tokio::test]
async fn the_daemon_sees_at_once_that_a_host_was_killed() {
    let world = World::new();
    let host = world.host("One");
    let mut linked = world.connect("One").await;
    let begun = Instant::now();
    host.signal(Signal::SIGKILL);
    assert_eq!(linked.next().await, None);
    println!("the end of a host was seen after {:?}", begun.elapsed());
    host.kill();
    assert!(matches!(world.try_connect("One", DEADLINE).await, Err(LinkError::NobodyListens { .. })));
    remove_remains(&world.state_dir, &name("One")).unwrap();
    assert!(world.run_files().is_empty());
}

#[tokio::test]
async fn a_host_that_ends_leaves_no_files() {
    let world = World::new();
    let mut host = world.host("One");
    let Linked { link, messages, .. } = {
        let mut linked = world.connect("One").await;
        assert!(linked.link.send(EXIT));
        assert_eq!(linked.next().await, None);
        linked
    };
    assert!(host.ends_well());
    assert!(world.run_files().is_empty(), "{:?}", world.run_files());
    assert!(!world.state_dir.join("One.link").exists());
    drop((link, messages));
}

#[tokio::test]
async fn a_host_removes_what_a_killed_one_left() {
    let world = World::new();
    world.host("One").kill();
    assert_eq!(world.run_files(), ["One.link"]);
    let _host = world.host("One");
    assert_eq!(files(&world.state_dir.join("run/One.link")).len(), 1);
    world.connect("One").await.works().await;
}

#[tokio::test]
async fn two_hundred_renewals_leak_nothing() {
    let world = World::new();
    let _host = world.host("One");
    let mut before = String::new();
    for round in 0..200 {
        let mut linked = world.connect("One").await;
        if round == 0 {
            before = linked.line(ToHost::ReopenLog).await;
        }
    }
    // The thread that sent for the link before may still be ending.
    let begun = Instant::now();
    while world.connect("One").await.line(ToHost::ReopenLog).await != before {
        assert!(begun.elapsed() < DEADLINE, "a host that had {before} has more now");
    }
    println!("after 200 renewals a host has {before}; this process {:?}", holdings());
    let linked_files = files(&world.state_dir.join("run/One.link"));
    assert!(linked_files.len() <= 1, "{linked_files:?}");
}
