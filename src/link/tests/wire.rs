//! The bytes of each message: what is written here is what older and newer programs expect.

use ipc_channel::ipc::{self, IpcSender};
use serde::{Deserialize, Serialize};

use crate::link::protocol::{FromDaemon, FromHost};
use crate::link::{HostHello, ToDaemon, ToHost};
use crate::name::TaskName;
use crate::task::Counts;

/// Sends `message` over a real channel and looks at what arrives, byte by byte.
fn check<T, const N: usize>(message: T, expected: [u8; N])
where
    T: Serialize + for<'de> Deserialize<'de> + Clone,
    [u8; N]: Serialize + for<'de> Deserialize<'de>,
{
    let (tx, rx) = ipc::channel::<T>().unwrap();
    tx.send(message.clone()).unwrap();
    tx.send(message).unwrap();
    let bytes = rx.to_opaque().to::<[u8; N]>();
    assert_eq!(bytes.recv().unwrap(), expected);
    let longer = bytes.to_opaque().to::<([u8; N], u8)>();
    assert!(longer.recv().is_err(), "there are more bytes than {expected:?}");
}

#[test]
fn the_bytes_of_every_order_stay_what_they_are() {
    check(FromDaemon::Message(ToHost::Configure { generation: 300 }), [1, 0, 172, 2]);
    check(FromDaemon::Message(ToHost::SetLevel { level: 3 }), [1, 1, 3]);
    check(FromDaemon::Message(ToHost::ReopenLog), [1, 2]);
}

#[test]
fn the_bytes_of_every_answer_stay_what_they_are() {
    let faults = vec!["a".to_owned(), "bc".to_owned()];
    check(FromHost::Message(ToDaemon::Configured { generation: 2, faults }), [1, 0, 2, 2, 1, b'a', 2, b'b', b'c']);
    check(FromHost::Message(ToDaemon::ReopenedLog), [1, 1]);
    let busy = std::time::Duration::new(7, 300);
    let counts = Counts { handled: 300, failed: 1, emitted: 2, busy, unmade: 3 };
    let counted = ToDaemon::Counted { written_bytes: 4096, tasks: vec![(TaskName::new("a").unwrap(), counts)] };
    check(FromHost::Message(counted), [1, 2, 128, 32, 1, 1, b'a', 172, 2, 1, 2, 7, 172, 2, 3]);
    let hello = HostHello { version: 1, nonce: "n".into(), process: "p".into(), program: "q".into(), generation: 4 };
    check(FromHost::Hello(hello), [0, 1, 1, b'n', 1, b'p', 1, b'q', 4]);
}

#[test]
fn the_bytes_of_the_daemons_hello_stay_what_they_are() {
    let (reply, _replies) = ipc::channel().unwrap();
    let (tx, rx) = ipc::channel().unwrap();
    tx.send(FromDaemon::Hello { version: 1, reply }).unwrap();
    let bytes = rx.to_opaque().to::<(u8, u8, IpcSender<FromHost>)>();
    let (variant, version, _reply) = bytes.recv().unwrap();
    assert_eq!((variant, version), (0, 1));
}
