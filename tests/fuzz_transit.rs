//! Any bytes in a segment or an index: no panic, no endless loop, no read outside a mapping, and what is delivered
//! was sent.
//!
//! `MULTIMODULE_FUZZ_SECONDS` says how long to try (2 unless set). Each try starts from whole files, so the bytes
//! get past the first check; one in eight is random altogether.

#![expect(clippy::unwrap_used, reason = "a test: here a panic is the verdict")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use multimodule::message::Stamp;
use multimodule::name::{LaneName, QueueName};
use multimodule::transit::{Bell, Outgoing, Reader, Tag, Transit};

/// Numbers that follow from a seed (xorshift64*): a try can be repeated.
struct Dice(u64);

impl Dice {
    fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next_u32() as u8);
    }
}

/// More visits than the messages of a try could ever need: reaching it means a loop without an end.
const VISITS: usize = 2000;
const MESSAGES: u8 = 200;

fn queue() -> QueueName {
    QueueName::new("q").unwrap()
}

fn lane() -> LaneName {
    "task:a".parse().unwrap()
}

fn body(n: u8) -> Vec<u8> {
    vec![n; usize::from(n) * 3]
}

fn fill(root: &Path) {
    let transit = Transit::open(root).unwrap();
    let sender = transit.sender(&queue(), &lane()).unwrap();
    for n in 0..MESSAGES {
        let tag = (n % 2 == 0).then_some(Tag { epoch: 1, n: n.into(), index: 0 });
        sender.append(&Outgoing { stamp: Stamp::now(), tag, body: &body(n) }).unwrap();
    }
    let other: LaneName = "process:b".parse().unwrap();
    transit.sender(&queue(), &other).unwrap().append(&Outgoing { stamp: Stamp::now(), tag: None, body: b"" }).unwrap();
}

/// The files of the queue with their bytes, relative to the root.
fn snapshot(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for directory in ["q", "q/lane.1", "q/lane.2"] {
        for entry in std::fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                files.push((path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// Numbers that break arithmetic.
const EDGES: [u64; 8] = [0, 1, 8, 0xFFFF_FFFF, u64::MAX, u64::MAX - 7, 1 << 63, (u64::MAX / 2) & !7];

fn mutate(rng: &mut Dice, bytes: &mut Vec<u8>, is_index: bool) {
    // An index is mostly empty: its first slots and its header are what matters.
    let reach = if is_index { 10_240 } else { bytes.len() }.min(bytes.len());
    match rng.next_u32() % 8 {
        0 => rng.fill_bytes(bytes),
        1 => bytes.truncate(rng.next_u32() as usize % (bytes.len() + 1)),
        2 => bytes.extend_from_slice(&[0xAB; 24]),
        _ => {
            for _ in 0..=rng.next_u32() % 4 {
                let at = rng.next_u32() as usize % (reach - 8) / 4 * 4;
                let value = match rng.next_u32() % 3 {
                    0 => EDGES[rng.next_u32() as usize % EDGES.len()],
                    1 => rng.next_u64() % 70_000,
                    _ => rng.next_u64(),
                };
                let width = [4, 8, 1][rng.next_u32() as usize % 3];
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            }
        }
    }
}

/// Uses the queue in every way; errors are fine.
fn exercise(root: &Path) {
    let transit = Transit::open(root).unwrap();
    let bell = Bell::open(&transit).unwrap();
    let reader = Reader { bell, waker: None, description: "fuzz".to_owned() };
    drop(transit.status(&queue()));
    drop(transit.last_tag(&queue(), &lane()));
    let sender = transit.sender(&queue(), &lane());
    let Ok(mut consumer) = transit.consumer(&queue(), None, &reader) else { return };
    let mut batch = Vec::new();
    for visit in 0.. {
        assert!(visit < VISITS, "a queue of {MESSAGES} messages is read without an end");
        match consumer.take(&mut batch) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if visit == 1
            && let Ok(sender) = &sender
        {
            drop(sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: &body(250) }));
        }
    }
    for taken in &batch {
        let n = taken.body.first().copied().unwrap_or(0);
        assert_eq!(taken.body.as_ref(), body(n), "what is delivered was sent");
        consumer.finish(taken.lane, taken.end, taken.count);
    }
    for lane in consumer.lanes() {
        consumer.start_at(lane.id, lane.written.0 / 2, 1);
        consumer.start_at(lane.id, u64::MAX - 7, 1);
    }
    batch.clear();
    for _ in 0..VISITS {
        if !matches!(consumer.take(&mut batch), Ok(1..)) {
            break;
        }
    }
    drop((consumer.incidents(), consumer.check_replaced(), transit.tidy()));
}

#[test]
fn any_bytes_in_a_segment_or_an_index_neither_panic_nor_loop_nor_deliver_what_was_not_sent() {
    let seconds = std::env::var("MULTIMODULE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let seed = getrandom::u64().unwrap();
    let mut rng = Dice(seed | 1);
    let root = tempfile::tempdir().unwrap();
    fill(root.path());
    let whole = snapshot(root.path());
    let (begin, mut tries) = (Instant::now(), 0_u64);
    while begin.elapsed() < Duration::from_secs(seconds) {
        let scratch = tempfile::tempdir().unwrap();
        let chosen = rng.next_u32() as usize % whole.len();
        let mut written = String::new();
        for (at, (path, bytes)) in whole.iter().enumerate() {
            let mut bytes = bytes.clone();
            if at == chosen && !bytes.is_empty() {
                mutate(&mut rng, &mut bytes, path.ends_with("index"));
                written = format!("seed {seed}, try {tries}, {}", path.display());
            }
            let to = scratch.path().join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, bytes).unwrap();
        }
        let outcome = std::panic::catch_unwind(|| exercise(scratch.path()));
        assert!(outcome.is_ok(), "failed at {written}");
        tries += 1;
    }
    println!("{tries} damaged queues, seed {seed}");
}
