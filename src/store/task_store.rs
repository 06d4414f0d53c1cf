//! The files of one task: reading, writing, moving aside.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use super::aside::{LONGEST_SUFFIX, move_aside, prune};
use super::decoding::{HeaderLine, decode};
use super::encoding::{Encoder, MAX_HEADER_BYTES};
use super::error::{RecordFault, StoreError};
use super::record::Record;
use super::recovery::{Aside, Choice, Content, Found, Place, Recovered, Taken, choose};
use super::written::{self, Written};
use crate::name::{MAX_NAME_BYTES, TaskName};
use crate::process::{FileError, make_state_dir};

/// A slot file is cut to its record only when it is longer than this many bytes and four times the record: a state
/// that shrinks and grows should not pay for new blocks each time.
const SLACK_BYTES: u64 = 64 * 1024;

/// The records of one stateful task. Whoever has it holds the task's [`OwnerLock`](crate::process::OwnerLock).
///
/// [`recover`](Self::recover) comes first. After it, records are written in the order of their numbers.
#[derive(Debug)]
pub struct TaskStore {
    state_dir: PathBuf,
    task: TaskName,
    encoder: Encoder,
    slots: [Option<File>; 2],
    /// The number of the record to be written next; none before recovery.
    next: Option<u64>,
    /// The epoch of the record in `NAME.state`, if one is there.
    checkpoint_epoch: Option<u64>,
    written: Written,
}

impl TaskStore {
    /// The records of `task` in `state_dir` (made, 0700, where it is missing). No file is opened or made yet.
    ///
    /// # Errors
    /// The directory cannot be made, or the task's name leaves no room for the names of its files.
    pub fn open(state_dir: &Path, task: &TaskName) -> Result<Self, StoreError> {
        let limit = MAX_NAME_BYTES - LONGEST_SUFFIX.len();
        if task.as_str().len() > limit {
            return Err(StoreError::NameTooLong { task: task.clone(), limit });
        }
        make_state_dir(state_dir)?;
        Ok(Self {
            state_dir: state_dir.to_owned(),
            task: task.clone(),
            encoder: Encoder::default(),
            slots: [None, None],
            next: None,
            checkpoint_epoch: None,
            written: Written::default(),
        })
    }

    /// Finds the record to go on from: the newest whole one that `check` takes. Files that are damaged, that `check`
    /// refuses (its error is the reason, for people) or that are of another history are moved aside.
    ///
    /// # Errors
    /// [`StoreError::NoneGood`] where records are there and none can be taken, [`StoreError::NewerFormat`] where a
    /// newer program wrote one: then nothing is touched. [`StoreError::File`] where a file cannot be read or moved.
    pub fn recover(&mut self, check: &mut dyn FnMut(&Record) -> Result<(), String>) -> Result<Recovered, StoreError> {
        let found = self.read_all()?;
        if found.is_empty() {
            self.next = Some(1);
            return Ok(Recovered::Fresh);
        }
        let Choice { taken, aside, checkpoint_epoch } = choose(found, check);
        let Some((place, from, record)) = taken else {
            return Err(self.none_good(aside));
        };
        let aside = self.put_aside(aside)?;
        self.next = record.n.checked_add(1);
        // A person may have put a record into the slot whose turn is next, and writing there would tear it. With no
        // checkpoint to rely on, the next record is checkpointed first.
        let in_the_way = Some(place) == self.next.map(Place::of);
        self.checkpoint_epoch = checkpoint_epoch.filter(|_| !in_the_way);
        Ok(Recovered::Taken(Taken { record, from, aside }))
    }

    /// Writes the next record in place. It survives a kill of this process when this returns, a power cut only after
    /// [`sync`](Self::sync) or [`checkpoint`](Self::checkpoint). After an error the record before holds, and the
    /// record of the same number may be written again.
    ///
    /// The first record ever is checkpointed first (it takes a sync), and so is one of a new epoch, after.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::TooLarge`].
    ///
    /// # Panics
    /// When the record's number is not one more than that of the last one written or recovered (1 for the first):
    /// it would take the place of the newest.
    pub fn write(&mut self, record: &Record) -> Result<(), StoreError> {
        assert_eq!(Some(record.n), self.next, "records of task {} are recovered, then written in order", self.task);
        if self.checkpoint_epoch.is_none() {
            self.checkpoint(record)?;
        }
        self.write_slot(record)?;
        if self.checkpoint_epoch != Some(record.epoch) {
            self.checkpoint(record)?;
        }
        // Last: after any error the record of this number may be written again.
        self.next = record.n.checked_add(1);
        Ok(())
    }

