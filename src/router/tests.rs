//! Promises of the router, through its public face.

use serde_json::json;

use super::*;
use crate::config::PathFault;
use crate::message::Message;
use crate::value::Value;

fn value(json: serde_json::Value) -> Value {
    serde_json::from_value(json).unwrap()
}

fn message(json: serde_json::Value) -> Message {
    match value(json) {
        Value::Map(fields) => Message::new(fields),
        other => panic!("a message is a map, not {other:?}"),
    }
}

fn table(json: serde_json::Value) -> RoutingTable {
    RoutingTable::compile(&value(json)).unwrap()
}

/// What goes where, in order, as `[queue, fields]` pairs.
fn routed(table: &RoutingTable, sent: Message) -> Vec<(String, Value)> {
    let mut copies = Vec::new();
    let count = table.route(sent, |target, copy| {
        let queue = match target {
            Target::Known(queue) => table.name(queue).to_string(),
            Target::Named(queue) => queue.to_string(),
        };
        copies.push((queue, Value::Map(copy.into_fields())));
    });
    assert_eq!(count.unwrap(), copies.len());
    copies
}

fn check(config: serde_json::Value, sent: serde_json::Value, expected: &[(&str, serde_json::Value)]) {
    let expected: Vec<_> =
        expected.iter().map(|(queue, fields)| ((*queue).to_owned(), value(fields.clone()))).collect();
    let (table, made) = (table(config), message(sent));
    let came = Message::from_encoded(made.stamp(), made.encoded().unwrap().clone()).unwrap();
    assert_eq!(routed(&table, made), expected);
    assert_eq!(routed(&table, came), expected, "the encoded face");
}

fn faults(config: serde_json::Value) -> Vec<(String, String, Option<String>)> {
    let told = |fault: PathFault| (fault.path.to_string(), fault.reason, fault.advice);
    RoutingTable::compile(&value(config)).unwrap_err().into_iter().map(told).collect()
}

#[test]
fn the_tutorials_route_leads_to_its_queue() {
    check(
        json!({"routes": [{"match": {"source": "Example1"}, "forwards": [{"qname": "Example2"}]}]}),
        json!({"source": "Example1", "ct": 1, "outstr": "howdy"}),
        &[("Example2", json!({"source": "Example1", "ct": 1, "outstr": "howdy"}))],
    );
}

#[test]
fn every_matching_route_applies_in_order_and_later_routes_see_the_changes() {
    check(
        json!({"routes": [
            {"match": {"a": 1}, "forwards": [{"qname": "first"}]},
            {"match": {"a": 2}, "forwards": [{"qname": "too early"}]},
            {"match": {}, "transform": {"a": 2}, "forwards": [{"qname": "second"}, {"qname": "third"}]},
            {"match": {"a": 1}, "forwards": [{"qname": "too late"}]},
            {"match": {"a": 2}, "forwards": [{"qname": "first"}]},
        ]}),
        json!({"a": 1}),
        &[
            ("first", json!({"a": 1})),
            ("second", json!({"a": 2})),
            ("third", json!({"a": 2})),
            ("first", json!({"a": 2})),
        ],
    );
}

#[test]
fn short_circuit_stops_after_its_route() {
    for on in [json!(true), json!(1)] {
        check(
            json!({"routes": [
                {"match": {"a": 2}, "forwards": [{"qname": "p"}], ".router_control": {"short_circuit": on}},
                {"match": {"a": 1}, "forwards": [{"qname": "q"}], ".router_control": {"short_circuit": on}},
                {"match": {"a": 1}, "forwards": [{"qname": "r"}]},
            ]}),
            json!({"a": 1}),
            &[("q", json!({"a": 1}))],
        );
    }
}

#[test]
fn routes_by_number_come_in_the_order_of_the_numbers() {
    let to = |queue: &str| json!({"match": {}, "forwards": [{"qname": queue}]});
    check(
        json!({"routes": {"10": to("ten"), "2": to("two"), "-1": to("less"), "2.5": to("between")}}),
        json!({}),
        &[("less", json!({})), ("two", json!({})), ("between", json!({})), ("ten", json!({}))],
    );
}

