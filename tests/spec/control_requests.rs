//! Requests that no client of ours makes: each gets an HTTP error with its reason, and the daemon goes on.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::world::{SOON, World};

fn daemon(world: &World) -> Daemon {
    let daemon = world.daemon().config("{ Example2 => {} }").prefix("mytasks::").start();
    daemon.wait_for("runs", SOON);
    daemon
}

fn connect(world: &World) -> UnixStream {
    let stream = UnixStream::connect(world.state().join("control.sock")).expect("the daemon listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out of a socket");
    stream
}

/// All that is answered to these bytes. Who answers early may close before it has read them all.
fn answer(world: &World, bytes: &[u8]) -> String {
    let mut stream = connect(world);
    let _sent = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(line: &str, more: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nhost: x\r\n{more}\r\n").into_bytes()
}

fn check(world: &World, bytes: &[u8], code: u16, reason: &str) {
    let answer = answer(world, bytes);
    assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(reason), "{code} {reason}: {answer}");
}

#[test]
fn what_is_no_request_of_ours_is_refused_with_its_reason() {
    let world = World::new();
    let daemon = daemon(&world);
    check(&world, &request("GET /v1/status", ""), 200, "Example2");
    check(&world, b"hello\r\n\r\n", 400, "Bad Request");
    check(&world, &request("GET /", ""), 404, "there is nothing at /");
    check(&world, &request("POST /v1/status", ""), 405, "GET does");
    check(&world, &request("GET /v1/status?colour=red", ""), 400, "is no parameter here");
    check(&world, &request("GET /v1/tasks/..%2F..%2Fetc%2Fpasswd", ""), 400, "no name may hold");
    check(&world, &request("GET /v1/tasks/..%2Fdaemon/log", ""), 400, "no name may hold");
    check(&world, &request("GET /v1/tasks/../../etc/passwd", ""), 404, "there is nothing");
    check(&world, &request("DELETE /v1/failsafe/%2E%2E%2Fx", ""), 400, "no name may hold");
    check(&world, &request("GET /v1/tasks/%zz", ""), 400, "percent sign");
    check(&world, &request("GET /v1/tasks/Nobody", ""), 404, "there is no task Nobody");
    check(&world, &request("GET /v1/log?lines=many", ""), 400, "lines is no number");
    check(&world, &request(&format!("GET /{}", "x".repeat(100_000)), ""), 431, "");
    let huge = format!("content-length: {}\r\n", 2 << 20);
    let body = vec![b'x'; 2 << 20];
    check(&world, &[request("PUT /v1/tasks/Example2/state", &huge), body].concat(), 413, "larger than 1048576 bytes");
    check(&world, &request("GET /v1/status", "content-length: nonsense\r\n"), 400, "Bad Request");
    check(&world, &request("GET /v1/status", &"a: b\r\n".repeat(1000)), 431, "");
    check(&world, &request("GET /v1/status", ""), 200, "Example2");
    drop(daemon);
}

#[test]
fn an_endless_request_is_given_up() {
    let world = World::new();
    let _daemon = daemon(&world);
    let mut stream = connect(&world);
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("no request came within 10 s"), "{answer}");
}

#[test]
fn an_endless_body_is_cut_off() {
    let world = World::new();
    let daemon = daemon(&world);
    let mut stream = connect(&world);
    stream.write_all(&request("PUT /v1/tasks/Example2/state", "transfer-encoding: chunked\r\n")).unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 16 << 20, "{sent} bytes were taken");
    let held = resident_kib(daemon.pid());
    assert!(held < 200 << 10, "the daemon holds {held} KiB");
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_thousand_requests_at_once_are_all_answered() {
    let world = World::new();
    let daemon = daemon(&world);
    let streams: Vec<_> = (0..1000).map(|_| connect(&world)).collect();
    for mut stream in &streams {
        stream.write_all(&request("GET /v1/status", "")).unwrap();
    }
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let held = resident_kib(daemon.pid());
    assert!(held < 200 << 10, "the daemon holds {held} KiB");
}

#[test]
fn the_document_lists_what_there_is_and_each_of_it_is_answered() {
    let world = World::new();
    let _daemon = daemon(&world);
    let text = answer(&world, &request("GET /v1/openapi.json", ""));
    let document: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 10, "{document}");
    for (path, methods) in paths.iter().filter(|(path, _)| *path != "/v1/stop") {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{task}", "Example2");
            let answer = answer(&world, &request(&format!("{} {path}", method.to_uppercase()), ""));
            let code = answer.split(' ').nth(1).unwrap_or_default();
            assert!(!matches!(code, "404" | "405" | "500" | ""), "{method} {path}: {answer}");
            let known = &methods[method]["responses"];
            assert!(known.get(code).is_some(), "{method} {path} answers {code}, and the document has {known}");
        }
    }
}

#[test]
fn the_socket_is_its_users_alone_and_reached_also_by_a_long_path() {
    let world = World::new();
    let deep = world.path().join("d".repeat(120)).join("state");
    let words = ["-s", deep.to_str().unwrap()];
    let daemon = world.daemon().arg(words[0]).arg(words[1]).start();
    daemon.wait_for("runs", SOON);
    let mode = std::fs::metadata(deep.join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let outcome = world.run(env!("CARGO_BIN_EXE_multimodule"), &["status", words[0], words[1]]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}
