//! `qtrans`: what it lists.

use crate::commands::{Post, name};

#[test]
fn queues_are_listed_with_what_they_hold_and_who_reads_them() {
    let post = Post::new();
    let transit = post.transit();
    let _consumer = post.consume(&transit, "Example1");
    post.send("{a => 1}", "Example1");
    post.send("{a => 1}", "Example2");
    post.send("{a => 1}", "Example2");
    let outcome = post.run("qtrans", &[]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let rows: Vec<Vec<&str>> = outcome.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["queue", "messages", "bytes", "capacity", "full", "oldest", "reader"]);
    assert_eq!(rows[1][..2], ["Example1", "1"]);
    assert_eq!(rows[1][3..5], ["67108864", "0.0%"]);
    let age: f64 = rows[1][5].strip_suffix('s').unwrap().parse().unwrap();
    assert!((0.0..60.0).contains(&age), "{age} s since it was sent");
    assert_eq!(rows[1][6..], ["pid", "77,", "state", "directory", "/s"]);
    assert_eq!((&rows[2][..2], rows[2][6]), (&["Example2", "2"][..], "-"));
    assert_eq!(rows.len(), 3);
}

#[test]
fn empty_queues_are_listed_when_asked_for() {
    let post = Post::new();
    post.transit().set_settings(&name("Empty"), &multimodule::transit::Settings::default()).unwrap();
    assert!(!post.run("qtrans", &[]).stdout.contains("Empty"));
    let row = "Empty         0      0  67108864  0.0%       -  -\n";
    assert!(post.run("qtrans", &["-a"]).stdout.contains(row));
}

#[test]
fn programs_get_json() {
    let post = Post::new();
    post.send("{a => 1}", "Example1");
    let listed: serde_json::Value = serde_json::from_str(&post.run("qtrans", &["--json"]).stdout).unwrap();
    assert_eq!((&listed[0]["queue"], &listed[0]["messages"]), (&"Example1".into(), &1.into()));
    assert_eq!(listed[0]["reader"], serde_json::Value::Null);
    assert!(listed[0]["oldest_ns"].as_u64().unwrap() > 0);
    assert_eq!(listed[0]["lanes"][0]["name"], "anon:0");
}

#[test]
fn a_damaged_queue_is_named_and_the_others_are_shown() {
    let post = Post::new();
    post.send("{a => 1}", "Broken");
    post.send("{a => 1}", "Example1");
    std::fs::write(post.path().join("Broken/index"), "nothing of ours").unwrap();
    let outcome = post.run("qtrans", &[]);
    assert_eq!(outcome.code, 74, "{outcome:?}");
    assert!(outcome.stderr.contains("Broken/index"), "{outcome:?}");
    assert!(outcome.stdout.contains("Example1"), "{outcome:?}");
}
