//! Following one file, also when it is rotated, truncated, removed and made again.
//!
//! ```text
//!             no file of that name                    appears
//!   ┌──────────────────────────────► waiting ───────────────────┐
//!   │                                   ▲                       ▼
//! first look ──────────────────────► following ──► another file has the name and holds something
//!                                    │       ▲                  │
//!         shorter than what was read,│       │ from its start   │ the old one to its end, also if it has
//!         or begins otherwise        └───────┘ ◄────────────────┘ another name by now, or none
//! ```
//!
//! Invariant: a place names one file by device and inode, never by its name alone; a file that has the same inode
//! but does not begin with the same bytes is another file.
//! Invariant: whether another file has the name is looked at before the old one is read to its end, so what was
//! written ahead of the rotation is read.
//!
//! It does not read compressed files, and not what a `copytruncate` took away between two looks: to a reader those
//! lines are not in the file.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use multimodule::sdk::{Deserialize, Serialize};

use super::lines::{After, Cursor, Line};

/// How many bytes at a file's start tell it from others: two or three lines of a log, which begin with a time.
const FINGERPRINT_BYTES: usize = 256;

/// How many names of a directory are looked through for a rotated file; a directory of logs holds some hundreds.
const MAX_NAMES: usize = 10_000;

/// Where the reading of a file stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    /// The file's device; 0, with the inode, while there is no file.
    device: u64,
    /// The file's inode.
    inode: u64,
    /// How far it has been read.
    cursor: Cursor,
    /// What it begins with.
    fingerprint: Fingerprint,
}

/// What a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Fingerprint {
    /// How many bytes of the start it covers, up to 256.
    bytes: usize,
    /// Their checksum.
    crc32c: u32,
}

/// Where to begin in a file that is there at the first look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Begin {
    /// At its start.
    #[default]
    Start,
    /// At its end. A file that appears later is read from its start.
    End,
}

/// How much one look may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) bytes: usize,
    pub(super) lines: usize,
}

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) lines: Vec<Line>,
    /// How many bytes were read.
    pub(super) bytes: usize,
    /// Whether there is more to read at once.
    pub(super) more: bool,
    pub(super) news: Vec<News>,
}

/// Something that a person may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// It cannot be read, for this reason; said once.
    Fault(String),
    /// It can be read again.
    Back,
    /// Another file has the name now, and the old one was read to its end.
    Rotated,
    /// It was made shorter, or other content was put in its place, after this many bytes of it had been read.
    Restarted { position: u64 },
    /// The file that was read last is gone; what it held after this many bytes is not read.
    Lost { position: u64 },
}

/// Follows one file.
#[derive(Debug)]
pub(super) struct Follower {
    /// Its name, as the config has it.
    file: String,
    /// The file that is being read. Held open, so that its rest can be read when it has lost its name, and so that
    /// nobody gets its inode meanwhile.
    held: Option<File>,
    /// The fault that was said last.
    fault: Option<String>,
}

impl Follower {
    pub(super) fn new(file: String) -> Self {
        Self { file, held: None, fault: None }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Reads on from `place`; `None` is a file that was never looked at.
    pub(super) fn look(&mut self, place: &mut Option<Place>, begin: Begin, budget: Budget) -> Look {
        let mut look = Look::default();
        match self.read_on(place, begin, budget, &mut look) {
            Ok(()) if self.fault.take().is_some() => look.news.push(News::Back),
            Ok(()) => {}
            Err(error) => {
                let fault = match error.kind() {
                    io::ErrorKind::NotFound => "there is no such file".to_owned(),
                    _ => error.to_string(),
                };
                if self.fault.as_ref() != Some(&fault) {
                    look.news.push(News::Fault(fault.clone()));
                    self.fault = Some(fault);
                }
            }
        }
        look
    }

    fn read_on(&mut self, place: &mut Option<Place>, begin: Begin, budget: Budget, look: &mut Look) -> io::Result<()> {
        let named = existing(fs::metadata(&self.file))?;
        let (file, place) = match self.held.take() {
            Some(file) => (file, place.get_or_insert_default()),
            None => match self.find(place, begin, look) {
                Ok(file) => (file, place.get_or_insert_default()),
                Err(error) => {
                    if error.kind() == io::ErrorKind::NotFound {
                        place.get_or_insert_with(Place::waiting);
                    }
                    return Err(error);
                }
            },
        };
        let metadata = file.metadata()?;
        if !place.fits(&file, &metadata)? {
            look.news.push(News::Restarted { position: place.cursor.position });
            *place = Place::start(&metadata);
        }
        let after = after(&metadata, named.as_ref());
        let is_done = place.take(&file, metadata.len(), after, budget, look)?;
        match (is_done && after == After::Nothing, named) {
            (false, _) => self.held = Some(file),
            (true, Some(_)) => {
                look.news.push(News::Rotated);
                look.more = true;
                *place = Place::waiting();
            }
            (true, None) => *place = Place::waiting(),
        }
        Ok(())
    }

    /// Opens the file to read: the one of `place`, under whatever name, else the one of the name.
    fn find(&self, place: &mut Option<Place>, begin: Begin, look: &mut Look) -> io::Result<File> {
        let named = existing(open(Path::new(&self.file)))?;
        let place = match place {
            None => {
                let (file, metadata) = named.ok_or(io::ErrorKind::NotFound)?;
                *place =
                    Some(if begin == Begin::End { Place::end(&file, &metadata)? } else { Place::start(&metadata) });
                return Ok(file);
            }
            Some(place) => place,
        };
        if let Some((file, metadata)) = named.as_ref()
            && (place.inode == 0 || place.is(metadata))
        {
            place.device = metadata.dev();
            place.inode = metadata.ino();
            return file.try_clone();
        }
        if let Some(file) = self.rotated(place) {
            return Ok(file);
        }
        let (file, metadata) = named.ok_or(io::ErrorKind::NotFound)?;
        look.news.push(News::Lost { position: place.cursor.position });
        *place = Place::start(&metadata);
        Ok(file)
    }

    /// The file of `place` among those whose names begin with this one's, as `NAME.1` does.
    fn rotated(&self, place: &Place) -> Option<File> {
        let path = Path::new(&self.file);
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = path.file_name()?.as_encoded_bytes();
        let entries = fs::read_dir(directory).ok()?.take(MAX_NAMES).filter_map(Result::ok);
        let ours = entries
            .filter(|entry| entry.ino() == place.inode && entry.file_name().as_encoded_bytes().starts_with(name));
        ours.filter_map(|entry| open(&entry.path()).ok())
            .find(|(file, metadata)| place.is(metadata) && place.fits(file, metadata).unwrap_or(false))
            .map(|(file, _)| file)
    }
}

impl Place {
    /// No file yet; whichever appears is read from its start.
    fn waiting() -> Self {
        Self { cursor: Cursor::start(), ..Self::default() }
    }

