//! The plain sender: a process that appends numbers and writes each down after its append has returned.
//!
//! When it is killed, the number after the last written one may have been appended or not. The next sender leaves
//! that number out: it may appear once or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use multimodule::fields;
use multimodule::message::{Message, Stamp};
use multimodule::name::LaneName;
use multimodule::process::ProcessIdentity;
use multimodule::transit::{Error, Outgoing, Sender, Transit};

use crate::place::{Place, queue_name, task_name};
use crate::tasks::{PLAIN, RING};

/// The first word of this program when it is to be the plain sender.
pub(crate) const SENDER: &str = "chaos sender";
/// So many at most wait in the first queue: more than Count sends ahead, and less than the queue's bound.
const AHEAD: u64 = 20_000;
/// So many are sent between two looks, which lie a pause apart: some 3,000 a second.
const BURST: u32 = 10;
const PAUSE: Duration = Duration::from_millis(3);

/// Is the plain sender, with the words `TRANSIT FILE FIRST`: sends the numbers from FIRST on until it is killed.
pub(crate) fn sender_main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [transit, file, first] = words.as_slice() else { return ExitCode::from(64) };
    let first: i64 = first.to_str().and_then(|text| text.parse().ok()).unwrap();
    let parent = parent_id();
    let transit = Transit::open(Path::new(transit)).unwrap();
    let mut written = File::options().append(true).create(true).open(file).unwrap();
    let sender = lane(&transit);
    let mut n = first;
    // Whoever started us may have been killed too.
    while parent_id() == parent {
        for _ in 0..BURST {
            if append(&sender, n) {
                written.write_all(format!("{n}\n").as_bytes()).unwrap();
                n += 1;
            }
        }
        std::thread::sleep(PAUSE);
        while transit.status(&queue_name(RING[0])).ok().flatten().is_some_and(|queue| queue.messages > AHEAD) {
            std::thread::sleep(PAUSE);
        }
    }
    ExitCode::SUCCESS
}

/// The lane, once the sender before has lost it.
fn lane(transit: &Transit) -> Sender {
    loop {
        match transit.sender(&queue_name(RING[0]), &LaneName::Process(task_name(PLAIN))) {
            Ok(sender) => return sender,
            // A full disk, too, is a matter of time.
            Err(Error::LaneBusy { .. } | Error::Io { .. }) => std::thread::sleep(PAUSE),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether it was accepted; a queue that is full, or cannot be written now, is tried again.
fn append(sender: &Sender, n: i64) -> bool {
    let message = Message::new(fields! { from: PLAIN, n: n, lap: 0 });
    sender.append(&Outgoing { stamp: Stamp::now(), tag: None, body: message.encoded().unwrap() }).is_ok()
}

/// The plain senders of a run, one after the other.
#[derive(Debug)]
pub(crate) struct PlainSender {
    child: Child,
    /// Its first number.
    first: i64,
    /// Numbers that were appended or not.
    pub(crate) doubtful: Vec<i64>,
}

impl PlainSender {
    pub(crate) fn start(place: &Place) -> Self {
        Self { child: spawn(place, 1), first: 1, doubtful: Vec::new() }
    }

    pub(crate) fn identity(&mut self) -> Option<ProcessIdentity> {
        if self.child.try_wait().unwrap().is_some() {
            return None;
        }
        ProcessIdentity::of(self.child.id()).unwrap()
    }

    /// Starts the next one if this one was killed.
    pub(crate) fn start_if_gone(&mut self, place: &Place) {
        if self.child.try_wait().unwrap().is_some() {
            self.doubt(last_written(place));
            self.child = spawn(place, self.first);
        }
    }

    /// Kills the last one; the highest number that was written down.
    pub(crate) fn end(&mut self, place: &Place) -> i64 {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
        let last = last_written(place);
        self.doubt(last);
        last
    }

    /// The one that ended had written down up to `last`.
    fn doubt(&mut self, last: i64) {
        // It may have ended before it wrote anything down.
        let doubtful = self.first.max(last + 1);
        self.doubtful.push(doubtful);
        self.first = doubtful + 1;
    }
}

impl Drop for PlainSender {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(place: &Place, first: i64) -> Child {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(SENDER).arg(place.transit_dir()).arg(place.sent()).arg(first.to_string()).stdin(Stdio::null());
    command.spawn().unwrap()
}

/// The highest number in the file; 0 where there is none.
fn last_written(place: &Place) -> i64 {
    let text = fs::read_to_string(place.sent()).unwrap_or_default();
    text.lines().last().map_or(0, |line| line.parse().unwrap())
}
