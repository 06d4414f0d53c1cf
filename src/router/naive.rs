//! The index against the plainest reading of the rules: every route is tried in its order, straight from the config.

use proptest::prelude::*;

use super::*;
use crate::message::Message;
use crate::value::{Map, Value, View};

const FIELDS: [&str; 4] = ["source", "kind", "host", "n"];

fn equal(have: View<'_>, test: View<'_>) -> bool {
    match (have.scalar_text(), test.scalar_text()) {
        (Some(have), Some(test)) => have == test,
        _ => have.as_bool().is_some() && have.as_bool() == test.as_bool(),
    }
}

fn holds(have: &Value, test: &Value) -> bool {
    match (have, test) {
        (Value::Map(have), Value::Map(test)) => map_holds(have, test),
        (Value::List(have), Value::List(test)) => {
            have.len() >= test.len() && have.iter().zip(test).all(|(have, test)| holds(have, test))
        }
        (Value::List(have), Value::Map(test)) => {
            have.iter().all(|have| have.view().scalar_text().is_some_and(|text| test.contains_key(&text)))
        }
        (Value::List(have), test) => have.iter().any(|have| equal(have.view(), test.view())),
        (have, test) => equal(have.view(), test.view()),
    }
}

fn map_holds(have: &Map, test: &Map) -> bool {
    test.iter().all(|(key, test)| have.get(key).is_some_and(|have| holds(have, test)))
}

/// One route as the test draws it; the config is written from it.
#[derive(Debug, Clone)]
struct Drawn {
    test: Map,
    transform: Map,
    forwards: Vec<u8>,
    short_circuit: bool,
}

fn naive(routes: &[Drawn], mut fields: Map) -> Vec<(String, Map)> {
    let mut copies = Vec::new();
    for route in routes.iter() {
        if !map_holds(&fields, &route.test) {
            continue;
        }
        let before = fields.clone();
        for (key, value) in route.transform.iter() {
            let from = value.as_text().and_then(|text| text.strip_prefix(" specials/$message->{")?.strip_suffix('}'));
            let value = from.map_or_else(|| value.clone(), |from| before.get(from).cloned().unwrap_or_default());
            fields.insert(key, value);
        }
        copies.extend(route.forwards.iter().map(|queue| (format!("q{queue}"), fields.clone())));
        if route.short_circuit {
            break;
        }
    }
    copies
}

fn config(routes: &[Drawn]) -> Value {
    let route = |route: &Drawn| {
        let forward = |queue: &u8| crate::fields! { qname: format!("q{queue}") };
        crate::fields! {
            "match": route.test.clone(), transform: route.transform.clone(),
            forwards: route.forwards.iter().map(forward).collect::<Vec<_>>(),
            ".router_control": crate::fields! { short_circuit: route.short_circuit },
        }
    };
    Value::Map(crate::fields! { routes: routes.iter().map(route).collect::<Vec<_>>() })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (0_u8..4).prop_map(|n| Value::from(format!("v{n}"))),
        2 => (0_i64..3).prop_map(Value::from),
        1 => (0_i64..3).prop_map(|n| Value::from(n.to_string())),
        1 => prop::sample::select(vec![0.0, 1.0, 1.5]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            any_map_of(inner).prop_map(Value::Map),
        ]
    })
}

fn any_map_of(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map> {
    let key = prop_oneof![9 => prop::sample::select(&FIELDS[..]), 1 => prop::sample::select(&["v1", "1", "x"][..])];
    prop::collection::vec((key, values), 0..4).prop_map(|entries| entries.into_iter().collect())
}

fn any_setting() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(&FIELDS[..]);
    prop_oneof![3 => any_value(), 1 => field.prop_map(|f| Value::from(format!(" specials/$message->{{{f}}}")))]
}

fn any_route() -> impl Strategy<Value = Drawn> {
    let test = any_map_of(prop_oneof![5 => scalar().boxed(), 1 => any_value().boxed()]);
    let transform = prop_oneof![2 => Just(Map::new()).boxed(), 1 => any_map_of(any_setting()).boxed()];
    (test, transform, prop::collection::vec(0_u8..5, 0..3), prop::bool::weighted(0.1))
        .prop_map(|(test, transform, forwards, short_circuit)| Drawn { test, transform, forwards, short_circuit })
}

proptest! {
    #[test]
    fn the_index_changes_nothing_but_the_time(
        routes in prop::collection::vec(any_route(), 0..40),
        messages in prop::collection::vec(any_map_of(any_value()), 1..8),
    ) {
        let table = RoutingTable::compile(&config(&routes)).unwrap();
        for fields in messages {
            let expected = naive(&routes, fields.clone());
            let mut copies = Vec::new();
            let count = table.route(Message::new(fields), |target, copy| match target {
                Target::Known(queue) => copies.push((table.name(queue).to_string(), copy.into_fields())),
                Target::Named(queue) => panic!("{queue:?} stands in no config"),
            });
            prop_assert_eq!(count.unwrap(), expected.len());
            prop_assert_eq!(copies, expected);
        }
    }
}
