//! The records of a world's stateful tasks: read, kept, restored and damaged.

use std::fs;
use std::path::PathBuf;

use multimodule::name::TaskName;
use multimodule::store::{Recovered, TaskStore};

use crate::world::World;

/// The three files of a task as they were.
#[derive(Debug)]
pub(crate) struct Kept(Vec<(PathBuf, Vec<u8>)>);

impl World {
    /// The state of a task that nobody runs: RON text.
    pub(crate) fn saved_state(&self, task: &str) -> String {
        let task = TaskName::new(task).expect("a spec's task has a name");
        let mut store = TaskStore::open(&self.state(), &task).expect("the state directory is there");
        match store.recover(&mut |_| Ok(())).expect("there is a good record") {
            Recovered::Taken(taken) => taken.record.state,
            Recovered::Fresh => panic!("{task} has no record"),
        }
    }

    /// The task's files, the one with the newest record first; of two with the same record the slot.
    pub(crate) fn records(&self, task: &str) -> Vec<PathBuf> {
        let paths = [".state.0", ".state.1", ".state"].map(|suffix| self.state().join(format!("{task}{suffix}")));
        let mut numbered: Vec<_> = paths.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
        numbered.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        numbered.into_iter().map(|(_, path)| path).collect()
    }

    /// The files that hold the task's newest record: a slot, and after an orderly end the checkpoint.
    pub(crate) fn newest_records(&self, task: &str) -> Vec<PathBuf> {
        let mut paths = self.records(task);
        let newest = paths.first().and_then(|path| number(path));
        paths.retain(|path| number(path) == newest);
        paths
    }

    /// Remembers the task's files.
    pub(crate) fn keep_records(&self, task: &str) -> Kept {
        Kept(self.records(task).into_iter().map(|path| (path.clone(), read(&path))).collect())
    }
}

impl Kept {
    /// Puts the files back.
    pub(crate) fn restore(&self) {
        self.0.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("the state directory is writable"));
    }

    /// Whether the files are as they were.
    pub(crate) fn is_untouched(&self) -> bool {
        self.0.iter().all(|(path, bytes)| read(path) == *bytes)
    }
}

/// Changes a byte behind the header.
pub(crate) fn damage(path: &PathBuf) {
    let mut bytes = read(path);
    let line = bytes.iter().position(|byte| *byte == b'\n').expect("a record begins with a line");
    bytes[line + 2] ^= 0x40;
    fs::write(path, bytes).expect("the state directory is writable");
}

/// Leaves the first half of the file.
pub(crate) fn cut_in_half(path: &PathBuf) {
    let bytes = read(path);
    fs::write(path, &bytes[..bytes.len() / 2]).expect("the state directory is writable");
}

fn read(path: &PathBuf) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The number in a record's header.
fn number(path: &PathBuf) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    let header = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\n').next()?).into_owned();
    header.split(' ').find_map(|word| word.strip_prefix("n=")?.parse().ok())
}
