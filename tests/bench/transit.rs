//! The transit against the kernel's own ways: System V queues for the stream, a pair of pipes for the round trip.
//!
//! Two processes each: this program starts itself again as the other end. All rows together take
//! under a minute. An argument picks the rows whose name contains it.

#[path = "pairs.rs"]
mod pairs;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use multimodule::message::Stamp;
use multimodule::name::{LaneName, QueueName};
use multimodule::transit::{AppendError, AsyncBell, Bell, Consumer, Outgoing, Reader, Sender, Taken, Transit};
use pairs::{Better, Row};

/// Messages of one streaming run: about 0.3 s of ours, and of SysV's.
const STREAMED: u64 = 400_000;
const STREAMED_SYSV: u64 = 60_000;
const ROUND_TRIPS: u64 = 10_000;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--end") {
        let end: Vec<&str> = arguments[at + 1..].iter().map(String::as_str).collect();
        return other_end(&end);
    }
    let wanted = |row: &str| arguments.iter().skip(1).all(|only| only.starts_with("--") || row.contains(only.as_str()));
    if arguments.iter().any(|argument| argument == "--profile") {
        // Ours alone, for `perf record`.
        for _ in 0..10 {
            if wanted("stream") {
                println!("{:.2} M/s", stream_transit()?);
            }
            if wanted("round trip") {
                println!("{:.2} µs", round_trips("echo")?);
            }
        }
        return Ok(());
    }
    let mut rows = Vec::new();
    if wanted("stream") {
        let (ours, peer) = (|| stream_transit().expect("transit"), || stream_sysv().expect("sysv"));
        rows.push(Row::run("stream of ~200 B, against SysV", "M/s", Better::Higher, Some(5.0), ours, peer));
    }
    if wanted("round trip") {
        let (ours, peer) = (|| round_trips("echo").expect("transit"), || pipes().expect("pipes"));
        rows.push(Row::run("round trip, against pipes", "µs", Better::Lower, Some(1.3), ours, peer));
    }
    if wanted("tokio") {
        let (ours, peer) = (|| round_trips_tokio().expect("transit"), || pipes().expect("pipes"));
        rows.push(Row::run(
            "round trip in tokio, against pipes in threads",
            "µs",
            Better::Lower,
            Some(1.5),
            ours,
            peer,
        ));
    }
    pairs::print(&rows);
    Ok(())
}

fn other_end(end: &[&str]) -> Fallible<()> {
    match end {
        ["send", root] => send_transit(Path::new(root)),
        ["send-sysv", id] => send_sysv(id.parse()?),
        ["echo", root] => echo(Path::new(root)),
        ["echo-tokio", root] => echo_tokio(Path::new(root)),
        ["pipe"] => echo_pipe(),
        _ => Err("what other end?".into()),
    }
}

fn start(end: &[&str]) -> Fallible<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--end").args(end).stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command.spawn()?)
}

/// The body of message `n`, made afresh: its codec's place is here.
fn encode(n: u64, body: &mut Vec<u8>) {
    body.clear();
    body.extend_from_slice(&n.to_le_bytes());
    write!(body, "{{\"source\":\"sensor {:03}\",\"value\":{},\"unit\":\"mm\",\"ok\":true,", n % 1000, n * 37)
        .expect("a Vec takes every byte");
    body.resize(200, b'x');
}

/// What the consumer reads of it.
fn decode(body: &[u8]) -> u64 {
    u64::from_le_bytes(body[..8].try_into().expect("a body has 200 bytes"))
}

// Streaming.

fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a constant name")
}

fn sender(transit: &Transit, name: &str) -> Fallible<Sender> {
    let lane: LaneName = "process:bench".parse()?;
    Ok(transit.sender(&queue(name), &lane)?)
}

fn consumer(transit: &Transit, name: &str, bell: &Arc<Bell>) -> Fallible<Consumer> {
    let reader = Reader { bell: bell.clone(), waker: None, description: "bench".to_owned() };
    Ok(transit.consumer(&queue(name), None, &reader)?)
}

