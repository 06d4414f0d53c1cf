//! `strans`: what it keeps, what it refuses, and what it says.

use std::time::{Duration, Instant};

use multimodule::transit::{Overflow, Settings};

use crate::commands::Post;

fn read_back(post: &Post, queue: &str) -> serde_json::Value {
    let outcome = post.run("rtrans", &["-s", "--timeout", "30", queue]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn every_form_of_a_message_arrives_as_the_same_fields() {
    let post = Post::new();
    for message in ["<new_ct=>999>", "{new_ct => 999}", r#"{"new_ct": 999}"#, "(new_ct: 999)"] {
        post.send(message, "Example1");
        assert_eq!(read_back(&post, "Example1"), serde_json::json!({"new_ct": 999}), "{message}");
    }
    let outcome = post.run_on("strans", &["-", "Example1"], b"{\"text\": \"from a pipe\"}\n");
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(read_back(&post, "Example1"), serde_json::json!({"text": "from a pipe"}));
}

#[test]
fn a_message_nobody_reads_is_kept_and_said_to_wait() {
    let post = Post::new();
    let outcome = post.run("strans", &["{a => 1}", "Example3"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""));
    assert_eq!(outcome.stderr, "strans: nobody reads queue Example3 now; the message waits there\n");
    assert_eq!(post.messages("Example3"), 1);
}

#[test]
fn a_queue_that_is_read_and_has_a_similar_name_is_suggested() {
    let post = Post::new();
    let transit = post.transit();
    let _consumer = post.consume(&transit, "Example1");
    post.send("{a => 1}", "Example2");
    let outcome = post.run("strans", &["{a => 1}", "Example3"]);
    let expected = "nobody reads queue Example3 now; the message waits there. did you mean \"Example1\"?\n";
    assert!(outcome.stderr.ends_with(expected), "{outcome:?}");
    let read = post.run("strans", &["{a => 1}", "Example1"]);
    assert_eq!((read.code, read.stderr.as_str()), (0, ""));
}

#[test]
fn what_is_no_map_is_refused_with_a_reason() {
    let post = Post::new();
    for (message, reason) in [
        ("[1, 2]", "a message must be a map of fields, this is a list"),
        ("7", "a message must be a map of fields, this is an integer"),
        ("{a => ", "message:1:"),
        ("", "the text is empty"),
    ] {
        post.run("strans", &[message, "Example1"]).refused(65, reason);
    }
    assert_eq!(post.messages("Example1"), 0);
}

#[test]
fn a_message_nested_ten_thousand_deep_is_refused() {
    let post = Post::new();
    let deep = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
    post.run("strans", &[&deep, "Example1"]).refused(65, "nested deeper than 128 levels");
}

#[test]
fn a_message_of_64_mib_is_refused_with_the_bound() {
    let post = Post::new();
    let text = format!("{{\"a\": \"{}\"}}", "x".repeat(64 << 20));
    post.run_on("strans", &["-", "Example1"], text.as_bytes()).refused(65, "more than 67104768 bytes");
}

#[test]
fn a_message_over_a_queues_bound_is_refused_with_both_numbers() {
    let post = Post::new();
    post.set("Small", Settings { max_bytes: 65_536, ..Settings::default() });
    let text = format!("{{\"a\": \"{}\"}}", "x".repeat(100_000));
    let outcome = post.run("strans", &[&text, "Small"]);
    outcome.refused(65, "is too large for queue Small, which takes at most 65536");
    assert!(outcome.stderr.contains("100008 bytes"), "{outcome:?}");
}

#[test]
fn a_message_that_is_no_utf_8_is_refused() {
    let post = Post::new();
    post.run_on("strans", &["-", "Example1"], b"{\"a\": \"\xff\"}").refused(65, "not UTF-8: its byte 8");
}

#[test]
fn a_full_queue_is_waited_for_and_then_said_to_be_full() {
    let post = Post::new();
    let block_timeout = Duration::from_millis(300);
    post.set("Small", Settings { max_messages: 2, block_timeout, ..Settings::default() });
    post.send("{n => 1}", "Small");
    post.send("{n => 2}", "Small");
    let begin = Instant::now();
    post.run("strans", &["{n => 3}", "Small"]).refused(75, "it holds 2 of at most 2 messages");
    assert!(begin.elapsed() >= block_timeout);
    assert_eq!(post.messages("Small"), 2);
}

#[test]
fn a_queue_that_nobody_configured_blocks_for_five_seconds_and_is_then_said_to_be_full() {
    let post = Post::new();
    post.fill("Example3", 100_000);
    let begin = Instant::now();
    post.run("strans", &["{n => 1}", "Example3"]).refused(75, "it holds 100000 of at most 100000 messages");
    assert!(begin.elapsed() >= Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn room_that_comes_in_time_is_used() {
    let post = Post::new();
    post.set("Small", Settings { max_messages: 1, block_timeout: Duration::from_secs(60), ..Settings::default() });
    post.send("{n => 1}", "Small");
    let waiting = post.start("strans", &["{n => 2}", "Small"]);
    assert_eq!(read_back(&post, "Small"), serde_json::json!({"n": 1}));
    assert_eq!(waiting.exit_code(), 0);
    assert_eq!(read_back(&post, "Small"), serde_json::json!({"n": 2}));
}

#[test]
fn a_full_queue_that_diverts_to_dead_keeps_the_message_there() {
    let post = Post::new();
    post.set("Small", Settings { max_messages: 1, overflow: Overflow::DeadLetter, ..Settings::default() });
    post.send("{n => 1}", "Small");
    let outcome = post.run("strans", &["{n => 2}", "Small"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("queue Small is full, and what is new goes to dead"), "{outcome:?}");
    let dead = read_back(&post, "dead");
    assert_eq!(dead["n"], 2);
    assert_eq!(dead[".dead"]["task"], "Small");
}

#[test]
fn a_full_queue_that_drops_what_is_new_says_so() {
    let post = Post::new();
    post.set("Small", Settings { max_messages: 1, overflow: Overflow::DropNewest, ..Settings::default() });
    post.send("{n => 1}", "Small");
    post.run("strans", &["{n => 2}", "Small"]).refused(75, "drops what is new");
}

#[test]
fn calls_at_the_same_moment_are_all_kept() {
    let post = Post::new();
    let message = |n| format!("{{n => {n}}}");
    let calls: Vec<_> = (0..24).map(|n| post.start("strans", &[&message(n), "Example1"])).collect();
    for call in calls {
        assert_eq!(call.exit_code(), 0);
    }
    let outcome = post.run("rtrans", &["-c", "24", "--timeout", "30", "Example1"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for n in 0..24 {
        assert_eq!(outcome.stdout.matches(&format!("\"n\": {n}\n")).count(), 1, "{n}");
    }
}

#[test]
fn another_host_is_refused_before_anything_is_sent() {
    let post = Post::new();
    let outcome = post.run("strans", &["{a => 1}", "Example1", "elsewhere"]);
    outcome.refused(69, "sending to another host is not part of this version");
    assert_eq!(post.messages("Example1"), 0);
}

#[test]
fn a_name_that_could_leave_its_directory_is_refused() {
    let post = Post::new();
    for queue in ["../x", "a/b", "..", ""] {
        let outcome = post.run("strans", &["{a => 1}", queue]);
        outcome.refused(64, "name");
    }
    assert!(!post.path().exists());
}

#[test]
fn the_transit_can_be_named_by_either_letter() {
    let post = Post::new();
    let other = post.path().with_file_name("other");
    for (letter, count) in [("-P", 1), ("-T", 2), ("--transit-dir", 3)] {
        let outcome = post.run("strans", &[letter, other.to_str().unwrap(), "{a => 1}", "Example1"]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let listed = post.run("qtrans", &[letter, other.to_str().unwrap(), "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
        assert_eq!(listed[0]["messages"], count);
    }
    assert!(!post.path().exists());
}

#[test]
fn a_file_that_may_not_grow_is_an_error_and_no_kill() {
    let post = Post::new();
    let line = format!("ulimit -f 0; exec {} '{{a => 1}}' Example1", env!("CARGO_BIN_EXE_strans"));
    let outcome = post.run("/bin/sh", &["-c", &line]);
    outcome.refused(74, "File too large");
}

#[test]
fn a_standard_error_that_is_closed_changes_no_code() {
    let post = Post::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = post.command("strans");
    let status = command.args(["{a => 1}", "Example1"]).stderr(writer).status().unwrap();
    assert_eq!((status.code(), post.messages("Example1")), (Some(0), 1));
}

#[test]
fn a_transit_that_cannot_be_one_is_refused() {
    let post = Post::new();
    std::fs::write(post.path(), "").unwrap();
    post.run("strans", &["{a => 1}", "Example1"]).refused(78, "not a directory");
}
