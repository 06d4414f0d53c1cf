//! Any bytes on the control socket are answered by HTTP or by a closed connection, and what comes next is served.
//!
//! `MULTIMODULE_FUZZ_SECONDS` says how long (2 without it); the seed of a failure is printed.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use multimodule::channel::{Handling, LogFormat, install};
use multimodule::control::service;
use multimodule::daemon::{Answer, Call, Calls, Done, Refusal, RefusalKind, Request, Whereabouts};
use tokio::sync::mpsc;

/// xorshift: the seed tells all.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "\u{0}"];
const PATHS: [&str; 14] = [
    "/v1/status",
    "/v1/tasks/A",
    "/v1/tasks/%2e%2e%2fA/log",
    "/v1/tasks/A/migrate?to=internal",
    "/v1/tasks/A/state",
    "/v1/failsafe/A",
    "/v1/events?after=18446744073709551616",
    "/v1/log?lines=99999999999&follow=false",
    "/v1/openapi.json",
    "/v1/reload?dry_run=true",
    "/v1/tasks//start",
    "//",
    "*",
    "http://[::1/v1/status",
];
const FIELDS: [&str; 9] = [
    "host: x",
    "content-length: 5",
    "content-length: -1",
    "content-length: 99999999999999999999",
    "transfer-encoding: chunked",
    "transfer-encoding: gzip",
    "expect: 100-continue",
    "connection: upgrade\r\nupgrade: h2c",
    "a",
];
const BODIES: [&str; 6] =
    ["", "hello", "5\r\nhello\r\n0\r\n\r\n", "ffffffffffffffff\r\n", "-1\r\nx\r\n", "0\r\n\r\nGET / HTTP/1.1\r\n\r\n"];

fn request(dice: &mut Dice) -> Vec<u8> {
    let version = dice.one_of(&["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", ""]);
    let mut text = format!("{} {} {version}\r\n", dice.one_of(&METHODS), dice.one_of(&PATHS));
    for _ in 0..dice.below(5) {
        text += &format!("{}\r\n", dice.one_of(&FIELDS));
    }
    text += "\r\n";
    text += dice.one_of(&BODIES);
    let mut bytes = text.into_bytes();
    for _ in 0..dice.below(6) {
        let at = dice.below(bytes.len());
        match dice.below(4) {
            0 => bytes[at] = dice.byte(),
            1 => drop(bytes.drain(at..)),
            2 => bytes.insert(at, dice.byte()),
            _ => bytes.extend_from_within(at..),
        }
        if bytes.is_empty() {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Says all that is sent, then nothing more; what is answered.
fn exchange(state_dir: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(state_dir.join("control.sock")).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out of a socket");
    // Who answers early may close before it has read them all.
    let _sent = stream.write_all(bytes);
    let _closed = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer);
    answer
}

/// A daemon that has one task, A, and does nothing.
async fn answer(mut calls: Calls) {
    while let Some(Call { request, answer, .. }) = calls.recv().await {
        let reply = match request {
            Request::Stop(task) | Request::Start(task) if task.as_str() != "A" => {
                Err(Refusal::new(RefusalKind::NotFound, "there is no such task"))
            }
            Request::LogSource(_) => Ok(Answer::LogSource(multimodule::daemon::LogSource::Daemon)),
            _ => Ok(Answer::Done(Done { text: "done".to_owned() })),
        };
        drop(answer.send(reply));
    }
}

fn check(state_dir: &Path, bytes: &[u8]) {
    let answer = exchange(state_dir, bytes);
    let begins = answer.is_empty() || answer.starts_with(b"HTTP/1.");
    assert!(begins, "{:?} to {:?}", String::from_utf8_lossy(&answer), String::from_utf8_lossy(bytes));
    let next = exchange(state_dir, b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(next.starts_with(b"HTTP/1.1 200 "), "after {:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn any_bytes_are_answered_by_http_or_a_closed_connection_and_the_next_request_is_served() {
    let seconds = std::env::var("MULTIMODULE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let channels = install(Handling::default(), 0, LogFormat::Text).unwrap();
    let seed = getrandom::u64().unwrap() | 1;
    let (mut dice, root) = (Dice(seed), tempfile::tempdir().unwrap());
    let state_dir = root.path().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let (calls, rx) = mpsc::channel(4);
    let whereabouts = Whereabouts { state_dir: state_dir.clone(), transit_dir: state_dir.clone() };
    let _service = service(channels.recent())(whereabouts, calls).unwrap();
    runtime.spawn(answer(rx));
    let (begin, mut tries) = (Instant::now(), 0_u64);
    while begin.elapsed() < Duration::from_secs(seconds) {
        let bytes = request(&mut dice);
        let outcome = std::panic::catch_unwind(|| check(&state_dir, &bytes));
        assert!(outcome.is_ok(), "failed at try {tries} of seed {seed}");
        tries += 1;
    }
    println!("{tries} requests, seed {seed}");
}
