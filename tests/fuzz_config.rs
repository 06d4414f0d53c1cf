//! Any bytes as a config or a message: each is read or refused with a reason, none is a panic or takes long.
//!
//! `MULTIMODULE_FUZZ_SECONDS` says how long to go on; 2 s if it is not set.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use multimodule::config::{Config, Document, Overlay, Plan, parse_message};
use multimodule::fields;
use multimodule::limits::{Judge, Metric, Subject, Thresholds};
use multimodule::value::{Map, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const VALID: [&str; 6] = [
    include_str!("../conf/test.conf"),
    MONITORED,
    LIMITED,
    r#"{"A": {"outstr": "h\u00f6wdy", "intervals": {"t": 0.5}, "x": [1, -2.5e3, null, true]}, "Router": {"routes": []}}"#,
    "#![enable(implicit_some)]\n(A: (queue: (overflow: block, max_bytes: \"1MiB\")), B: (), /* c */ C: Foo(r#\"a\"#))",
    "$VAR1 = { 'A' => { delivery => 'exactly_once', q => \"\\x{263a}\\n\", n => [0x1F, 1_000, undef,] }, };",
];

const MONITORED: &str = "(MultiModule: (thresholds: {\"local.cpu.one_core\": (levels: [(name: \"warn\", threshold: 0.5), \
    (name: \"failsafe\", threshold: 0.9)], can_failsafe: true, for: \"30s\", fast: true), \
    \"local.queue.bytes_of_max\": (levels: [])}, windows: {\"one_minute\": \"3s\", \"five_minutes\": 6}))";

const LIMITED: &str = "{ T => { is_external => 1, limits => { memory => '512MiB', cpu_time => '1h', files => 256, \
    processes => 64, file_size => '1GiB', nice => -5, user => 'nobody', group => 65534, no_new_privs => 1 } } }";

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
        Ok(config) => {
            assert!(Plan::between(&config, &config).is_empty());
            judge(&config);
        }
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
    assert_eq!(Config::read(&overlay.effective()).is_ok(), document.config().is_ok());
}

/// Whatever a config says of thresholds and passes, they can be judged by on any machine.
fn judge(config: &Config) {
    for cpus in [1, 2, 64] {
        let thresholds = Thresholds::new(NonZeroUsize::new(cpus).expect("processors"), &config.monitoring);
        let mut judge = Judge::new("T", Subject::External);
        for metric in Metric::ALL {
            let rule = thresholds.rule(metric);
            assert!(rule.levels().is_sorted_by(|a, b| a.threshold < b.threshold), "{rule:?}");
            assert!(!rule.can_failsafe() || rule.failsafe_threshold().is_some(), "{rule:?}");
            for second in 0..4 {
                judge.next(second * 1000, metric, 1e9, &thresholds);
            }
        }
    }
}

/// A value for a setting: what it may be, and what nobody writes.
fn setting() -> impl Strategy<Value = Value> {
    let number = prop_oneof![any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from)];
    let words = ["", "ok", "failsafe", "warn", "30s", "512MiB", "1e9", "-5", "nobody", "a:b", "\u{0}", "true"];
    let word = select(words.to_vec()).prop_map(Value::from);
    let plain = prop_oneof![number, word, any::<bool>().prop_map(Value::from), Just(Value::Null)];
    let level = (plain.clone(), plain.clone())
        .prop_map(|(name, threshold)| Value::from(fields! { name: name, threshold: threshold }));
    prop_oneof![4 => plain, 1 => vec(level, 0..20).prop_map(Value::from), 1 => Just(Value::from(Map::new()))]
}

const METRIC_KEYS: [&str; 5] = ["levels", "can_failsafe", "for", "fast", "level"];
const WINDOWS: [&str; 2] = ["one_minute", "five_minutes"];
const LIMITS: [&str; 9] =
    ["memory", "cpu_time", "files", "processes", "file_size", "nice", "user", "group", "no_new_privs"];

/// Some of `keys` with any values.
fn section(keys: &[&'static str]) -> impl Strategy<Value = Map> {
    let said = vec((select(keys.to_vec()), setting()), 1..4).prop_map(|said| said.into_iter().collect::<Map>());
    prop_oneof![2 => Just(Map::new()), 1 => said]
}

/// The settings of monitoring and of limits with any values, many of them left out.
fn settings() -> impl Strategy<Value = Map> {
    let metric = select(Metric::ALL.to_vec()).prop_map(Metric::name);
    let sections =
        (section(&METRIC_KEYS), section(&WINDOWS), section(&LIMITS), section(&["x", "thresholds", "windows"]));
    (metric, sections).prop_map(|(metric, (said, windows, limits, other))| {
        let thresholds: Map = [(metric, Value::from(said))].into_iter().collect();
        let mut monitored = fields! { thresholds: thresholds, windows: windows };
        other.into_iter().for_each(|(key, value)| drop(monitored.insert(key, value)));
        fields! { MultiModule: monitored, T: fields! { limits: limits, is_external: true } }
    })
}

#[test]
fn any_settings_of_monitoring_and_limits_are_read_or_refused() {
    let mut runner = TestRunner::default();
    let end = Instant::now() + duration();
    let (mut count, mut read) = (0_u64, 0_u64);
    while Instant::now() < end {
        let root = settings().new_tree(&mut runner).expect("every strategy makes an input").current();
        match Config::read(&root) {
            Ok(config) => {
                judge(&config);
                read += 1;
            }
            Err(faults) => assert!(faults.iter().all(|fault| !fault.reason.is_empty()), "{root:?}"),
        }
        count += 1;
    }
    println!("{count} settings, {read} of them read");
    assert!(read > 0, "none of {count} settings was right");
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
fn what_is_mutated_is_right_to_begin_with() {
    for text in VALID {
        let document = Document::parse("a.conf", text).unwrap_or_else(|faults| panic!("{faults}"));
        document.config().unwrap_or_else(|faults| panic!("{faults}"));
    }
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
