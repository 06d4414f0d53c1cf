//! Peers of other versions.

use ipc_channel::ipc::{self, IpcSender};
use serde::{Deserialize, Serialize};

use super::parties::{DEADLINE, World, name};
use crate::link::claim::Claim;
use crate::link::protocol::{FromDaemon, FromHost};
use crate::link::{DaemonLink, LinkError, OLDEST, ToDaemon, ToHost, VERSION};

#[tokio::test]
async fn a_host_that_is_too_old_is_told_by_its_version() {
    let world = World::new();
    let _host = world.host_of_version("One", OLDEST - 1);
    let error = world.try_connect("One", DEADLINE).await.err().unwrap();
    assert_eq!(error.to_string(), "process One speaks version 0 of the control protocol, this program 1 to 3");
}

#[tokio::test]
async fn a_newer_host_is_spoken_to_in_our_version() {
    let world = World::new();
    let _host = world.host_of_version("One", VERSION + 1);
    let mut linked = world.connect("One").await;
    assert_eq!((linked.link.version(), linked.hello.version), (VERSION, VERSION + 1));
    linked.works().await;
}

#[tokio::test]
async fn a_daemon_that_is_too_old_learns_the_hosts_version_and_loses_the_link() {
    let world = World::new();
    let _host = world.host("One");
    let connected = DaemonLink::connect_as(OLDEST - 1, &world.state_dir, &name("One"), DEADLINE).await;
    let (_link, hello, mut messages) = connected.unwrap();
    assert_eq!(hello.version, VERSION);
    assert_eq!(messages.recv().await, None);
    world.connect("One").await.works().await;
}

/// What a later program may say, as it would stand on the wire.
#[derive(Serialize, Deserialize)]
enum Later {
    Hello { version: u32, reply: IpcSender<FromHost>, appended: String },
    Message(LaterMessage),
    _Unknown,
}

#[derive(Serialize, Deserialize)]
enum LaterMessage {
    Configure { generation: u64, appended: u32 },
    _SetLevel,
    _ReopenLog,
    Unknown { text: String },
}

#[tokio::test]
async fn an_order_of_a_later_version_is_skipped_and_the_link_goes_on() {
    let world = World::new();
    let _host = world.host("One");
    let claim = Claim::take(&world.state_dir, &name("One")).unwrap();
    let host = IpcSender::connect(claim.address.clone()).unwrap();
    let (reply, replies) = ipc::channel().unwrap();
    host.send(Later::Hello { version: VERSION + 1, reply, appended: "more".into() }).unwrap();
    host.send(Later::Message(LaterMessage::Unknown { text: "?".into() })).unwrap();
    host.send(Later::_Unknown).unwrap();
    host.send(Later::Message(LaterMessage::Configure { generation: 5, appended: 1 })).unwrap();
    let said = std::thread::spawn(move || [replies.recv().unwrap(), replies.recv().unwrap()]).join().unwrap();
    let [FromHost::Hello(_), FromHost::Message(ToDaemon::Configured { generation: 5, .. })] = &said else {
        panic!("{said:?}");
    };
    drop(host);
    world.connect("One").await.works().await;
}

#[tokio::test]
async fn a_second_hello_changes_nothing() {
    let world = World::new();
    let _host = world.host("One");
    let claim = Claim::take(&world.state_dir, &name("One")).unwrap();
    let host = IpcSender::connect(claim.address.clone()).unwrap();
    let (reply, replies) = ipc::channel().unwrap();
    host.send(FromDaemon::Hello { version: VERSION, reply: reply.clone() }).unwrap();
    host.send(FromDaemon::Hello { version: VERSION, reply }).unwrap();
    host.send(FromDaemon::Message(ToHost::Configure { generation: 6 })).unwrap();
    let said = std::thread::spawn(move || [replies.recv().unwrap(), replies.recv().unwrap()]).join().unwrap();
    assert!(matches!(said[1], FromHost::Message(ToDaemon::Configured { generation: 6, .. })), "{said:?}");
    assert!(!matches!(world.try_connect("One", DEADLINE).await, Ok(_) | Err(LinkError::Silent { .. })));
}
