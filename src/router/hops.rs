//! `static_forwards`: the way that a message brings along.
//!
//! ```text
//! static_forwards: [            each routing takes the first hop off
//!     [                         every entry of a hop gets a copy of its own
//!         {forward: {qname: "A"}, transform: {...}, log_history: true},
//!         {forward: {qname: "B"}},
//!     ],
//!     [{forward: {qname: "C"}}],
//! ]
//! ```
//!
//! A copy carries the hops that are left, and no `static_forwards` at all once none is. Its `transform` is one of
//! `transform`, without groups. With `log_history` the `forward` taken is added to
//! `.static_forwards_log.forward_history`. The config's routes are not asked; once the hops are used up they are.
//!
//! Invariant: a hop is taken whole, or the message is given back with the reason and nothing was delivered.

use std::fmt;

use super::faults::Faults;
use super::table::{RoutingTable, Target};
use super::transform::Transform;
use crate::config::{PathFault, ValuePath};
use crate::fields;
use crate::message::Message;
use crate::name::QueueName;
use crate::value::{Map, MapView, Value, View};

/// The field that holds the hops.
pub const STATIC_FORWARDS: &str = "static_forwards";
/// The field that gathers the hops taken, as `{forward_history: [...]}`.
pub const STATIC_FORWARDS_LOG: &str = ".static_forwards_log";
const FORWARD_HISTORY: &str = "forward_history";

/// A message whose `static_forwards` cannot be followed. It was delivered to nobody.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = faults[0].path, reason = Reasons(faults))]
pub struct BadStaticForwards {
    /// The message, as it was.
    pub message: Message,
    /// What is wrong, at paths below the message; at least one.
    pub faults: Vec<PathFault>,
}

struct Reasons<'f>(&'f [PathFault]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0[0].reason)?;
        if self.0.len() > 1 { write!(f, " (and {} more)", self.0.len() - 1) } else { Ok(()) }
    }
}

struct Entry {
    target: Target,
    /// As it stands in the message, for the history.
    forward: Value,
    transform: Transform,
    log_history: bool,
}

/// Whether the message brings a hop along. An empty list or `null` is none.
#[inline]
pub(super) fn has_hop(message: MapView<'_>) -> bool {
    match message.get(STATIC_FORWARDS) {
        None | Some(View::Null) => false,
        Some(View::List(hops)) => !hops.is_empty(),
        Some(_) => true,
    }
}

/// Takes the first hop off and delivers a copy to each of its entries; returns how many.
pub(super) fn take(
    message: Message,
    table: &RoutingTable,
    deliver: &mut impl FnMut(Target, Message),
) -> Result<usize, BadStaticForwards> {
    let mut faults = Faults::default();
    let entries = read_first(message.view(), table, &mut faults);
    let entries = match faults.verdict(entries) {
        Ok(entries) => entries,
        Err(faults) => return Err(BadStaticForwards { message, faults }),
    };
    let copies = entries.len();
    let stamp = message.stamp();
    let mut fields = message.into_fields();
    drop_first(&mut fields);
    for entry in entries {
        let mut copy = fields.clone();
        entry.transform.apply(&mut copy);
        if entry.log_history {
            log(&mut copy, entry.forward);
        }
        deliver(entry.target, Message::stamped(stamp, copy));
    }
    Ok(copies)
}

fn read_first(message: MapView<'_>, table: &RoutingTable, faults: &mut Faults) -> Vec<Entry> {
    let at = ValuePath::default().key(STATIC_FORWARDS);
    let first = match message.get(STATIC_FORWARDS) {
        Some(View::List(hops)) => hops.iter().next().map(View::to_value),
        other => {
            faults.wrong_kind(&at, "a list of hops", &other.map_or(Value::Null, View::to_value));
            None
        }
    };
    let at = at.index(0);
    match first {
        Some(Value::List(entries)) => {
            let read = |(n, entry)| read_entry(entry, &at.index(n), message, table, faults);
            entries.iter().enumerate().filter_map(read).collect()
        }
        Some(other) => {
            faults.wrong_kind(&at, "a list of forwards", &other);
            Vec::new()
        }
        None => Vec::new(),
    }
}

