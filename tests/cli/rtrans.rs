//! `rtrans`: messages in order, none lost, and how it ends.

use std::fs::File;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::commands::{Post, wait_until};

#[test]
fn messages_arrive_in_the_order_of_the_calls_that_sent_them() {
    let post = Post::new();
    for n in 0..5 {
        post.send(&format!("{{n => {n}}}"), "Example1");
    }
    let outcome = post.run("rtrans", &["-c", "5", "Example1"]);
    let expected: String = (0..5).map(|n| format!("{{\n  \"n\": {n}\n}}\n")).collect();
    assert_eq!((outcome.code, outcome.stdout, outcome.stderr), (0, expected, String::new()));
    assert_eq!(post.messages("Example1"), 0);
}

#[test]
fn one_message_is_taken_and_the_others_stay() {
    let post = Post::new();
    for n in 0..3 {
        post.send(&format!("{{n => {n}}}"), "Example1");
    }
    assert_eq!(post.run("rtrans", &["-s", "Example1"]).stdout, "{\n  \"n\": 0\n}\n");
    assert_eq!(post.messages("Example1"), 2);
    assert_eq!(post.run("rtrans", &["-s", "Example1"]).stdout, "{\n  \"n\": 1\n}\n");
}

#[test]
fn keys_are_sorted_and_headers_shown_when_asked_for() {
    let post = Post::new();
    post.send("{b => 1, a => [2], c => {z => 1, y => 2}}", "Example1");
    post.send("{a => 1}", "Example1");
    let plain = post.run("rtrans", &["-s", "Example1"]).stdout;
    let expected = "{\n  \"a\": [\n    2\n  ],\n  \"b\": 1,\n  \"c\": {\n    \"y\": 2,\n    \"z\": 1\n  }\n}\n";
    assert_eq!(plain, expected);
    let raw: serde_json::Value = serde_json::from_str(&post.run("rtrans", &["-s", "-r", "Example1"]).stdout).unwrap();
    let meta = &raw[".ipc_transit_meta"];
    assert_eq!((&raw["a"], &meta["lane"]), (&1.into(), &"anon:0".into()));
    assert!(meta["send_ts"].is_u64() && meta["id"].is_string(), "{raw}");
}

#[test]
fn it_waits_for_messages_until_it_is_interrupted() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let post = Post::new();
        let mut running = post.start("rtrans", &["Example1"]);
        post.send("{n => 1}", "Example1");
        assert_eq!(running.lines_to("}"), "{\n  \"n\": 1\n}\n");
        post.send("{n => 2}", "Example1");
        assert_eq!(running.lines_to("}"), "{\n  \"n\": 2\n}\n");
        running.signal(signal);
        assert_eq!(running.exit_code(), 0);
        assert_eq!(post.messages("Example1"), 0);
    }
}

#[test]
fn a_queue_that_is_removed_under_way_is_read_on() {
    let post = Post::new();
    let mut running = post.start("rtrans", &["Example1"]);
    post.send("{n => 1}", "Example1");
    assert_eq!(running.lines_to("}"), "{\n  \"n\": 1\n}\n");
    std::fs::remove_dir_all(post.path().join("Example1")).unwrap();
    post.send("{n => 2}", "Example1");
    assert_eq!(running.lines_to("}"), "{\n  \"n\": 2\n}\n");
    running.signal(Signal::SIGINT);
    assert_eq!(running.exit_code(), 0);
}

#[test]
fn a_queue_that_another_process_reads_is_refused_by_name() {
    let post = Post::new();
    let transit = post.transit();
    let _consumer = post.consume(&transit, "Example1");
    let expected = "queue Example1 is consumed by pid 77, state directory /s";
    post.run("rtrans", &["-s", "Example1"]).refused(69, expected);
}

#[test]
fn a_timeout_ends_the_wait() {
    let post = Post::new();
    post.run("rtrans", &["-s", "--timeout", "0.05", "Example1"]).refused(75, "nothing came in time");
    post.send("{n => 1}", "Example1");
    let outcome = post.run("rtrans", &["-c", "2", "--timeout", "0.05", "Example1"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (75, "{\n  \"n\": 1\n}\n"));
    assert!(outcome.stderr.contains("1 of 2 messages"), "{outcome:?}");
    post.send("{n => 2}", "Example1");
    assert_eq!(post.run("rtrans", &["--timeout", "0.05", "Example1"]).code, 0);
}

#[test]
fn a_closed_output_ends_it_without_losing_a_message() {
    let post = Post::new();
    let mut running = post.start("rtrans", &["Example1"]);
    wait_until("the reader", || {
        let transit = post.transit();
        transit.status(&crate::commands::name("Example1")).unwrap().is_some_and(|status| status.consumer.is_some())
    });
    running.close_stdout();
    assert_eq!(running.exit_code(), 0);
}

#[test]
fn a_message_that_nobody_would_see_stays_in_the_queue() {
    let post = Post::new();
    post.send("{n => 1}", "Example1");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = post.command("rtrans").args(["-s", "Example1"]).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(post.run("rtrans", &["-s", "Example1"]).stdout, "{\n  \"n\": 1\n}\n");
}

#[test]
fn a_full_disk_keeps_the_message_in_the_queue() {
    let post = Post::new();
    post.send("{n => 1}", "Example1");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = post.command("rtrans");
    let child = command.args(["-s", "Example1"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{text}");
    assert!(text.contains("the message is still in the queue"), "{text}");
    assert_eq!(post.messages("Example1"), 1);
}

#[test]
fn a_queue_that_was_not_there_is_doubted() {
    let post = Post::new();
    post.send("{n => 1}", "Example1");
    let outcome = post.run("rtrans", &["-s", "--timeout", "0", "Exampel1"]);
    outcome.refused(75, "there was no queue Exampel1 until now. did you mean \"Example1\"?");
}