#[test]
fn a_transform_sets_values_texts_and_structures() {
    check(
        json!({"routes": [{
            "match": {"line": " special/^(?<verb>\\w+) (?<what>\\w+)(?<rest>!)?$/"},
            "transform": {
                "fixed": 7, "structure": {"deep": [" specials/$message->{a}"]}, "empty": null,
                "value": " specials/$message->{list}", "nested": " specials/$message->{map}{x}->{'y z'}[1]",
                "missing": " specials/$message->{nothing}{there}", "missing_text": " specials/<$message->{nothing}>",
                "a": " specials/$message->{b}", "b": " specials/$message->{a}",
                "text": " specials/$verb: $message->{a}-$message->{yes} costs \\$5 or $5, ${what}s",
                "json": " specials/$message->{list};", "no_group": " specials/$rest", "blank": " specials/",
            },
            "forwards": [{"qname": "q"}],
        }]}),
        json!({"line": "install vim", "a": 1, "b": "two", "list": [1, {"x": null}], "yes": true,
            "map": {"x": {"y z": [0, 1.5]}}}),
        &[(
            "q",
            json!({
                "line": "install vim", "fixed": 7, "structure": {"deep": [" specials/$message->{a}"]}, "empty": null,
                "value": [1, {"x": null}], "nested": 1.5, "missing": null, "missing_text": "<>",
                "a": "two", "b": 1, "text": "install: 1-true costs $5 or $5, vims", "json": "[1,{\"x\":null}];",
                "no_group": null, "blank": "", "list": [1, {"x": null}], "yes": true, "map": {"x": {"y z": [0, 1.5]}},
            }),
        )],
    );
}

#[test]
fn a_transform_applies_to_a_state_as_well() {
    let transform = Transform::compile(&value(json!({"ct": 999, "was": " specials/$message->{ct}"}))).unwrap();
    let Value::Map(mut state) = value(json!({"ct": 7, "kept": true})) else { panic!("a map") };
    transform.apply(&mut state);
    assert_eq!(Value::Map(state), value(json!({"ct": 999, "was": 7, "kept": true})));
}

#[test]
fn a_message_follows_its_static_forwards_hop_by_hop_and_then_the_routes() {
    let config = json!({"routes": [{"match": {}, "forwards": [{"qname": "routed"}]}]});
    let table = table(config);
    let hops = json!([
        [
            {"forward": {"qname": "a", "note": 1}, "transform": {"at": " specials/$message->{x}a"}, "log_history": 1},
            {"forward": {"qname": "routed"}},
        ],
        [{"forward": {"qname": "b"}, "log_history": true}],
    ]);
    let mut first = routed(&table, message(json!({"x": 1, "static_forwards": hops})));
    let rest = json!([[{"forward": {"qname": "b"}, "log_history": true}]]);
    let log = json!({"forward_history": [{"qname": "a", "note": 1}]});
    assert_eq!(
        first,
        [
            ("a".to_owned(), value(json!({"x": 1, "at": "1a", "static_forwards": rest, ".static_forwards_log": log}))),
            ("routed".to_owned(), value(json!({"x": 1, "static_forwards": rest}))),
        ]
    );
    let Value::Map(fields) = first.remove(0).1 else { panic!("a map") };
    let second = routed(&table, Message::new(fields));
    let log = json!({"forward_history": [{"qname": "a", "note": 1}, {"qname": "b"}]});
    assert_eq!(second, [("b".to_owned(), value(json!({"x": 1, "at": "1a", ".static_forwards_log": log})))]);
    let Value::Map(fields) = second[0].1.clone() else { panic!("a map") };
    assert_eq!(routed(&table, Message::new(fields))[0].0, "routed");
}

#[test]
fn malformed_static_forwards_give_the_message_back() {
    let fine = json!({"forward": {"qname": "a"}});
    let cases = [
        (json!("x"), "static_forwards", "must be a list of hops, not text"),
        (json!(["x"]), "static_forwards[0]", "must be a list of forwards, not text"),
        (json!([[fine, 7]]), "static_forwards[0][1]", "must be a map with \"forward\", not an integer"),
        (json!([[fine, {}]]), "static_forwards[0][1].forward", "must be a map with \"qname\", not null"),
        (json!([[{"forward": {}}]]), "static_forwards[0][0].forward", "names no queue: \"qname\" is missing"),
        (
            json!([[{"forward": {"qname": "a", "destination": "b"}}]]),
            "static_forwards[0][0].forward.destination",
            "this version does not send to other hosts",
        ),
        (
            json!([[{"forward": {"qname": "a"}, "transform": 1}]]),
            "static_forwards[0][0].transform",
            "must be a map of what to set, not an integer",
        ),
    ];
    for (hops, path, reason) in cases {
        let sent = message(json!({"static_forwards": hops}));
        let table = table(json!({"routes": [{"match": {}, "forwards": [{"qname": "q"}]}]}));
        let refused = table.route(sent.clone(), |_, _| panic!("nothing may be delivered")).unwrap_err();
        assert_eq!(refused.to_string(), format!("{path}: {reason}"));
        assert_eq!(refused.message.fields(), sent.fields());
    }
    let refused = message(json!({"static_forwards": [[{"forward": {"qname": "../x"}, "log_history": 1}]],
        ".static_forwards_log": {"forward_history": 3}}));
    let refused = table(json!(null)).route(refused, |_, _| {}).unwrap_err();
    let paths: Vec<_> = refused.faults.iter().map(|fault| fault.path.to_string()).collect();
    assert_eq!(paths, [".static_forwards_log.forward_history", "static_forwards[0][0].forward.qname"]);
    assert!(refused.to_string().ends_with("(and 1 more)"), "{refused}");
}

