//! A segment: one file with a stretch of a lane.
//!
//! ```text
//! 0   magic      8   format version   16  lane id   24  base position   32  messages before the base
//! 40  capacity: the file's length     48  crc32c over the six words before
//! 64  records, end mark where the next record did not fit
//! ```
//!
//! Invariant: a file with its right name is whole: it is made, and recycled, under its old name or a dot name, and
//! renamed last. Its header changes before its records do: who reads on where everything is finished, and may find
//! the file recycled, looks at the header again afterwards. All of it has blocks on the disk.

use std::io;

use super::directory::Directory;
use super::index::{FORMAT, allocate};
use super::map::{Map, PAGE};
use super::protocol::{Mapped, Mark, is_still, renew};
use super::record::END;
use super::slot::LaneId;
use std::sync::atomic::Ordering;

/// Where the records begin.
pub(super) const HEADER: usize = 64;
/// The first segment of a lane.
pub(super) const SMALLEST: usize = 16 << 10;
/// The largest segment, unless one record needs more: what 64 MiB divide into four times.
pub(super) const LARGEST: usize = 16 << 20;
const MAGIC: u64 = u64::from_le_bytes(*b"mmsegmt\n");
const VERSION: u64 = FORMAT as u64;
/// How far ahead of the write position page faults are taken: a few records of work at once, not a whole segment.
const AHEAD: usize = 64 << 10;

/// Why a segment cannot be used.
#[derive(Debug)]
pub(super) enum SegmentFault {
    /// There is no such file.
    Missing,
    /// The file is not what it should be.
    Bad(String),
    /// The kernel refused.
    Io(io::Error),
}

/// A segment, mapped.
#[derive(Debug)]
pub(super) struct Segment {
    /// Position and count of messages at its first record.
    pub(super) base: Mark,
    map: Map,
    touched: usize,
}

/// The directory of the lane in slot `at`.
pub(super) fn lane_directory(at: usize) -> String {
    format!("lane.{}", at + 1)
}

/// The path of a segment within the queue's directory.
pub(super) fn path(at: usize, base: u64) -> String {
    format!("lane.{}/{base:016x}.seg", at + 1)
}

