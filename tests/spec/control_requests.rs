//! Requests that no client of ours makes: each gets an HTTP error with its reason, and the daemon goes on.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::world::{SOON, World};

/// The most that a daemon holds, whatever it is sent: what it takes anyway, and 64 requests of 1 MiB.
const MOST_KIB: u64 = 200 << 10;
/// Names the socket that this program calls; where it is not set, it calls none.
const CALL: &str = "MULTIMODULE_SPEC_CALL";
/// A user that is nobody.
const NOBODY: u32 = 65_534;

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
    holds_little(&daemon);
}

#[test]
fn a_request_that_does_not_end_is_given_up() {
    let world = World::new();
    let _daemon = daemon(&world);
    let head = b"GET /v1/status HTTP/1.1\r\nhost: x\r\n".to_vec();
    let body = request("PUT /v1/tasks/Example2/state", "content-length: 10\r\n");
    // Both at once: each is waited for.
    let begun = [(head, "no request came within 10 s"), (body, "within 10 s")].map(|(bytes, reason)| {
        let mut stream = connect(&world);
        stream.write_all(&bytes).unwrap();
        (stream, reason)
    });
    for (mut stream, reason) in begun {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains(reason), "{answer}");
    }
}

/// Sends more and more until nothing more is taken: how much that was, and the answer.
fn send_without_end(world: &World, head: &[u8], more: &[u8]) -> (usize, String) {
    let mut stream = connect(world);
    stream.write_all(head).expect("the beginning is taken");
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(more).is_ok() {
        sent += more.len();
    }
    let mut answer = Vec::new();
    // What was answered is there, also where the rest of the request was not taken.
    let _read = stream.read_to_end(&mut answer);
    (sent, String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn a_head_without_end_is_cut_off() {
    let world = World::new();
    let daemon = daemon(&world);
    let begin = b"GET /v1/status HTTP/1.1\r\nhost: x\r\n";
    for more in [b"a: b\r\n".repeat(1000), [b"a: ".as_slice(), &[b'x'; 0x10000]].concat(), vec![b'x'; 0x10000]] {
        let (sent, answer) = send_without_end(&world, begin, &more);
        assert!(sent < 2 << 20, "{sent} bytes were taken");
        assert!(answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large"), "{answer}");
    }
    holds_little(&daemon);
    check(&world, &request("GET /v1/status", ""), 200, "Example2");
}

#[test]
fn an_endless_body_is_cut_off() {
    let world = World::new();
    let daemon = daemon(&world);
    let head = request("PUT /v1/tasks/Example2/state", "transfer-encoding: chunked\r\n");
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let (sent, answer) = send_without_end(&world, &head, &chunk);
    assert!(sent < 16 << 20, "{sent} bytes were taken");
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("larger than 1048576 bytes"), "{answer}");
    holds_little(&daemon);
}

fn holds_little(daemon: &Daemon) {
    let held = resident_kib(daemon.pid());
    assert!(held < MOST_KIB, "the daemon holds {held} KiB");
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_thousand_requests_at_once_good_and_bad_are_all_answered() {
    let world = World::new();
    let daemon = daemon(&world);
    let bad = format!("content-length: {}\r\n", 2 << 20);
    let kinds = [
        (request("GET /v1/status", ""), "HTTP/1.1 200 ", "Example2"),
        (b"hello\r\n\r\n".to_vec(), "HTTP/1.1 400 Bad Request", ""),
        (request("GET /v1/tasks/Nobody", ""), "HTTP/1.1 404 ", "there is no task Nobody"),
        (request("PUT /v1/tasks/Example2/state", &bad), "HTTP/1.1 413 ", "larger than 1048576 bytes"),
    ];
    let streams: Vec<_> = (0..1000).map(|_| connect(&world)).collect();
    for (mut stream, (bytes, ..)) in streams.iter().zip(kinds.iter().cycle()) {
        stream.write_all(bytes).unwrap();
    }
    for (mut stream, (_, code, reason)) in streams.into_iter().zip(kinds.iter().cycle()) {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(code) && answer.contains(reason), "{answer}");
    }
    holds_little(&daemon);
}

/// The names in a directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).expect("the directory is there");
    entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn no_name_in_a_request_is_used_as_a_path() {
    let world = World::new();
    let daemon = daemon(&world);
    fs::write(world.path().join("outside.failsafe"), "a file of somebody").unwrap();
    world.wait_for("its queues", || {
        let queues = names(&world.transit());
        (["Example2", "Router"].iter().all(|name| queues.contains(*name))).then_some(())
    });
    let before = [world.path(), &world.state(), &world.transit()].map(names);
    let text = answer(&world, &request("GET /v1/openapi.json", ""));
    let document: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.contains("{task}")) {
        for method in methods.as_object().unwrap().keys() {
            for name in [
                "..%2Foutside",
                "%2E%2E%2Foutside",
                "%2Fetc%2Fpasswd",
                "..",
                "%2E",
                "a%00b",
                "a%2F..%2Fb",
                "%252E%252E",
            ] {
                let path = path.replace("{task}", name);
                let answer =
                    answer(&world, &request(&format!("{} {path}", method.to_uppercase()), "content-length: 0\r\n"));
                let code = answer.split(' ').nth(1).unwrap_or_default();
                assert!(matches!(code, "400" | "404"), "{method} {path}: {answer}");
                assert!(answer.contains("\"reason\":\""), "{method} {path}: {answer}");
                asked += 1;
            }
        }
    }
    println!("{asked} requests with such names");
    assert!(asked > 50, "{document}");
    assert_eq!([world.path(), &world.state(), &world.transit()].map(names), before);
    drop(daemon);
}

#[test]
fn this_program_can_be_a_caller() {
    let Some(socket) = std::env::var_os(CALL) else { return };
    let mut answer = String::new();
    let called = UnixStream::connect(socket).and_then(|mut stream| {
        stream.write_all(&request("GET /v1/status", ""))?;
        stream.read_to_string(&mut answer)
    });
    println!("{called:?}\n{answer}");
    std::process::exit(0);
}

/// What another user gets who calls: this program, by a descriptor, for its path may not be theirs to read.
fn call_as_nobody(socket: &Path) -> String {
    let program = std::env::current_exe().and_then(File::open).expect("this program can be opened");
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.args(["--exact", "control_requests::this_program_can_be_a_caller", "--nocapture", "--quiet"]);
    let output = command.env(CALL, socket).current_dir("/").uid(NOBODY).gid(NOBODY).output();
    String::from_utf8_lossy(&output.expect("this program can be started by anybody").stdout).into_owned()
}

#[test]
fn another_user_is_refused_with_the_reason_and_that_is_seen_in_the_log() {
    let world = World::new();
    if !nix::unistd::Uid::effective().is_root() {
        println!("only root can call as another user: nothing is checked");
        return;
    }
    let daemon = daemon(&world);
    let socket = world.state().join("control.sock");
    for directory in [world.path(), &world.state()] {
        fs::set_permissions(directory, Permissions::from_mode(0o711)).unwrap();
    }
    let answer = call_as_nobody(&socket);
    assert!(answer.contains("PermissionDenied"), "the kernel keeps others out: {answer}");
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let answer = call_as_nobody(&socket);
    assert!(answer.contains("HTTP/1.1 403 ") && answer.contains("\"kind\":\"forbidden\""), "{answer}");
    assert!(answer.contains(&format!("and you are user {NOBODY}")) && !answer.contains("Example2"), "{answer}");
    daemon.wait_for("a call to the control socket was refused", SOON);
    daemon.wait_for(&format!("user {NOBODY}"), SOON);
    check(&world, &request("GET /v1/status", ""), 200, "Example2");
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
    let outcome = world.ask(&["status", words[0], words[1]]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}