#[test]
fn every_fault_of_a_config_is_told_at_its_place() {
    let told = faults(json!({"rutes": 1, "routes": [
        {"match": {"a": " special/(/", "b": [" special/x/q", " specal"], "c": " special:x"}},
        {"mach": {}, "forwards": [{"qnam": "x"}, {"qname": ""}, {"qname": 1}, 7, {"qname": "x", "destination": "h"}]},
        {"match": 1, "forwards": {}, "transform": [], ".router_control": {"short_circit": 1, "short_circuit": "no"}},
        {"match": {"a": " special/(?<word>x)/"}, "transform": {"a": " specials/$wrod", "b": " specials/$message",
            "c": " special/x", "d": " specials/$message->{a", "e": " specials/$message->{a}[x]"}},
        {"match": {"a": " special/(?<g>x)/", "b": " special/(?<g>x)(?<message>y)/"}, "forwards": [{"qname": "q", "outside": 2}]},
        "text",
    ]}));
    let places: Vec<&str> = told.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(
        places,
        [
            "rutes",
            "routes[0].match.a",
            "routes[0].match.b[0]",
            "routes[0].match.c",
            "routes[1].mach",
            "routes[1]",
            "routes[1].forwards[0].qnam",
            "routes[1].forwards[0]",
            "routes[1].forwards[1].qname",
            "routes[1].forwards[2].qname",
            "routes[1].forwards[3]",
            "routes[1].forwards[4].destination",
            "routes[2].match",
            "routes[2].transform",
            "routes[2].forwards",
            "routes[2]..router_control.short_circit",
            "routes[2]..router_control.short_circuit",
            "routes[3].transform.a",
            "routes[3].transform.b",
            "routes[3].transform.c",
            "routes[3].transform.d",
            "routes[3].transform.e",
            "routes[4].match.b",
            "routes[4].match.b",
            "routes[4].forwards[0].outside",
            "routes[5]",
        ]
    );
}

#[test]
fn a_fault_says_what_would_be_right() {
    let advice = |config: serde_json::Value| faults(config).remove(0).2.unwrap();
    assert_eq!(advice(json!({"routs": []})), "did you mean \"routes\"?");
    assert_eq!(advice(json!({"routes": [{"match": {}, "forwrads": []}]})), "did you mean \"forwards\"?");
    assert_eq!(advice(json!({"routes": [{"forwards": []}]})), "`match: {}` matches every message");
    let route = json!({"match": {"a": " special/(?<word>x)/"}, "transform": {"b": " specials/$wrod"}});
    assert_eq!(advice(json!({"routes": [route]})), "did you mean \"word\"?");
    let told = faults(json!({"routes": [{"match": {"a": " special/a(?=b)/"}}]})).remove(0).1;
    assert!(told.contains("look-around"), "{told}");
}

#[test]
fn keys_that_are_no_numbers_or_the_same_number_are_refused() {
    let told = faults(
        json!({"routes": {"1": {"match": {}}, "01": {"match": {}}, "first": {"match": {}}, "nan": {"match": {}}}}),
    );
    let places: Vec<&str> = told.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(places, ["routes.first", "routes.nan", "routes.1"]);
}

#[test]
fn a_table_tells_each_queue_once_with_its_first_mention() {
    let table = table(json!({"routes": {
        "2": {"match": {}, "forwards": [{"qname": "b", "outside": true}, {"qname": "a"}]},
        "1": {"match": {}, "forwards": [{"qname": "a"}, {"qname": "a"}]},
    }}));
    let told: Vec<_> = table
        .queues()
        .iter()
        .map(|name| {
            let queue = table.queue(name.as_str()).unwrap();
            (name.as_str(), table.mention(queue).to_string(), table.is_outside(queue))
        })
        .collect();
    assert_eq!(
        told,
        [("a", "routes.1.forwards[0].qname".to_owned(), false), ("b", "routes.2.forwards[0].qname".to_owned(), true),]
    );
}

#[test]
fn no_config_has_no_routes() {
    for config in [json!(null), json!({}), json!({"routes": []}), json!({"routes": {}})] {
        assert_eq!(table(config).route(message(json!({"a": 1})), |_, _| {}).unwrap(), 0);
    }
}

#[test]
fn copies_share_their_fields_and_the_last_one_is_nobody_elses() {
    let forwards = json!([{"qname": "a"}, {"qname": "b"}, {"qname": "c"}]);
    let table = table(json!({"routes": [{"match": {}, "forwards": forwards}]}));
    let sent = message(json!({"a": 1}));
    let fields = std::ptr::from_ref(sent.fields());
    let mut copies = Vec::new();
    table.route(sent, |_, copy| copies.push(copy)).unwrap();
    assert!(copies.iter().all(|copy| std::ptr::eq(copy.fields(), fields)));
    assert_eq!(copies.len(), 3);
}
