//! Processes that are killed while they write, and disks that are full.
//!
//! The processes are this test binary again, with one test alone, which finds [`CHILD`] set.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::{Record, Recovered, StoreError};
use super::sample::{file, record, recover, taken, written};
use crate::process::ignore_file_size_signal;

const CHILD: &str = "MULTIMODULE_TEST_CHILD";
const STORM: &str = "two_hundred_kills_lose_no_record_that_was_acknowledged";
const FULL: &str = "a_full_disk_leaves_the_older_record_and_can_be_tried_again";

fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("store::tests::kills::{test}"), "--test-threads=1"]);
    command.env(CHILD, dir).stdin(Stdio::null());
    command
}

/// A record whose size and content follow from `n`: from a few bytes to 200 KiB.
fn stormy(n: u64) -> Record {
    let mut record = record(n);
    let length = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 200_000;
    record.state = format!("{n} ").repeat(length as usize / 8);
    record
}

/// Writes records until it is killed, and tells of each that is written.
fn write_until_killed(dir: &Path) {
    let (mut store, recovered) = recover(dir);
    let first = match recovered.unwrap() {
        Recovered::Fresh => 1,
        Recovered::Taken(taken) => taken.record.n + 1,
    };
    for n in first.. {
        let record = stormy(n);
        store.write(&record).unwrap();
        // Not through `print!`, which the test harness keeps to itself.
        std::io::stdout().write_all(format!("written {n}\n").as_bytes()).unwrap();
        if n % 16 == 0 {
            store.checkpoint(&record).unwrap();
        }
    }
}

/// The number of the last record that the child told of, killed after `kill_after` of them.
fn last_written_before_kill(dir: &Path, kill_after: usize) -> Option<u64> {
    let mut child = child(STORM, dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while text.matches("written").count() < kill_after {
        assert_ne!(lines.read_line(&mut text).unwrap(), 0, "the child ended by itself: {text}");
    }
    child.kill().unwrap();
    lines.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    // The first line begins with what the test harness says.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| line.rsplit_once("written ")?.1.parse().ok()).next_back()
}

#[test]
fn two_hundred_kills_lose_no_record_that_was_acknowledged() {
    if let Some(dir) = std::env::var_os(CHILD) {
        write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut torn, mut ahead) = (0, 0);
    for round in 0..200 {
        let acknowledged = last_written_before_kill(dir.path(), 1 + round * 7 % 12).unwrap();
        let (_, taken) = taken(dir.path());
        let n = taken.record.n;
        assert!(n == acknowledged || n == acknowledged + 1, "round {round}: {n} after {acknowledged}");
        assert_eq!(taken.record, stormy(n));
        assert!(!taken.rolled_back(), "{:?}", taken.aside);
        torn += taken.aside.len();
        ahead += u64::from(n > acknowledged);
    }
    println!("of 200 kills {torn} tore a slot, {ahead} came after the write and before its acknowledgement");
}

fn write_to_a_full_disk(dir: &Path) {
    ignore_file_size_signal().unwrap();
    let mut store = written(dir, 3);
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_FSIZE).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_FSIZE, 100_000, hard).unwrap();
    let mut large = record(4);
    large.state = "x".repeat(1 << 20);
    for _ in 0..2 {
        let error = store.write(&large).unwrap_err();
        assert!(matches!(error, StoreError::File(_)), "{error}");
        assert!(error.to_string().contains("Task.state.0"), "{error}");
    }
    let error = store.checkpoint(&large).unwrap_err();
    assert!(error.to_string().contains("ulimit -f"), "{error}");
    std::process::exit(0);
}

#[test]
fn a_full_disk_leaves_the_older_record_and_can_be_tried_again() {
    if let Some(dir) = std::env::var_os(CHILD) {
        write_to_a_full_disk(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let output = child(FULL, dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!file(dir.path(), ".tmp").exists(), "a file that only takes room was left");
    let (mut store, taken_then) = taken(dir.path());
    assert_eq!(taken_then.record, record(3));
    assert!(!taken_then.rolled_back());
    store.write(&record(4)).unwrap();
    assert_eq!(taken(dir.path()).1.record, record(4));
}
