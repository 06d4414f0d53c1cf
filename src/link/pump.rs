//! The two threads of an end: one empties the outbox into the socket, one takes what comes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;

use ipc_channel::IpcError;
use ipc_channel::ipc::{IpcReceiver, IpcSender};
use serde::{Deserialize, Serialize};

use super::LinkError;
use super::outbox::Outbox;

/// The stack of a thread of ours: decoding a message of a few fields and a line of log, also unoptimised. A daemon has
/// two such threads per host.
const STACK_BYTES: usize = 128 * 1024;

/// What the receiving thread got.
pub(super) enum Incoming<T> {
    Message(T),
    /// Something of a version that we do not know.
    NotUnderstood,
    /// The peer is gone, or what it sends makes no sense at all.
    Ended,
}

pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), LinkError> {
    let thread = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(body);
    thread.map(drop).map_err(LinkError::Thread)
}

/// Starts the thread that sends. It ends when the outbox is closed and empty, or the peer gone; then the peer sees the
/// link end, for `tx` was the last of its kind.
pub(super) fn spawn_sender<T>(tx: IpcSender<T>, outbox: Arc<Outbox<T>>) -> Result<(), LinkError>
where
    T: Serialize + Send + 'static,
{
    spawn("link sender", move || {
        while let Some(message) = outbox.pop() {
            if let Err(error) = tx.send(message) {
                tracing::debug!("the control link takes no more: {error}");
                break;
            }
        }
        outbox.close();
    })
}

/// Waits for the next message.
pub(super) fn receive<T>(rx: &IpcReceiver<T>) -> Incoming<T>
where
    T: for<'de> Deserialize<'de> + Serialize,
{
    loop {
        // `ipc-channel` panics at some of what only a broken peer sends: an index of a channel that did not come along.
        match catch_unwind(AssertUnwindSafe(|| rx.recv())) {
            Ok(Ok(message)) => return Incoming::Message(message),
            Ok(Err(IpcError::SerializationError(_))) => return Incoming::NotUnderstood,
            Ok(Err(IpcError::Io(error))) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(IpcError::Io(_) | IpcError::Disconnected)) | Err(_) => return Incoming::Ended,
        }
    }
}
