//! From the config's value to the table.
//!
//! ```text
//! routes: [                                     or {10: {...}, 20: {...}}, in the order of the numbers
//!     {
//!         match: {source: "Example1"},          required; {} matches every message
//!         transform: {seen: 1},
//!         forwards: [{qname: "Example2", outside: false}],
//!         ".router_control": {short_circuit: true},
//!     },
//! ]
//! ```
//!
//! `outside: true` says that another program reads the queue, so nobody wonders that no task has its name.
//! Switches are booleans, or `0` and `1`, for the original's form has no booleans.

use super::faults::Faults;
use super::hops;
use super::pattern::Match;
use super::table::{QueueIndex, Queues, Route, RoutingTable};
use super::transform::Transform;
use crate::config::{PathFault, ValuePath};
use crate::value::{Map, Text, Value};

const ROUTES: &str = "routes";
const MATCH: &str = "match";
const TRANSFORM: &str = "transform";
const FORWARDS: &str = "forwards";
const CONTROL: &str = ".router_control";
const SHORT_CIRCUIT: &str = "short_circuit";
const QNAME: &str = "qname";
const DESTINATION: &str = "destination";
const OUTSIDE: &str = "outside";

/// Compiles the `Router` entry.
pub(super) fn table(config: &Value) -> Result<RoutingTable, Vec<PathFault>> {
    let mut compiler = Compiler::default();
    let root = ValuePath::default();
    let routes = match config {
        Value::Null => Vec::new(),
        Value::Map(entry) => {
            compiler.faults.unknown_keys(&root, entry, &[ROUTES]);
            compiler.routes(entry.get(ROUTES).unwrap_or(&Value::Null), &root.key(ROUTES))
        }
        other => {
            compiler.faults.wrong_kind(&root, "a map", other);
            Vec::new()
        }
    };
    let Compiler { faults, queues } = compiler;
    faults.verdict(()).map(|()| RoutingTable::of(routes, queues))
}

#[derive(Default)]
struct Compiler {
    faults: Faults,
    queues: Queues,
}

impl Compiler {
    fn routes(&mut self, routes: &Value, at: &ValuePath) -> Vec<Route> {
        match routes {
            Value::Null => Vec::new(),
            Value::List(list) => {
                list.iter().enumerate().filter_map(|(n, route)| self.route(route, &at.index(n))).collect()
            }
            Value::Map(map) => {
                let ordered = self.by_number(map, at);
                ordered.into_iter().filter_map(|(key, route)| self.route(route, &at.key(key))).collect()
            }
            other => {
                self.faults.wrong_kind(at, "a list of routes, or a map of routes by number", other);
                Vec::new()
            }
        }
    }

    /// The entries of `map` in the order of the numbers that their keys are.
    fn by_number<'m>(&mut self, map: &'m Map, at: &ValuePath) -> Vec<(&'m str, &'m Value)> {
        let mut numbered: Vec<(f64, &str, &Value)> = Vec::with_capacity(map.len());
        for (key, route) in map.iter() {
            match key.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => numbered.push((number, key, route)),
                _ => self.faults.add(&at.key(key), format!("the key of a route must be a number, not {key:?}")),
            }
        }
        numbered.sort_by(|a, b| a.0.total_cmp(&b.0));
        for pair in numbered.windows(2) {
            if pair[0].0 == pair[1].0 {
                let reason =
                    format!("{:?} is the same number as {:?}, so neither route is the first", pair[1].1, pair[0].1);
                self.faults.add(&at.key(pair[1].1), reason);
            }
        }
        numbered.into_iter().map(|(_, key, route)| (key, route)).collect()
    }

    fn route(&mut self, route: &Value, at: &ValuePath) -> Option<Route> {
        let Value::Map(route) = route else {
            self.faults.wrong_kind(at, "a map with \"match\" and \"forwards\"", route);
            return None;
        };
        self.faults.unknown_keys(at, route, &[MATCH, TRANSFORM, FORWARDS, CONTROL]);
        let (test, groups) = self.test(route, at);
        Some(Route {
            test,
            transform: self.transform(route, &groups, at),
            forwards: self.forwards(route.get(FORWARDS), &at.key(FORWARDS)),
            short_circuit: self.short_circuit(route.get(CONTROL), &at.key(CONTROL)),
            reindexes: false,
        })
    }

    fn test(&mut self, route: &Map, at: &ValuePath) -> (Match, Vec<Text>) {
        match route.get(MATCH) {
            Some(tests) => Match::compile_at(tests, &at.key(MATCH), &mut self.faults),
            None => {
                let advice = "`match: {}` matches every message".to_owned();
                self.faults.add_advised(at, "a route needs \"match\"", Some(advice));
                (Match::default(), Vec::new())
            }
        }
    }

    fn transform(&mut self, route: &Map, groups: &[Text], at: &ValuePath) -> Option<Transform> {
        let settings = route.get(TRANSFORM).filter(|settings| **settings != Value::Null)?;
        let transform = Transform::compile_at(settings, groups, &at.key(TRANSFORM), &mut self.faults);
        (!transform.is_empty()).then_some(transform)
    }

    fn forwards(&mut self, forwards: Option<&Value>, at: &ValuePath) -> Vec<QueueIndex> {
        match forwards {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::List(list)) => {
                list.iter().enumerate().filter_map(|(n, forward)| self.forward(forward, &at.index(n))).collect()
            }
            Some(other) => {
                self.faults.wrong_kind(at, "a list of forwards", other);
                Vec::new()
            }
        }
    }

    fn forward(&mut self, forward: &Value, at: &ValuePath) -> Option<QueueIndex> {
        let Value::Map(forward) = forward else {
            self.faults.wrong_kind(at, "a map with \"qname\"", forward);
            return None;
        };
        self.faults.unknown_keys(at, forward, &[QNAME, DESTINATION, OUTSIDE]);
        hops::refuse_destination(forward, at, &mut self.faults);
        let outside = self.switch(forward.get(OUTSIDE), &at.key(OUTSIDE));
        let name = hops::read_queue_name(forward, at, &mut self.faults)?;
        Some(self.queues.intern(&name, &at.key(QNAME), outside))
    }

    fn short_circuit(&mut self, control: Option<&Value>, at: &ValuePath) -> bool {
        match control {
            None | Some(Value::Null) => false,
            Some(Value::Map(control)) => {
                self.faults.unknown_keys(at, control, &[SHORT_CIRCUIT]);
                self.switch(control.get(SHORT_CIRCUIT), &at.key(SHORT_CIRCUIT))
            }
            Some(other) => {
                self.faults.wrong_kind(at, "a map with \"short_circuit\"", other);
                false
            }
        }
    }

    fn switch(&mut self, wish: Option<&Value>, at: &ValuePath) -> bool {
        match wish.map(Value::view) {
            None => false,
            Some(view) => match (view.as_bool(), view.as_i64()) {
                (Some(wish), _) => wish,
                (None, Some(number @ (0 | 1))) => number == 1,
                _ => {
                    self.faults.add(at, format!("must be true or false, not {}", view.kind()));
                    false
                }
            },
        }
    }
}
