//! Tests of the queues through the module's public face, in one process.

mod bounds;
mod damage;
mod delivery;
mod follows;
mod idle_lanes;
mod model;
mod under_way;
mod waking;

use std::path::PathBuf;

use super::*;
use crate::message::Stamp;
use crate::name::{LaneName, QueueName};

struct Fixture {
    directory: tempfile::TempDir,
    transit: Transit,
    queue: QueueName,
}

fn out(body: &[u8]) -> Outgoing<'_> {
    Outgoing { stamp: Stamp::at(7), tag: None, body }
}

fn lane(name: &str) -> LaneName {
    name.parse().unwrap()
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let transit = Transit::open(directory.path()).unwrap();
        Self { directory, transit, queue: QueueName::new("q").unwrap() }
    }

    fn sender(&self) -> Sender {
        self.transit.sender(&self.queue, &lane("process:main")).unwrap()
    }

    fn consumer(&self) -> Consumer {
        self.consumer_of(&self.transit).unwrap()
    }

    fn consumer_of(&self, transit: &Transit) -> Result<Consumer, Error> {
        let bell = Bell::open(transit)?;
        transit.consumer(&self.queue, None, &Reader { bell, waker: None, description: "pid 7".to_owned() })
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::default();
        change(&mut settings);
        self.transit.set_settings(&self.queue, &settings).unwrap();
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.directory.path().join("q/lane.1"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }
}

fn drain(consumer: &mut Consumer) -> Vec<Taken> {
    let mut batch = Vec::new();
    while consumer.take(&mut batch).unwrap() > 0 {}
    batch
}

fn bodies(taken: &[Taken]) -> Vec<String> {
    taken.iter().map(|taken| String::from_utf8_lossy(&taken.body).into_owned()).collect()
}

fn finish_all(consumer: &mut Consumer, taken: &[Taken]) {
    for taken in taken {
        consumer.finish(taken.lane, taken.end, taken.count);
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn append_numbers(sender: &Sender, range: std::ops::Range<u32>) {
    for n in range {
        sender.append(&out(n.to_string().as_bytes())).unwrap();
    }
}
