//! Whole texts, in and out: what is read, and what is told of what cannot be.

use super::*;
use crate::fields;
use crate::value::{Map, Value};

const SEED: &str = "{ Example1 => { outstr => 'howdy' }, Router => { routes => [ { match => { source => 'Example1' }, \
                    forwards => [ { qname => 'Example2' } ] } ] } }";

fn tutorial() -> Map {
    let route = fields! { match: fields! { source: "Example1" }, forwards: vec![fields! { qname: "Example2" }] };
    fields! { Example1: fields! { outstr: "howdy" }, Router: fields! { routes: vec![route] } }
}

#[test]
fn the_tutorials_config_reads_the_same_in_every_form() {
    let json = serde_json::to_string_pretty(&tutorial()).unwrap();
    let ron = "(Example1: (outstr: \"howdy\"), Router: (routes: [(match: {\"source\": \"Example1\"}, forwards: [(qname: \
               \"Example2\")])]))";
    let lines = SEED.replace(' ', "\n");
    let conf = include_str!("../../conf/test.conf");
    let cases = [(SEED, Form::Perl), (&lines, Form::Perl), (conf, Form::Perl), (&json, Form::Json), (ron, Form::Ron)];
    for (text, form) in cases {
        let document = Document::parse("test.conf", text).unwrap();
        assert_eq!((document.root(), document.form()), (&tutorial(), form));
        let config = document.config().unwrap();
        assert_eq!(config.tasks["Example1"].own, fields! { outstr: "howdy" });
    }
}

