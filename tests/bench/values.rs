//! The candidates for values and their encoding, on the six fields of a usual message: what each step costs.
//!
//! Prints a table in nanoseconds of the thread's CPU time, the median of nine rounds in which the candidates take
//! turns; docs/ARCHITECTURE.md has it as the grounds of its decision on values.

#[path = "pairs.rs"]
#[expect(dead_code, reason = "only the quartiles are of use here")]
mod pairs;

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use multimodule::codec;
use multimodule::message::Message;
use multimodule::value::Map;
use multimodule::{fields, sdk::View};
use nix::time::{ClockId, clock_gettime};
use serde_json::json;
use smol_str::SmolStr;

const ROUNDS: usize = 9;
const TIMES: u32 = 20_000;
const PLACES: [&str; 4] = ["north shelf", "south shelf", "gate", "the yard behind"];

/// What is measured, in the order of the columns.
const STEPS: [&str; 7] = ["build", "share", "copy", "look-up", "drop", "encode", "decode"];

/// One way to hold a message.
struct Candidate {
    name: &'static str,
    steps: [Option<Box<dyn Fn() -> f64>>; STEPS.len()],
    /// One field of the encoded form.
    field: Option<Box<dyn Fn() -> f64>>,
    bytes: Option<usize>,
}

fn main() {
    let candidates = [ours(), json(), packed(), hashed(), sorted_strings(), sorted_smol()];
    let mut seen: Vec<Vec<Vec<f64>>> = candidates.iter().map(|_| vec![Vec::new(); STEPS.len() + 1]).collect();
    for _ in 0..ROUNDS {
        for (candidate, seen) in candidates.iter().zip(&mut seen) {
            let steps = candidate.steps.iter().chain([&candidate.field]);
            for (step, seen) in steps.zip(seen) {
                seen.extend(step.as_ref().map(|step| step()));
            }
        }
    }
    println!("| ns | {} | one field of the encoded | bytes |", STEPS.join(" | "));
    println!("|-{}|-|-|", "|-".repeat(STEPS.len()));
    for (candidate, seen) in candidates.iter().zip(seen) {
        let cell = |values: Vec<f64>| match values.len() {
            0 => String::new(),
            _ => format!("{:.0}", pairs::quartiles(values.into_iter()).1),
        };
        let cells: Vec<_> = seen.into_iter().map(cell).collect();
        let bytes = candidate.bytes.map_or(String::new(), |bytes| bytes.to_string());
        println!("| {} | {} | {bytes} |", candidate.name, cells.join(" | "));
    }
}

/// Nanoseconds for one of `TIMES` calls.
fn each<T>(work: impl Fn() -> T + 'static) -> Option<Box<dyn Fn() -> f64>> {
    Some(Box::new(move || {
        let begin = now();
        // What is made is kept until the clock has stopped: dropping is a step of its own.
        let made: Vec<T> = (0..TIMES).map(|_| black_box(work())).collect();
        let spent = now() - begin;
        drop(made);
        spent.as_nanos() as f64 / f64::from(TIMES)
    }))
}

/// Nanoseconds for dropping one of `TIMES` values.
fn dropping<T>(make: impl Fn() -> T + 'static) -> Option<Box<dyn Fn() -> f64>> {
    Some(Box::new(move || {
        let made: Vec<T> = (0..TIMES).map(|_| make()).collect();
        let begin = now();
        drop(black_box(made));
        (now() - begin).as_nanos() as f64 / f64::from(TIMES)
    }))
}

fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}

/// A number that changes, and that the compiler does not know.
fn n() -> u64 {
    black_box(1_234_567)
}

fn at(n: u64) -> usize {
    (n % 4) as usize
}

fn map(n: u64) -> Map {
    fields! {
        ct: n, detail: fields! { side: PLACES[3 - at(n)], step: n % 7 }, load: n as f64 * 0.25, outstr: "howdy",
        place: PLACES[at(n)], total: 1_000_000 + n,
    }
}

fn ours() -> Candidate {
    let (message, fields) = (Message::new(map(n())), map(n()));
    let body = message.encoded().expect("it is flat").clone();
    let (found, shared, written) = (fields.clone(), message.clone(), fields.clone());
    let (read, bytes, stamp) = (body.clone(), body.len(), message.stamp());
    Candidate {
        name: "ours: sorted Vec, compact_str, MessagePack",
        steps: [
            each(|| map(n())),
            each(move || shared.clone()),
            each(move || fields.clone()),
            each(move || found.get(black_box("place")).is_some()),
            dropping(|| map(n())),
            each(move || {
                let mut bytes = Vec::with_capacity(256);
                codec::write_map(&written, &mut bytes).expect("it is flat");
                bytes
            }),
            each(move || Message::from_encoded(stamp, body.clone()).expect("it was encoded").into_fields()),
        ],
        // The check that every body from outside gets is part of it.
        field: each(move || {
            let came = Message::from_encoded(stamp, read.clone()).expect("it was encoded");
            came.get(black_box("place")).and_then(View::as_text).map(str::len)
        }),
        bytes: Some(bytes),
    }
}