    /// Writes `record`, the newest one, to `NAME.state`: beside, synced, renamed. It survives a power cut when this
    /// returns. It takes as long as the disk takes: 1 ms and up.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::TooLarge`].
    ///
    /// # Panics
    /// When nothing was recovered yet.
    pub fn checkpoint(&mut self, record: &Record) -> Result<(), StoreError> {
        assert!(self.next.is_some(), "records of task {} are recovered before one is written", self.task);
        let (path, beside) = (self.path(Place::Checkpoint.suffix()), self.path(".state.tmp"));
        let bytes = encode(&mut self.encoder, &self.task, record)?;
        written::add(bytes.len());
        put_in_place(bytes, &beside, &path).inspect_err(|_| {
            // On a full disk it only takes room. That it cannot be removed either would not add to the error.
            let _removed = std::fs::remove_file(&beside);
        })?;
        failpoint!("commit.checkpoint_named");
        sync_directory(&self.state_dir)?;
        self.checkpoint_epoch = Some(record.epoch);
        Ok(())
    }

    /// Syncs the record that was written last: after it, it survives a power cut.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let Some(last) = self.next.and_then(|next| next.checked_sub(1)) else { return Ok(()) };
        if let Some(slot) = &self.slots[slot_index(last)] {
            self.written.synced(slot_index(last));
            slot.sync_data().map_err(FileError::of(&self.path(Place::of(last).suffix()), "sync"))?;
        }
        Ok(())
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.state_dir.join(format!("{}{suffix}", self.task))
    }

    fn read_all(&self) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        for place in Place::ALL {
            let path = self.path(place.suffix());
            let Some(content) = read(&path)? else { continue };
            if let Content::Bad { fault: RecordFault::NewerFormat(format), .. } = content {
                return Err(StoreError::NewerFormat { path, found: format });
            }
            found.push(Found { place, path, content });
        }
        Ok(found)
    }

    fn none_good(&self, aside: Vec<(Aside, bool)>) -> StoreError {
        StoreError::NoneGood {
            task: self.task.clone(),
            state_file: self.path(Place::Checkpoint.suffix()),
            files: aside.into_iter().map(|(aside, _)| aside).collect(),
        }
    }

    fn put_aside(&self, files: Vec<(Aside, bool)>) -> Result<Vec<Aside>, StoreError> {
        let now = Timestamp::now();
        let mut aside = Vec::new();
        for (mut file, to_be_moved) in files {
            if to_be_moved {
                file.moved_to = Some(move_aside(&file.path, now)?);
            }
            aside.push(file);
        }
        if aside.iter().any(|file| file.moved_to.is_some()) {
            prune(&self.state_dir, &self.task)?;
        }
        Ok(aside)
    }

    /// One write over what is there, then the length, if it is far too much: the bytes behind a record do not count.
    fn write_slot(&mut self, record: &Record) -> Result<(), StoreError> {
        let path = self.path(Place::of(record.n).suffix());
        let bytes = encode(&mut self.encoder, &self.task, record)?;
        let (file, length) = slot_file(&mut self.slots[slot_index(record.n)], &path)?;
        file.write_all_at(bytes, 0).map_err(FileError::of(&path, "write"))?;
        failpoint!("commit.slot_written");
        self.written.slot(slot_index(record.n), bytes.len(), Instant::now());
        let needed = bytes.len() as u64;
        if length > SLACK_BYTES.max(needed.saturating_mul(4)) {
            file.set_len(needed).map_err(FileError::of(&path, "cut"))?;
        }
        Ok(())
    }
}

