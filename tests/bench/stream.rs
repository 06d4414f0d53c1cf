//! A stream of ~200 B from one process to another: through a bare lane, and through a System V queue.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use multimodule::message::Stamp;
use multimodule::name::{LaneName, QueueName};
use multimodule::transit::{AppendError, Bell, Consumer, Outgoing, Reader, Sender, Taken, Transit};

use crate::other_end::{Fallible, decode, encode, go, ready, say_ready_and_wait, start};

/// Messages of one streaming run: about 0.3 s of ours, and of SysV's.
const STREAMED: u64 = 400_000;
const STREAMED_SYSV: u64 = 60_000;

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a constant name")
}

pub(crate) fn sender(transit: &Transit, name: &str) -> Fallible<Sender> {
    let lane: LaneName = "process:bench".parse()?;
    Ok(transit.sender(&queue(name), &lane)?)
}

fn consumer(transit: &Transit, name: &str, bell: &Arc<Bell>) -> Fallible<Consumer> {
    let reader = Reader { bell: bell.clone(), waker: None, description: "bench".to_owned() };
    Ok(transit.consumer(&queue(name), None, &reader)?)
}

/// Millions of messages per second through a lane.
pub(crate) fn stream_transit() -> Fallible<f64> {
    let root = tempfile::tempdir()?;
    let transit = Transit::open(root.path())?;
    let bell = Bell::open(&transit)?;
    let mut consumer = consumer(&transit, "stream", &bell)?;
    let mut child = start(&["send", &root.path().to_string_lossy()])?;
    ready(&mut child)?;
    let (begin, mut next, mut batch) = (Instant::now(), 0, Vec::<Taken>::new());
    go(&mut child)?;
    while next < STREAMED {
        if consumer.take(&mut batch)? == 0 {
            consumer.wait(Duration::from_secs(1))?;
            continue;
        }
        for taken in &batch {
            assert_eq!(decode(&taken.body), next, "messages arrive in order");
            next += 1;
        }
        let last = batch.last().expect("something was taken");
        consumer.finish(last.lane, last.end, last.count);
        batch.clear();
    }
    let rate = STREAMED as f64 / begin.elapsed().as_secs_f64() / 1e6;
    child.wait()?;
    Ok(rate)
}

pub(crate) fn send_transit(root: &Path) -> Fallible<()> {
    let sender = sender(&Transit::open(root)?, "stream")?;
    say_ready_and_wait()?;
    let mut body = Vec::new();
    for n in 0..STREAMED {
        encode(n, &mut body);
        while let Err(error) = sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: &body }) {
            let AppendError::Full { .. } = error else { return Err(error.into()) };
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    Ok(())
}

#[repr(C)]
struct SysvMessage {
    kind: libc::c_long,
    body: [u8; 224],
}

/// The same through a System V queue.
#[expect(unsafe_code, reason = "System V queues have no safe interface")]
pub(crate) fn stream_sysv() -> Fallible<f64> {
    // SAFETY: makes a queue; touches no memory of ours.
    let id = unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) };
    let mut child = start(&["send-sysv", &id.to_string()])?;
    ready(&mut child)?;
    let begin = Instant::now();
    go(&mut child)?;
    let mut message = SysvMessage { kind: 0, body: [0; 224] };
    for n in 0..STREAMED_SYSV {
        // SAFETY: the buffer is as long as the kernel is told.
        let got = unsafe { libc::msgrcv(id, (&raw mut message).cast(), 224, 0, 0) };
        assert_eq!(got, 224, "a message has a stamp and a body");
        assert_eq!(decode(&message.body[24..]), n, "messages arrive in order");
    }
    let rate = STREAMED_SYSV as f64 / begin.elapsed().as_secs_f64() / 1e6;
    child.wait()?;
    // SAFETY: removes the queue made above.
    unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    Ok(rate)
}

#[expect(unsafe_code, reason = "System V queues have no safe interface")]
pub(crate) fn send_sysv(id: i32) -> Fallible<()> {
    say_ready_and_wait()?;
    let (mut message, mut body) = (SysvMessage { kind: 1, body: [0; 224] }, Vec::new());
    for n in 0..STREAMED_SYSV {
        encode(n, &mut body);
        message.body[..24].copy_from_slice(&Stamp::now().to_bytes());
        message.body[24..].copy_from_slice(&body);
        // SAFETY: the buffer is as long as the kernel is told.
        let sent = unsafe { libc::msgsnd(id, (&raw const message).cast(), 224, 0) };
        assert_eq!(sent, 0, "msgsnd");
    }
    Ok(())
}