fn json_value(n: u64) -> serde_json::Value {
    json!({
        "ct": n, "detail": { "side": PLACES[3 - at(n)], "step": n % 7 }, "load": n as f64 * 0.25, "outstr": "howdy",
        "place": PLACES[at(n)], "total": 1_000_000 + n,
    })
}

fn json() -> Candidate {
    let value = json_value(n());
    let text = serde_json::to_string(&value).expect("it is JSON");
    let (copied, found, written, bytes) = (value.clone(), value.clone(), value.clone(), text.len());
    let read = text.clone();
    let shared = std::sync::Arc::new(value);
    Candidate {
        name: "serde_json::Value and its text",
        steps: [
            each(|| json_value(n())),
            each(move || shared.clone()),
            each(move || copied.clone()),
            each(move || found.get(black_box("place")).is_some()),
            dropping(|| json_value(n())),
            each(move || serde_json::to_string(&written).expect("it is JSON")),
            each(move || serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON")),
        ],
        field: each(move || {
            let came: serde_json::Value = serde_json::from_str(&read).expect("it is JSON");
            came[black_box("place")].as_str().map(str::len)
        }),
        bytes: Some(bytes),
    }
}

fn packed() -> Candidate {
    let value = json_value(n());
    let body = rmp_serde::to_vec(&value).expect("it is MessagePack too");
    let (read, bytes) = (body.clone(), body.len());
    let decode = |body: &[u8]| rmp_serde::from_slice::<serde_json::Value>(body).expect("it was encoded");
    Candidate {
        name: "serde_json::Value, by rmp-serde",
        steps: [
            None,
            None,
            None,
            None,
            None,
            each(move || rmp_serde::to_vec(&value).expect("it is MessagePack too")),
            each(move || decode(&body)),
        ],
        field: each(move || decode(&read)[black_box("place")].as_str().map(str::len)),
        bytes: Some(bytes),
    }
}

/// A value as the simple maps below hold it.
#[derive(Clone)]
enum Plain<M, T> {
    Int(#[expect(dead_code, reason = "it is only made, copied and dropped")] i64),
    Float(#[expect(dead_code, reason = "it is only made, copied and dropped")] f64),
    Text(T),
    Map(M),
}

type Entries<T, V> = Vec<(T, V)>;

/// The fields of message `n`, put together by `collect`.
fn plain<M, T: for<'a> From<&'a str>>(n: u64, collect: impl Fn(Entries<T, Plain<M, T>>) -> M) -> M {
    let int = |value: u64| Plain::Int(value.cast_signed());
    let text = |text: &str| Plain::Text(T::from(text));
    let detail = collect(vec![("side".into(), text(PLACES[3 - at(n)])), ("step".into(), int(n % 7))]);
    collect(vec![
        ("ct".into(), int(n)),
        ("detail".into(), Plain::Map(detail)),
        ("load".into(), Plain::Float(n as f64 * 0.25)),
        ("outstr".into(), text("howdy")),
        ("place".into(), text(PLACES[at(n)])),
        ("total".into(), int(1_000_000 + n)),
    ])
}

fn candidate<M: Clone + 'static>(name: &'static str, make: fn(u64) -> M, find: fn(&M, &str) -> bool) -> Candidate {
    let (copied, found, shared) = (make(n()), make(n()), std::sync::Arc::new(make(n())));
    Candidate {
        name,
        steps: [
            each(move || make(n())),
            each(move || shared.clone()),
            each(move || copied.clone()),
            each(move || find(&found, black_box("place"))),
            dropping(move || make(n())),
            None,
            None,
        ],
        field: None,
        bytes: None,
    }
}

#[derive(Clone)]
struct Hashed(HashMap<String, Plain<Hashed, String>>);

fn hashed() -> Candidate {
    let make = |n| plain(n, |entries| Hashed(entries.into_iter().collect()));
    candidate("std HashMap of String", make, |map, key| map.0.contains_key(key))
}

#[derive(Clone)]
struct Sorted<T>(Entries<T, Plain<Sorted<T>, T>>);

fn sorted_strings() -> Candidate {
    let find = |map: &Sorted<String>, key: &str| map.0.iter().any(|(have, _)| have == key);
    candidate("sorted Vec of String", |n| plain(n, Sorted), find)
}

fn sorted_smol() -> Candidate {
    let find = |map: &Sorted<SmolStr>, key: &str| map.0.iter().any(|(have, _)| have == key);
    candidate("sorted Vec of smol_str", |n| plain(n, Sorted), find)
}
