//! What routing one message costs: `--routes N --messages M [--face parsed|encoded]`.
//!
//! Each route matches on a `source` of its own; the messages come from ten of the sources, so exactly one route
//! matches each, whatever N is. The work is fixed, so that runs compare by instructions:
//! `valgrind --tool=callgrind --toggle-collect='*route_all*'` counts the routing alone.
//!
//! The times printed are CPU time of the thread, for the machine may be shared.
//! A message is cloned before it is routed, as the table keeps what it is given; the figure includes that.

use std::hint::black_box;
use std::time::Duration;

use multimodule::fields;
use multimodule::message::Message;
use multimodule::router::RoutingTable;
use multimodule::value::Value;
use nix::time::{ClockId, clock_gettime};

const SOURCES: usize = 10;
/// The median of this many rounds is printed.
const ROUNDS: usize = 9;

fn main() {
    let number = |name| argument(name).and_then(|text| text.parse::<usize>().ok());
    let routes = number("--routes").unwrap_or(100).max(SOURCES);
    let messages = number("--messages").unwrap_or(1_000_000);
    let wanted = argument("--face");
    let table = RoutingTable::compile(&config(routes)).expect("the config of this bench is sound");
    for (face, sent) in [("parsed", parsed(routes)), ("encoded", encoded(routes))] {
        if wanted.as_deref().is_some_and(|wanted| wanted != face) {
            continue;
        }
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| time(&table, &sent, messages / ROUNDS)).collect();
        rounds.sort_by(f64::total_cmp);
        let (low, median, high) = (rounds[ROUNDS / 4], rounds[ROUNDS / 2], rounds[ROUNDS * 3 / 4]);
        println!("{routes} routes, {face}: {median:.1} ns per message (quartiles {low:.1}, {high:.1})");
    }
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn config(routes: usize) -> Value {
    let route = |number| {
        let to = fields! { qname: format!("Sink{}", number % 7) };
        fields! { "match": fields! { source: format!("Source{number}") }, forwards: vec![to] }
    };
    Value::Map(fields! { routes: (0..routes).map(route).collect::<Vec<_>>() })
}

/// Messages of ten sources, spread over all the routes.
fn parsed(routes: usize) -> Vec<Message> {
    let message = |number: usize| {
        Message::new(fields! {
            source: format!("Source{}", number * (routes / SOURCES)), outstr: "howdy", ct: number, load: 0.25,
            total: 1_000_000 + number, inner: fields! { a: 1, b: "two" },
        })
    };
    (0..SOURCES).map(message).collect()
}

fn encoded(routes: usize) -> Vec<Message> {
    let encode = |message: Message| {
        let body = message.encoded().expect("the messages of this bench are flat").clone();
        Message::from_encoded(message.stamp(), body).expect("what was encoded reads back")
    };
    parsed(routes).into_iter().map(encode).collect()
}

fn time(table: &RoutingTable, sent: &[Message], messages: usize) -> f64 {
    let begun = cpu_time();
    let copies = route_all(table, sent, messages);
    let spent = cpu_time() - begun;
    assert_eq!(copies, messages, "one route matches each message");
    spent.as_secs_f64() * 1e9 / messages as f64
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}

#[inline(never)]
fn route_all(table: &RoutingTable, sent: &[Message], messages: usize) -> usize {
    let mut copies = 0;
    for message in sent.iter().cycle().take(messages) {
        let routed = table.route(message.clone(), |target, copy| {
            black_box((target, copy));
        });
        copies += routed.expect("no message of this bench has static forwards");
    }
    copies
}
