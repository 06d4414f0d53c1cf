//! Any bytes as a config or a message: each is read or refused with a reason, none is a panic or takes long.
//!
//! `MULTIMODULE_FUZZ_SECONDS` says how long to go on; 2 s if it is not set.

use std::time::{Duration, Instant};

use multimodule::config::{Config, Document, Overlay, Plan, parse_message};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const VALID: [&str; 4] = [
    include_str!("../conf/test.conf"),
    r#"{"A": {"outstr": "h\u00f6wdy", "intervals": {"t": 0.5}, "x": [1, -2.5e3, null, true]}, "Router": {"routes": []}}"#,
    "#![enable(implicit_some)]\n(A: (queue: (overflow: block, max_bytes: \"1MiB\")), B: (), /* c */ C: Foo(r#\"a\"#))",
    "$VAR1 = { 'A' => { delivery => 'exactly_once', q => \"\\x{263a}\\n\", n => [0x1F, 1_000, undef,] }, };",
];

const PIECES: [&str; 40] = [
    "{", "}", "[", "]", "(", ")", "<", ">", "=>", ":", ",", ";", "=", "'", "\"", "\\", "#", "#![", "//", "/*", "*/",
    "\n", "r#\"", "\"#", "b\"", "Some(", "None", "()", "null", "undef", "true", "1", "-0x", "1e999", "..=", "a", "'''",
    "\u{feff}", "ä", "\u{0}",
];

/// The longest that reading 64 KiB may take, in a debug build on a busy machine; a quadratic reader takes minutes.
const LIMIT: Duration = Duration::from_secs(10);

fn read(bytes: &[u8]) -> Duration {
    let started = Instant::now();
    for name in ["a.conf", "a.json", "a.ron"] {
        match Document::parse_bytes(name, bytes) {
            Ok(document) => check(&document),
            Err(faults) => assert!(faults.iter().len() > 0 && faults.to_string().starts_with(name)),
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(faults) = parse_message("a message", text)
    {
        assert!(faults.to_string().starts_with("a message"));
    }
    started.elapsed()
}

fn check(document: &Document) {
    let overlay = Overlay::new().by_file(document.root().clone());
    assert_eq!(&overlay.effective(), document.root());
    match document.config() {
        Ok(config) => assert!(Plan::between(&config, &config).is_empty()),
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
    assert_eq!(Config::read(&overlay.effective()).is_ok(), document.config().is_ok());
}

/// A valid config with a few pieces put in, and a few stretches cut out or doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0_usize..12, select(PIECES.to_vec()), 0..4_u8);
    (select(VALID.to_vec()), vec(edit, 1..5)).prop_map(|(valid, edits)| {
        let mut bytes = valid.as_bytes().to_vec();
        for (at, len, piece, kind) in edits {
            let from = at.index(bytes.len() + 1);
            let to = (from + len).min(bytes.len());
            let insert = match kind {
                0 => piece.as_bytes().to_vec(),
                1 => Vec::new(),
                2 => bytes[from..to].repeat(2),
                _ => [&bytes[from..to], piece.as_bytes()].concat(),
            };
            bytes.splice(from..to, insert);
        }
        bytes
    })
}

/// A few pieces, over and over.
fn repeated() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec(select(PIECES.to_vec()), 1..5);
    (pieces.clone(), pieces).prop_map(|(start, pieces)| {
        let unit = pieces.concat();
        format!("{}{}", start.concat(), unit.repeat(64 * 1024 / unit.len().max(1))).into_bytes()
    })
}

fn duration() -> Duration {
    let seconds = std::env::var("MULTIMODULE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

#[test]
fn any_bytes_are_read_or_refused() {
    let inputs = prop_oneof![
        40 => vec(any::<u8>(), 0..200),
        80 => vec(select(PIECES.to_vec()), 0..40).prop_map(|pieces| pieces.concat().into_bytes()),
        160 => mutated(),
        1 => repeated(),
    ];
    let mut runner = TestRunner::default();
    let end = Instant::now() + duration();
    let (mut count, mut slowest) = (0_u64, Duration::ZERO);
    while Instant::now() < end {
        let input = inputs.new_tree(&mut runner).expect("every strategy makes an input").current();
        let shown = String::from_utf8_lossy(&input[..input.len().min(2000)]).into_owned();
        let Ok(took) = std::panic::catch_unwind(|| read(&input)) else { panic!("input {count}: {shown:?}") };
        assert!(took < LIMIT, "{took:?} for {} bytes, input {count}: {shown:?}", input.len());
        slowest = slowest.max(took);
        count += 1;
    }
    println!("{count} inputs, the slowest took {slowest:?}");
}
