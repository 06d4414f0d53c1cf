//! Records and stores to test with.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::{
    OutboxEntry, OutputMark, PendingEntry, Position, Record, Recovered, StoreError, Taken, TaskStore, UnderWay,
};
use crate::message::{MessageId, Stamp};
use crate::name::{QueueName, TaskName};

pub(super) const EPOCH: u64 = 0x0123_4567_89ab_cdef;

pub(super) fn stamp(count: u64) -> Stamp {
    Stamp { id: MessageId { maker: 7, count }, time_ns: 1_700_000_000_000_000_000 }
}

/// A record with something in each section; what is in it follows from `n`.
pub(super) fn record(n: u64) -> Record {
    let queue = QueueName::new("Example2").unwrap();
    Record {
        epoch: EPOCH,
        n,
        state: format!("(ct: {n})"),
        positions: vec![Position { lane: 9, name: "anon:0".to_owned(), position: n * 100, count: n }],
        outputs: vec![OutputMark { queue: queue.clone(), lane: 11, count: n }],
        outbox: vec![OutboxEntry { queue, index: 0, stamp: stamp(n), body: Bytes::from_static(b"body") }],
        pending: vec![PendingEntry {
            task: TaskName::new("Print").unwrap(),
            stamp: stamp(n),
            body: Bytes::from_static(b""),
        }],
        under_way: Some(UnderWay { lane: 9, position: n * 100, ended: 1 }),
    }
}

pub(super) fn task() -> TaskName {
    TaskName::new("Task").unwrap()
}

pub(super) fn file(dir: &Path, suffix: &str) -> PathBuf {
    dir.join(format!("Task.state{suffix}"))
}

/// What recovery says, and the store to go on with.
pub(super) fn recover(dir: &Path) -> (TaskStore, Result<Recovered, StoreError>) {
    let mut store = TaskStore::open(dir, &task()).unwrap();
    let recovered = store.recover(&mut |_| Ok(()));
    (store, recovered)
}

/// What recovery takes; it has to take something.
pub(super) fn taken(dir: &Path) -> (TaskStore, Taken) {
    match recover(dir) {
        (store, Ok(Recovered::Taken(taken))) => (store, taken),
        (_, other) => panic!("nothing was taken: {other:?}"),
    }
}

/// A task that has written the records 1 to `last`; its checkpoint is the first.
pub(super) fn written(dir: &Path, last: u64) -> TaskStore {
    let (mut store, recovered) = recover(dir);
    assert_eq!(recovered.unwrap(), Recovered::Fresh);
    (1..=last).for_each(|n| store.write(&record(n)).unwrap());
    store
}

/// The names and contents of all files of a directory.
pub(super) fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}
