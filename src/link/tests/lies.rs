//! Link files that lie.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use ipc_channel::ipc::{IpcOneShotServer, IpcSender};

use super::parties::{DEADLINE, World, name};
use crate::link::claim::Claim;
use crate::link::protocol::{FromDaemon, FromHost};
use crate::link::{LinkError, ToDaemon};
use crate::process::ByteLock;

async fn check(world: &World, expected: &str) {
    let error = world.try_connect("One", DEADLINE).await.err().expect("there is no host");
    let text = error.to_string().replace(&format!("{}/", world.state_dir.display()), "");
    assert_eq!(text, expected);
}

impl World {
    /// The right to connect, once a server is there that is not used up.
    async fn claim(&self) -> Claim {
        let begun = Instant::now();
        loop {
            match Claim::take(&self.state_dir, &name("One")) {
                Ok(claim) => return claim,
                Err(error) => assert!(begun.elapsed() < DEADLINE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn lie(&self, text: &str) -> std::fs::File {
        let mut file = std::fs::File::create(self.state_dir.join("One.link")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }
}

#[tokio::test]
async fn a_link_file_that_lies_is_told_by_its_fact() {
    let world = World::new();
    check(&world, "no link file One.link").await;
    world.lie("garbage");
    check(&world, "One.link is no link file").await;
    world.lie(&"x".repeat(100_000));
    check(&world, "One.link is no link file").await;
    world.lie("multimodule link 1 ../../../tmp/socket\n");
    check(&world, "One.link is no link file").await;
    world.lie("multimodule link 2 whatever\n");
    check(&world, "One.link is a link file of format 2, this program knows 1").await;
    world.lie("multimodule link 1 .tmpAbCdEf/socket\n");
    check(&world, "nobody listens behind One.link").await;
    std::fs::remove_file(world.state_dir.join("One.link")).unwrap();
    nix::unistd::mkfifo(&world.state_dir.join("One.link"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    check(&world, "One.link is no link file").await;
}

#[tokio::test]
async fn a_file_that_a_killed_host_left_names_nobody() {
    let world = World::new();
    world.host("One").kill();
    check(&world, "nobody listens behind One.link").await;
}

#[tokio::test]
async fn a_socket_of_somebody_else_is_no_host() {
    let world = World::new();
    let sockets = world.state_dir.join("run/One.link");
    std::fs::create_dir_all(&sockets).unwrap();
    let _stream = UnixListener::bind(sockets.join("stream")).unwrap();
    let lie = world.lie("multimodule link 1 stream\n");
    assert!(ByteLock { byte: 0 }.try_take(&lie).unwrap());
    let error = world.try_connect("One", DEADLINE).await.err().unwrap();
    assert!(matches!(error, LinkError::Socket(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_answers_no_hello_is_no_host() {
    let world = World::new();
    let sockets = world.state_dir.join("run/One.link");
    std::fs::create_dir_all(&sockets).unwrap();
    let (server, address) = IpcOneShotServer::<FromDaemon>::new().unwrap();
    symlink(address, sockets.join("socket")).unwrap();
    let lie = world.lie("multimodule link 1 socket\n");
    assert!(ByteLock { byte: 0 }.try_take(&lie).unwrap());
    let stranger = std::thread::spawn(move || match server.accept().unwrap().1 {
        FromDaemon::Hello { reply, .. } => {
            reply.send(FromHost::Message(ToDaemon::ReopenedLog)).unwrap();
        }
        other => panic!("{other:?}"),
    });
    check(&world, "what answers for process One says no Hello").await;
    stranger.join().unwrap();
}

#[tokio::test]
async fn a_connection_that_says_nothing_keeps_no_daemon_out() {
    let world = World::new();
    let _host = world.host("One");
    for _ in 0..3 {
        // A server that has let somebody in is named and locked for a moment longer, and its socket is gone.
        while IpcSender::<u64>::connect(world.claim().await.address.clone()).is_err() {}
    }
    world.connect("One").await.works().await;
}

#[tokio::test]
async fn a_first_message_of_garbage_keeps_no_daemon_out() {
    let world = World::new();
    let _host = world.host("One");
    let claim = world.claim().await;
    let tx = IpcSender::<[u8; 3]>::connect(claim.address.clone()).unwrap();
    // A Hello whose channel did not come along: `ipc-channel` panics at it.
    tx.send([0, 1, 7]).unwrap();
    drop((tx, claim));
    world.connect("One").await.works().await;
}
