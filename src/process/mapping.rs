//! Which file is mapped where: the table that the handler of SIGBUS reads (see `signals`).
//!
//! A mapped file that is cut short, or whose disk fails, raises SIGBUS at the address that was touched. The
//! handler has that address alone, and must name the file without a lock and without memory of its own.
//!
//! Invariant: every field is an atomic, and an entry is read only while its state says that it is whole. The table
//! is static and never grows; a mapping beyond its size works, but a fault in it is reported without its name.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// How many mappings are known at once: more than a daemon with a thousand busy lanes maps. An entry takes 288
/// bytes, of memory only once it was used.
pub const MAX_MAPPINGS: usize = 4096;

/// How many bytes of a path are kept: its end, which tells queue, lane and segment apart.
pub(super) const PATH_BYTES: usize = 256;

const FREE: u32 = 0;
const CHANGING: u32 = 1;
const WHOLE: u32 = 2;

struct Entry {
    state: AtomicU32,
    path_length: AtomicU32,
    start: AtomicUsize,
    length: AtomicUsize,
    path: [AtomicU64; PATH_BYTES / 8],
}

static TABLE: [Entry; MAX_MAPPINGS] = [const {
    Entry {
        state: AtomicU32::new(FREE),
        path_length: AtomicU32::new(0),
        start: AtomicUsize::new(0),
        length: AtomicUsize::new(0),
        path: [const { AtomicU64::new(0) }; PATH_BYTES / 8],
    }
}; MAX_MAPPINGS];

/// Where to look for a free entry first.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A mapping in the table, until dropped. Drop it before the memory is unmapped.
#[derive(Debug)]
#[must_use = "the mapping is known for as long as this is held"]
pub struct MappingEntry {
    index: Option<usize>,
}

/// Notes that `length` bytes from `address` on are the file `path`, for the line that a SIGBUS there writes.
pub fn register_mapping(address: usize, length: usize, path: &Path) -> MappingEntry {
    let first = NEXT.fetch_add(1, Ordering::Relaxed);
    let index = (0..MAX_MAPPINGS).map(|step| first.wrapping_add(step) % MAX_MAPPINGS).find(|index| claim(*index));
    if let Some(index) = index {
        TABLE[index].fill(address, length, path.as_os_str().as_bytes());
    }
    MappingEntry { index }
}

fn claim(index: usize) -> bool {
    TABLE[index].state.compare_exchange(FREE, CHANGING, Ordering::Acquire, Ordering::Relaxed).is_ok()
}

impl Drop for MappingEntry {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            TABLE[index].state.store(FREE, Ordering::Release);
        }
    }
}

impl Entry {
    fn fill(&self, address: usize, length: usize, path: &[u8]) {
        let end = &path[path.len().saturating_sub(PATH_BYTES)..];
        for (word, bytes) in self.path.iter().zip(end.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(padded), Ordering::Relaxed);
        }
        self.path_length.store(end.len() as u32, Ordering::Relaxed);
        self.start.store(address, Ordering::Relaxed);
        self.length.store(length, Ordering::Relaxed);
        self.state.store(WHOLE, Ordering::Release);
    }

    fn holds(&self, address: usize) -> bool {
        self.state.load(Ordering::Acquire) == WHOLE
            && address.wrapping_sub(self.start.load(Ordering::Relaxed)) < self.length.load(Ordering::Relaxed)
    }

    /// Copies the path out; none where the entry was given back meanwhile.
    fn copy_path(&self, path: &mut [u8; PATH_BYTES]) -> Option<usize> {
        for (word, bytes) in self.path.iter().zip(path.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        let length = self.path_length.load(Ordering::Relaxed) as usize;
        fence(Ordering::Acquire);
        (self.state.load(Ordering::Relaxed) == WHOLE).then_some(length.min(PATH_BYTES))
    }
}

/// Copies (the end of) the path of the file that is mapped at `address` to `path`, and tells its length.
/// Takes no lock and no memory: a signal handler may call it.
pub(super) fn find_mapping(address: usize, path: &mut [u8; PATH_BYTES]) -> Option<usize> {
    TABLE.iter().find(|entry| entry.holds(address))?.copy_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_at(address: usize) -> Option<String> {
        let mut path = [0; PATH_BYTES];
        let length = find_mapping(address, &mut path)?;
        Some(String::from_utf8_lossy(&path[..length]).into_owned())
    }

    #[test]
    fn an_address_names_the_file_that_is_mapped_there_while_it_is() {
        // Addresses that no process maps: other tests may have real ones in the table.
        let base = usize::MAX - 0xFFFF;
        let one = register_mapping(base, 0x1000, Path::new("/transit/q/1/segment"));
        let other = register_mapping(base + 0x1000, 0x1000, Path::new("/transit/q/2/segment"));
        assert_eq!(path_at(base - 1), None);
        assert_eq!(path_at(base).as_deref(), Some("/transit/q/1/segment"));
        assert_eq!(path_at(base + 0xFFF).as_deref(), Some("/transit/q/1/segment"));
        assert_eq!(path_at(base + 0x1000).as_deref(), Some("/transit/q/2/segment"));
        drop(one);
        assert_eq!(path_at(base), None);
        assert_eq!(path_at(base + 0x1FFF).as_deref(), Some("/transit/q/2/segment"));
        drop(other);
    }

    #[test]
    fn of_a_long_path_the_end_is_kept() {
        let base = usize::MAX - 0x1FFFF;
        let path = format!("/{}/segment", "long".repeat(100));
        let _entry = register_mapping(base, 1, Path::new(&path));
        let kept = path_at(base).unwrap();
        assert_eq!(kept.len(), PATH_BYTES);
        assert!(path.ends_with(&kept));
    }
}