fn stream_transit() -> Fallible<f64> {
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

fn send_transit(root: &Path) -> Fallible<()> {
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

#[expect(unsafe_code, reason = "System V queues have no safe interface")]
fn stream_sysv() -> Fallible<f64> {
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
fn send_sysv(id: i32) -> Fallible<()> {
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

// Round trips.

struct Ends {
    sender: Sender,
    consumer: Consumer,
    bell: Arc<Bell>,
}

impl Ends {
    fn open(root: &Path, from: &str, to: &str, waker: Option<Arc<dyn Fn() + Send + Sync>>) -> Fallible<Self> {
        let transit = Transit::open(root)?;
        let bell = Bell::open(&transit)?;
        let reader = Reader { bell: bell.clone(), waker, description: "bench".to_owned() };
        let consumer = transit.consumer(&queue(from), None, &reader)?;
        Ok(Self { sender: sender(&transit, to)?, consumer, bell })
    }
}

fn round_trips(end: &str) -> Fallible<f64> {
    let root = tempfile::tempdir()?;
    let mut ends = Ends::open(root.path(), "back", "there", None)?;
    let mut child = start(&[end, &root.path().to_string_lossy()])?;
    ready(&mut child)?;
    go(&mut child)?;
    let (begin, mut body) = (Instant::now(), Vec::new());
    for n in 0..ROUND_TRIPS {
        encode(n, &mut body);
        ends.sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: &body })?;
        assert_eq!(decode(&take_one(&mut ends.consumer)?.body), n, "the answer fits the question");
    }
    let time = begin.elapsed().as_secs_f64() * 1e6 / ROUND_TRIPS as f64;
    child.wait()?;
    assert_eq!(ends.bell.late_wakeups(), 0, "no ring is lost");
    Ok(time)
}

fn take_one(consumer: &mut Consumer) -> Fallible<Taken> {
    let mut batch = Vec::with_capacity(1);
    while consumer.take(&mut batch)? == 0 {
        consumer.wait(Duration::from_secs(1))?;
    }
    let taken = batch.pop().expect("something was taken");
    consumer.finish(taken.lane, taken.end, taken.count);
    Ok(taken)
}

fn echo(root: &Path) -> Fallible<()> {
    let Ends { sender, mut consumer, .. } = Ends::open(root, "there", "back", None)?;
    say_ready_and_wait()?;
    for _ in 0..ROUND_TRIPS {
        let taken = take_one(&mut consumer)?;
        sender.append(&Outgoing { stamp: taken.stamp, tag: None, body: &taken.body })?;
    }
    Ok(())
}

fn echo_tokio(root: &Path) -> Fallible<()> {
    let ends = Ends::open(root, "there", "back", Some(Arc::new(|| {})))?;
    say_ready_and_wait()?;
    runtime()?.block_on(async {
        let mut ends = AsyncEnds::new(ends)?;
        for _ in 0..ROUND_TRIPS {
            let taken = ends.take_one().await?;
            ends.sender.append(&Outgoing { stamp: taken.stamp, tag: None, body: &taken.body })?;
        }
        Ok(())
    })
}

fn runtime() -> Fallible<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

struct AsyncEnds {
    sender: Sender,
    consumer: Consumer,
    bell: AsyncBell,
}

impl AsyncEnds {
    fn new(ends: Ends) -> Fallible<Self> {
        Ok(Self { sender: ends.sender, consumer: ends.consumer, bell: AsyncBell::new(ends.bell)? })
    }

    async fn take_one(&mut self) -> Fallible<Taken> {
        let mut batch = Vec::with_capacity(1);
        while self.consumer.take(&mut batch)? == 0 {
            if self.consumer.prepare_sleep() {
                self.bell.rung().await?;
            }
        }
        let taken = batch.pop().expect("something was taken");
        self.consumer.finish(taken.lane, taken.end, taken.count);
        Ok(taken)
    }
}

fn round_trips_tokio() -> Fallible<f64> {
    let root = tempfile::tempdir()?;
    let ends = Ends::open(root.path(), "back", "there", Some(Arc::new(|| {})))?;
    let mut child = start(&["echo-tokio", &root.path().to_string_lossy()])?;
    ready(&mut child)?;
    go(&mut child)?;
    let time = runtime()?.block_on(async {
        let (mut ends, mut body) = (AsyncEnds::new(ends)?, Vec::new());
        let begin = Instant::now();
        for n in 0..ROUND_TRIPS {
            encode(n, &mut body);
            ends.sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: &body })?;
            assert_eq!(decode(&ends.take_one().await?.body), n, "the answer fits the question");
        }
        Fallible::Ok(begin.elapsed().as_secs_f64() * 1e6 / ROUND_TRIPS as f64)
    });
    child.wait()?;
    time
}

fn pipes() -> Fallible<f64> {
    let mut child = start(&["pipe"])?;
    ready(&mut child)?;
    go(&mut child)?;
    let (mut to, mut from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let (begin, mut body, mut answer) = (Instant::now(), Vec::new(), [0; 200]);
    for n in 0..ROUND_TRIPS {
        encode(n, &mut body);
        to.write_all(&body)?;
        from.read_exact(&mut answer)?;
        assert_eq!(decode(&answer), n, "the answer fits the question");
    }
    let time = begin.elapsed().as_secs_f64() * 1e6 / ROUND_TRIPS as f64;
    child.wait()?;
    Ok(time)
}

fn echo_pipe() -> Fallible<()> {
    say_ready_and_wait()?;
    let (mut from, mut to, mut body) = (std::io::stdin().lock(), std::io::stdout().lock(), [0; 200]);
    for _ in 0..ROUND_TRIPS {
        from.read_exact(&mut body)?;
        to.write_all(&body)?;
        to.flush()?;
    }
    Ok(())
}

// Both ends begin together: the other one says that it is ready, and is told to go.

fn ready(child: &mut Child) -> Fallible<()> {
    Ok(child.stdout.as_mut().expect("piped").read_exact(&mut [0])?)
}

fn go(child: &mut Child) -> Fallible<()> {
    let stdin = child.stdin.as_mut().expect("piped");
    stdin.write_all(b"g")?;
    Ok(stdin.flush()?)
}

fn say_ready_and_wait() -> Fallible<()> {
    std::io::stdout().write_all(b"r")?;
    std::io::stdout().flush()?;
    Ok(std::io::stdin().read_exact(&mut [0])?)
}