/// The newest whole record of a task, for whoever only wants to look: nothing is moved or locked. None where there is
/// no record.
///
/// # Errors
/// [`StoreError`]: as of [`TaskStore::recover`], but no code judges the state.
pub fn peek(state_dir: &Path, task: &TaskName) -> Result<Option<Record>, StoreError> {
    let store = TaskStore::open(state_dir, task)?;
    let found = store.read_all()?;
    if found.is_empty() {
        return Ok(None);
    }
    let Choice { taken, aside, .. } = choose(found, &mut |_| Ok(()));
    taken.map(|(_, _, record)| Some(record)).ok_or_else(|| store.none_good(aside))
}

fn slot_index(n: u64) -> usize {
    usize::from(!n.is_multiple_of(2))
}

fn encode<'a>(encoder: &'a mut Encoder, task: &TaskName, record: &Record) -> Result<&'a [u8], StoreError> {
    encoder.encode(record).map_err(|bytes| StoreError::TooLarge { task: task.clone(), bytes })
}

/// The open file of a slot with its length. One that was removed or replaced under way is made anew: what is written
/// to a file without a name is lost.
fn slot_file<'a>(slot: &'a mut Option<File>, path: &Path) -> Result<(&'a File, u64), FileError> {
    let mut open = None;
    if let Some(file) = slot.take() {
        let facts = file.metadata().map_err(FileError::of(path, "look at"))?;
        open = (facts.nlink() > 0).then_some((file, facts.len()));
    }
    let (file, length) = match open {
        Some(open) => open,
        None => {
            let file = create(path)?;
            let length = file.metadata().map_err(FileError::of(path, "look at"))?.len();
            (file, length)
        }
    };
    Ok((slot.insert(file), length))
}

/// Opens a file to be written, making it (0600) where it is missing; what it holds stays.
fn create(path: &Path) -> Result<File, FileError> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NONBLOCK);
    options.open(path).map_err(FileError::of(path, "open"))
}

/// Writes a file beside, syncs it, and gives it its name.
fn put_in_place(bytes: &[u8], beside: &Path, path: &Path) -> Result<(), FileError> {
    let mut file = create(beside)?;
    file.set_len(0).map_err(FileError::of(beside, "cut"))?;
    file.write_all(bytes).map_err(FileError::of(beside, "write"))?;
    file.sync_data().map_err(FileError::of(beside, "sync"))?;
    failpoint!("commit.checkpoint_synced");
    std::fs::rename(beside, path).map_err(FileError::of(beside, "rename"))
}

fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(FileError::of(path, "sync"))
}

/// What the file at `path` holds; none where there is none.
fn read(path: &Path) -> Result<Option<Content>, FileError> {
    // Not blocking: somebody may have put a FIFO there.
    let file = match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::new(path, "open", error)),
    };
    let facts = file.metadata().map_err(FileError::of(path, "look at"))?;
    if !facts.is_file() {
        return Err(FileError::new(path, "read", io::Error::other("it is no file; move it away")));
    }
    match read_record(&file, facts.len()) {
        Ok(content) => Ok(Some(content)),
        // A disk that fails at one file may hold another.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => {
            Ok(Some(Content::Bad { header: None, fault: RecordFault::Unreadable(error.to_string()) }))
        }
        Err(error) => Err(FileError::new(path, "read", error)),
    }
}

/// Reads the header, then as much as it announces: never more than the file holds.
fn read_record(file: &File, length: u64) -> io::Result<Content> {
    let mut start = vec![0; MAX_HEADER_BYTES.min(usize::try_from(length).unwrap_or(MAX_HEADER_BYTES))];
    file.read_exact_at(&mut start, 0)?;
    let line = match HeaderLine::parse(&start) {
        Ok(line) => line,
        Err(fault) => return Ok(Content::Bad { header: None, fault }),
    };
    let header = Some(line.header);
    let expected = match line.record_length() {
        Ok(expected) => expected,
        Err(fault) => return Ok(Content::Bad { header, fault }),
    };
    if expected as u64 > length {
        let fault = RecordFault::CutShort { expected: expected as u64, found: length };
        return Ok(Content::Bad { header, fault });
    }
    let mut bytes = vec![0; expected];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(match decode(&bytes) {
        Ok(record) => Content::Whole(record),
        Err(fault) => Content::Bad { header, fault },
    })
}