fn read_entry(
    entry: &Value,
    at: &ValuePath,
    message: MapView<'_>,
    table: &RoutingTable,
    faults: &mut Faults,
) -> Option<Entry> {
    let Value::Map(entry) = entry else {
        faults.wrong_kind(at, "a map with \"forward\"", entry);
        return None;
    };
    let forward = entry.get("forward").cloned().unwrap_or_default();
    let transform = match entry.get("transform") {
        None | Some(Value::Null) => Transform::default(),
        Some(settings) => Transform::compile_at(settings, &[], &at.key("transform"), faults),
    };
    let log_history = entry.get("log_history").is_some_and(|wish| wish.view().is_true());
    if log_history {
        check_log(message, faults);
    }
    let queue = read_forward(&forward, &at.key("forward"), faults)?;
    let target = table.queue(queue.as_str()).map_or(Target::Named(queue), Target::Known);
    Some(Entry { target, forward, transform, log_history })
}

fn read_forward(forward: &Value, at: &ValuePath, faults: &mut Faults) -> Option<QueueName> {
    let Value::Map(forward) = forward else {
        faults.wrong_kind(at, "a map with \"qname\"", forward);
        return None;
    };
    refuse_destination(forward, at, faults);
    read_queue_name(forward, at, faults)
}

/// The queue that `forward`, a map at `at`, names as its `qname`.
pub(super) fn read_queue_name(forward: &Map, at: &ValuePath, faults: &mut Faults) -> Option<QueueName> {
    let at_name = at.key("qname");
    match forward.get("qname") {
        None => faults.add(at, "names no queue: \"qname\" is missing"),
        Some(Value::Text(text)) => match QueueName::new(text) {
            Ok(name) => return Some(name),
            Err(error) => faults.add(&at_name, error.to_string()),
        },
        Some(other) => faults.wrong_kind(&at_name, "the name of a queue", other),
    }
    None
}

/// Reports a `destination`: this version has no way to another host.
pub(super) fn refuse_destination(forward: &Map, at: &ValuePath, faults: &mut Faults) {
    if forward.contains_key("destination") {
        faults.add(&at.key("destination"), "this version does not send to other hosts");
    }
}

/// Reports a log that cannot be added to.
fn check_log(message: MapView<'_>, faults: &mut Faults) {
    let at = ValuePath::default().key(STATIC_FORWARDS_LOG);
    let history = match message.get(STATIC_FORWARDS_LOG) {
        None | Some(View::Null) => return,
        Some(View::Map(log)) => log.get(FORWARD_HISTORY),
        Some(other) => return faults.wrong_kind(&at, "a map", &other.to_value()),
    };
    match history {
        None | Some(View::Null | View::List(_)) => {}
        Some(other) => faults.wrong_kind(&at.key(FORWARD_HISTORY), "a list", &other.to_value()),
    }
}

fn drop_first(fields: &mut Map) {
    if let Some(Value::List(hops)) = fields.get_mut(STATIC_FORWARDS) {
        hops.remove(0);
        if hops.is_empty() {
            fields.remove(STATIC_FORWARDS);
        }
    }
}

/// Adds the forward taken. What a transform has put in the log's place since it was checked gives way to the log.
fn log(fields: &mut Map, forward: Value) {
    if let Some(Value::Map(log)) = fields.get_mut(STATIC_FORWARDS_LOG) {
        match log.get_mut(FORWARD_HISTORY) {
            Some(Value::List(history)) => history.push(forward),
            _ => drop(log.insert(FORWARD_HISTORY, vec![forward])),
        }
    } else {
        fields.insert(STATIC_FORWARDS_LOG, fields! { forward_history: vec![forward] });
    }
}