#[test]
fn a_config_may_have_the_form_of_a_message() {
    let texts =
        ["{'.multimodule' => {config => {A => {a => [1]}}}}", r#"{".multimodule": {"config": {"A": {"a": [1]}}}}"#];
    for text in texts {
        let document = Document::parse("a.conf", text).unwrap();
        assert_eq!(document.root(), &fields! { A: fields! { a: vec![1] } });
        let path = ValuePath::default().key("A").key("a").index(0);
        let fault = document.fault(PathFault { path, reason: "bad".into(), advice: None });
        assert_eq!(fault.place.unwrap().column, text.find('1').unwrap() + 1);
        assert_eq!(fault.path, "A.a[0]");
    }
    for text in
        ["{'.multimodule' => {config => {}}, A => {}}", "{'.multimodule' => {config => 1}}", "(.multimodule => {})"]
    {
        let faults = Document::parse("a.conf", text).unwrap_err().to_string();
        assert!(faults.contains("in the form of a message"), "{faults}");
    }
}

#[test]
fn a_message_may_be_written_in_every_form() {
    let texts = [
        "{new_ct => 999}",
        "<new_ct=>999>",
        "(new_ct: 999)",
        "{\"new_ct\": 999}",
        "{new_ct: 999}",
        " {'new_ct'=>999,} ",
    ];
    for text in texts {
        assert_eq!(parse_message("the message", text), Ok(fields! { new_ct: 999 }), "{text}");
    }
    assert_eq!(parse_message("the message", "{}"), Ok(Map::new()));
    assert_eq!(parse_message("the message", "<>").unwrap_err().iter().len(), 1);
}

#[test]
fn what_is_no_map_is_no_message() {
    let cases = [
        ("[1, 2]", "this is a list"),
        ("999", "this is an integer"),
        ("\"x\"", "this is text"),
        ("hello", "this is text"),
        ("[ a ]", "this is a list"),
        ("null", "this is null"),
        ("", "the text is empty"),
        ("  \n", "the text is empty"),
    ];
    for (text, expected) in cases {
        let fault = parse_message("the message", text).unwrap_err().to_string();
        assert!(fault.contains(expected), "{text}: {fault}");
    }
}

/// Each text with the place, the reason and the advice of its one fault.
#[test]
fn a_fault_stands_at_its_place_in_every_form() {
    let cases = [
        (
            "a.conf",
            "{\n  A => {\n    b => [ 1, 2 },\n}",
            3,
            17,
            "expected `,` or `]`, found `}`",
            "the `[` at 3:10 is not closed",
        ),
        (
            "a.conf",
            "{\n  A => { b: 1 },\n}",
            2,
            11,
            "expected `=>` after the key \"b\", found `:`",
            "write `=>` instead of `:`",
        ),
        ("a.conf", "{ A => \"\\d\" }", 1, 9, "unknown escape `\\d`", "use single quotes"),
        ("a.conf", "{ A => {}, A => {} }", 1, 12, "key \"A\" stands twice in one map", "it stands at 1:3 already"),
        ("a.conf", "{ A => [{ b => 1, 'b' => 2 }] }", 1, 19, "key \"b\" stands twice", "it stands at 1:11 already"),
        ("a.json", "{\n  \"A\": {,}\n}", 2, 9, "key must be a string", ""),
        ("a.json", "{\"A\": [1, 2}", 1, 12, "expected `,` or `]`", "the `[` at 1:7 is not closed"),
        ("a.json", "{\"A\": {}", 1, 9, "EOF while parsing an object", "the `{` at 1:1 is not closed"),
        (
            "a.json",
            "{\"ä\": 1, \"\\u00e4\": 2}",
            1,
            10,
            "key \"ä\" stands twice in one map",
            "it stands at 1:2 already",
        ),
        ("a.ron", "(\n  A: (b: 1 c: 2),\n)", 2, 12, "xpected comma", ""),
        ("a.ron", "(A: [1, 2)", 1, 10, "xpected comma", "the `[` at 1:5 is not closed"),
        ("a.ron", "{\"A\": (), r#A: ()}", 1, 11, "key \"A\" stands twice in one map", "it stands at 1:2 already"),
        ("a.ron", "{10: 1, 0xA: 2}", 1, 9, "key \"10\" stands twice in one map", "it stands at 1:2 already"),
        ("a.ron", "[1]", 1, 1, "a config must be a map of tasks, this is a list", ""),
        ("a.conf", "(A: (b: Some(1, 2)))", 1, 16, "xpected", ""),
    ];
    for (name, text, line, column, reason, advice) in cases {
        let faults = Document::parse(name, text).unwrap_err();
        let fault = faults.iter().next().unwrap();
        assert_eq!(fault.place, Some(Place { line, column }), "{fault}");
        assert!(fault.reason.contains(reason), "{fault}");
        assert!(fault.advice.as_deref().unwrap_or_default().contains(advice), "{fault}");
    }
}

#[test]
fn all_faults_of_a_text_are_shown_with_their_lines_in_its_order() {
    let text = "{\n    Zzz => 1,\n    Example1 => { delivery => 'exactly_onec', functions => 2 },\n}";
    let faults = Document::parse("conf/test.conf", text).unwrap().config().unwrap_err().to_string();
    let expected = "\
conf/test.conf:2:5: Zzz: a task's config must be a map, this is an integer
  |   2 |     Zzz => 1,
  |     |     ^
conf/test.conf:3:19: Example1.delivery: unknown value \"exactly_onec\"
  |   3 |     Example1 => { delivery => 'exactly_onec', functions => 2 },
  |     |                   ^ did you mean \"exactly_once\"?
conf/test.conf:3:47: Example1.functions: \"functions\" is not part of this version
  |   3 |     Example1 => { delivery => 'exactly_onec', functions => 2 },
  |     |                                               ^ the name is kept for the framework; a task's own key of that \
                    name stands below `task`
  = read as the Perl form";
    assert_eq!(faults, expected);
}

#[test]
fn nesting_has_one_bound_in_every_form() {
    let forms = [("a.json", "{\"a\":", "}"), ("a.ron", "(a:", ")"), ("a.conf", "{a=>", "}")];
    for (name, open, close) in forms {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let root = Document::parse(name, &nested(128)).unwrap().root().clone();
        assert_eq!(Value::Map(root).depth(), 128);
        for depth in [129, 10_000] {
            let fault = Document::parse(name, &nested(depth)).unwrap_err().to_string();
            let column = 128 * open.len() + 1;
            assert!(fault.starts_with(&format!("{name}:1:{column}: nested deeper than 128 levels")), "{fault}");
        }
        let endless = open.repeat(1_000_000);
        assert!(Document::parse(name, &endless).unwrap_err().to_string().contains("nested deeper"));
    }
}

#[test]
fn too_much_and_what_is_no_text_are_refused() {
    let long = " ".repeat(MAX_CONFIG_BYTES + 1);
    let fault = Document::parse("a.conf", &long).unwrap_err().to_string();
    assert_eq!(fault, "a.conf: a config has at most 16777216 bytes, this one has 16777217");
    let fault = Document::parse_bytes("a.conf", b"{ a => '\xff' }").unwrap_err().to_string();
    assert_eq!(fault, "a.conf: byte 0xff at 1:9 is not UTF-8");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    for text in ["\u{feff}{\"A\": {}}", "\u{feff}(A: ())", "\u{feff}{A => {}}"] {
        assert!(Document::parse("a.conf", text).unwrap().root().contains_key("A"), "{text}");
    }
}

#[test]
fn the_form_that_was_assumed_is_named() {
    for (text, form) in [("{ a => ", "the Perl form"), ("{ a: ", "RON"), ("{\"a\": 1, \"a\": 2}", "JSON")] {
        let fault = Document::parse("a.conf", text).unwrap_err().to_string();
        assert!(fault.ends_with(&format!("= read as {form}")), "{fault}");
    }
}

#[test]
fn a_fault_of_a_tasks_own_config_is_shown_where_it_stands() {
    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default)]
    struct Own {
        outstr: String,
        ct: i64,
    }
    let text = "{ Example1 => {\n  outsrt => 'howdy', task => { ct => 'x' } } }";
    let document = Document::parse("test.conf", text).unwrap();
    let config = document.config().unwrap();
    let (name, entry) = config.tasks.first_key_value().unwrap();
    let faults = crate::config::typed::<Own>(&entry.own).unwrap_err();
    let faults = faults.into_iter().map(|fault| entry.fault_of(name, fault)).collect();
    let expected = "\
test.conf:2:3: Example1.outsrt: unknown key \"outsrt\"
  |   2 |   outsrt => 'howdy', task => { ct => 'x' } } }
  |     |   ^ did you mean \"outstr\"?
test.conf:2:32: Example1.task.ct: expected an integer of 64 bits, found the text \"x\"
  |   2 |   outsrt => 'howdy', task => { ct => 'x' } } }
  |     |                                ^
  = read as the Perl form";
    assert_eq!(document.faults(faults).to_string(), expected);
    let own: Own = crate::config::typed(&fields! { outstr: "howdy", ct: "5" }).unwrap();
    assert_eq!((own.outstr.as_str(), own.ct), ("howdy", 5));
}

#[test]
fn the_daemons_entry_may_be_empty_in_every_form() {
    for text in [
        "(MultiModule: ())",
        "(MultiModule: {})",
        "{\"MultiModule\": {}}",
        "{ MultiModule => {} }",
        "{ MultiModule => undef }",
    ] {
        let config = Document::parse("a.conf", text).unwrap().config().unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(config.monitoring, crate::limits::Overrides::default(), "{text}");
    }
}
