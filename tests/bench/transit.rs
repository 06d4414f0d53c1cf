//! The transit against the kernel's own ways: System V queues for the stream, a pair of pipes for the round trip.
//!
//! Two processes each: this program starts itself again as the other end. All rows together take
//! under a minute. An argument picks the rows whose name contains it.

#[path = "other_end.rs"]
mod other_end;
#[path = "pairs.rs"]
mod pairs;
#[path = "pipes.rs"]
mod pipes;
#[path = "stream.rs"]
mod stream;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use multimodule::message::Stamp;
use multimodule::transit::{AsyncBell, Bell, Consumer, Outgoing, Reader, Sender, Taken, Transit};
use other_end::{Fallible, decode, encode, go, ready, say_ready_and_wait, start};
use pairs::{Better, Row};
use pipes::{ROUND_TRIPS, echo_pipe, pipes};
use stream::{queue, send_sysv, send_transit, sender, stream_sysv, stream_transit};

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