    fn start(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), ..Self::waiting() }
    }

    fn end(file: &File, metadata: &Metadata) -> io::Result<Self> {
        let size = metadata.len();
        let is_inside_line = size > 0 && read_at(file, size - 1, 1)? != b"\n";
        let mut place = Self { cursor: Cursor::end(size, is_inside_line), ..Self::start(metadata) };
        place.fingerprint = place.fingerprint_of(file)?;
        Ok(place)
    }

    fn is(&self, metadata: &Metadata) -> bool {
        (self.device, self.inode) == (metadata.dev(), metadata.ino())
    }

    /// Whether `file` still holds what was read of it, as far as its size and its start tell.
    fn fits(&self, file: &File, metadata: &Metadata) -> io::Result<bool> {
        Ok(metadata.len() >= self.cursor.position && Fingerprint::of(file, self.fingerprint.bytes)? == self.fingerprint)
    }

    /// Takes lines of `file`, which is `size` bytes long; returns whether all of it has been taken.
    fn take(&mut self, file: &File, size: u64, after: After, budget: Budget, look: &mut Look) -> io::Result<bool> {
        let left = size.saturating_sub(self.cursor.position);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(budget.bytes);
        let bytes = read_at(file, self.cursor.position, wanted)?;
        let is_whole = bytes.len() as u64 == left;
        let after = if is_whole { after } else { After::Perhaps };
        let lines_before = look.lines.len();
        let taken = self.cursor.take(&bytes, after, budget.lines, &mut look.lines);
        let is_bounded = look.lines.len() - lines_before == budget.lines && taken < bytes.len();
        look.bytes += bytes.len();
        look.more |= is_bounded || !is_whole;
        if taken > 0 && self.fingerprint.bytes < FINGERPRINT_BYTES {
            self.fingerprint = self.fingerprint_of(file)?;
        }
        Ok(is_whole && taken == bytes.len())
    }

    /// The fingerprint of what has been read, which will not change any more.
    fn fingerprint_of(&self, file: &File) -> io::Result<Fingerprint> {
        let read = usize::try_from(self.cursor.position).unwrap_or(usize::MAX);
        Fingerprint::of(file, read.min(FINGERPRINT_BYTES))
    }
}

impl Fingerprint {
    fn of(file: &File, bytes: usize) -> io::Result<Self> {
        let start = read_at(file, 0, bytes)?;
        Ok(Self { bytes: start.len(), crc32c: crc32c::crc32c(&start) })
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "cannot be read, waiting for it: {fault}"),
            Self::Back => f.write_str("can be read again"),
            Self::Rotated => f.write_str("was rotated; going on with the new file"),
            Self::Restarted { position } => {
                write!(
                    f,
                    "was truncated or written anew after {position} bytes had been read; reading it from its start"
                )
            }
            Self::Lost { position } => write!(
                f,
                "was replaced, and the file it was before is not beside it any more: what that held after byte \
                 {position} is not read"
            ),
        }
    }
}

/// What may follow what the open file holds, given what has its name now.
fn after(open: &Metadata, named: Option<&Metadata>) -> After {
    let is_left = match named {
        // An empty file that has taken the name shows that whoever writes has not turned to it yet.
        Some(named) => (named.dev(), named.ino()) != (open.dev(), open.ino()) && named.len() > 0,
        // Without a name, it is let go of, for it takes up room on the disk. With another, the new one is to come.
        None => open.nlink() == 0,
    };
    if is_left { After::Nothing } else { After::Perhaps }
}

fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a regular file; without waiting, should the name be that of a FIFO.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((file, metadata))
}

/// Up to `wanted` bytes at `position`; fewer where the file ends.
fn read_at(file: &File, position: u64, wanted: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; wanted];
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut bytes[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