/// The bases of a lane's segments, lowest first.
pub(super) fn bases(directory: &Directory, at: usize) -> io::Result<Vec<u64>> {
    let names = directory.names(&lane_directory(at))?;
    let mut bases: Vec<u64> = names.iter().filter_map(|name| base_of(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}

fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// How long a segment's file is that is to hold at least `record` bytes and is `wanted` long if that does.
pub(super) fn capacity(record: usize, wanted: usize) -> usize {
    wanted.max((HEADER + record).next_multiple_of(PAGE))
}

impl Segment {
    /// Makes the file with its header, of `capacity` bytes.
    pub(super) fn create(
        directory: &Directory,
        at: usize,
        lane: LaneId,
        base: Mark,
        capacity: usize,
    ) -> io::Result<Self> {
        let unfinished = format!("lane.{}/.new", at + 1);
        let file = directory.make_file(&unfinished)?;
        let full_path = directory.path_of(&path(at, base.position));
        let made = allocate(&file, 0, capacity).and_then(|()| Map::new(&file, &full_path, capacity));
        let map = match made {
            Ok(map) => map,
            Err(error) => {
                directory.remove(&unfinished)?;
                return Err(error);
            }
        };
        let segment = Self { base, map, touched: 0 };
        segment.write_header(lane);
        failpoint!("segment.made");
        directory.rename(&unfinished, &path(at, base.position))?;
        failpoint!("segment.named");
        Ok(segment)
    }

    /// Opens the segment with this base and checks its header against the lane and the file's length.
    pub(super) fn open(directory: &Directory, at: usize, lane: LaneId, base: u64) -> Result<Self, SegmentFault> {
        let file = directory.open_file(&path(at, base)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SegmentFault::Missing,
            _ => SegmentFault::Io(error),
        })?;
        let len = file.metadata().map_err(SegmentFault::Io)?.len();
        let bad = |reason: String| Err(SegmentFault::Bad(reason));
        let Ok(capacity) = usize::try_from(len) else { return bad(format!("a file of {len} bytes")) };
        if capacity < HEADER + 8 || !capacity.is_multiple_of(8) {
            return bad(format!("a segment cut to {len} bytes"));
        }
        let map = Map::new(&file, &directory.path_of(&path(at, base)), capacity).map_err(SegmentFault::Io)?;
        let words: [u64; 8] = std::array::from_fn(|word| map.words(0, 8)[word].load(Ordering::Relaxed));
        if words[0] != MAGIC || words[6] != header_crc(&words) {
            return bad("a bad segment header".to_owned());
        }
        if words[1] != VERSION {
            return bad(format!("a segment of format {}", words[1]));
        }
        if words[2] != lane.0 || words[3] != base {
            return bad("a segment of another lane or place".to_owned());
        }
        if words[5] != len {
            return bad(format!("a segment of {} bytes cut to {len} bytes", words[5]));
        }
        Ok(Self { base: Mark { position: base, count: words[4] }, map, touched: 0 })
    }

    /// Makes this finished segment the one at `base`: the new header first, then the new name.
    pub(super) fn recycle(&mut self, directory: &Directory, at: usize, lane: LaneId, base: Mark) -> io::Result<()> {
        let old = path(at, self.base.position);
        if directory.identity(&old).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.base = base;
        self.write_header(lane);
        failpoint!("segment.header_renewed");
        directory.rename(&old, &path(at, base.position))?;
        failpoint!("segment.recycled");
        Ok(())
    }

    /// The file's length.
    pub(super) fn capacity(&self) -> usize {
        self.map.len()
    }

    /// Where in the file a position stands, if it does.
    #[inline]
    pub(super) fn offset(&self, position: u64) -> Option<usize> {
        let offset = usize::try_from(position.checked_sub(self.base.position)?).ok()?.checked_add(HEADER)?;
        (offset <= self.map.len() && offset.is_multiple_of(8)).then_some(offset)
    }

    /// Whether a padded record of `size` bytes fits at a position.
    #[inline]
    pub(super) fn fits(&self, position: u64, size: usize) -> bool {
        self.offset(position).is_some_and(|offset| size <= self.map.len() - offset)
    }

    /// Writes the pieces of a record at a position where it fits.
    #[inline]
    pub(super) fn write(&mut self, position: u64, head: &[u8], body: &[u8]) {
        let offset = self.offset(position).expect("the writer's position lies in its segment");
        self.touch_ahead(offset + head.len() + body.len());
        self.map.copy_in(offset, head);
        self.map.copy_in(offset + head.len(), body);
    }

    /// Marks the end at a position, where there is room for a mark.
    pub(super) fn write_end(&self, position: u64) {
        if self.fits(position, 8) {
            let offset = self.offset(position).expect("a position where 8 bytes fit lies in the segment");
            self.map.copy_in(offset, &END.to_le_bytes());
        }
    }

    /// The length word at an offset; nothing where the segment ends.
    #[inline]
    pub(super) fn length_at(&self, offset: usize) -> Option<u32> {
        (offset + 8 <= self.map.len()).then(|| self.map.half_word(offset))
    }

    #[inline]
    pub(super) fn copy_out(&self, offset: usize, len: usize, to: &mut Vec<u8>) {
        self.map.copy_out(offset, len, to);
    }

    /// Tells the kernel that the segment is read from front to back.
    pub(super) fn read_ahead(&self) {
        self.map.sequential();
    }

    /// After looking at records: whether the file was recycled meanwhile, so that what was seen does not count.
    pub(super) fn is_recycled(&self) -> bool {
        !is_still::<Mapped>(&self.map.words(24, 1)[0], self.base.position)
    }

    /// Writes the bytes between two positions through to the disk.
    pub(super) fn sync(&self, from: u64, to: u64) -> io::Result<()> {
        let from = self.offset(from).unwrap_or(0);
        let to = self.offset(to).unwrap_or(self.map.len());
        self.map.sync(0, HEADER)?;
        self.map.sync(from, to.saturating_sub(from))
    }

    #[inline]
    fn touch_ahead(&mut self, needed: usize) {
        if needed > self.touched {
            let end = (needed + AHEAD).next_multiple_of(PAGE).min(self.map.len());
            self.map.touch(self.touched, end - self.touched);
            self.touched = end;
        }
    }

    fn write_header(&self, lane: LaneId) {
        let mut words = [MAGIC, VERSION, lane.0, self.base.position, self.base.count, self.map.len() as u64, 0, 0];
        words[6] = header_crc(&words);
        for (word, value) in self.map.words(0, 8).iter().zip(words) {
            renew::<Mapped>(word, value);
        }
    }
}

fn header_crc(words: &[u64; 8]) -> u64 {
    words[..6].iter().fold(0, |crc, word| crc32c::crc32c_append(crc, &word.to_le_bytes())).into()
}
