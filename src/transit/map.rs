//! Mapped memory: a file as words and bytes that several processes share.
//!
//! Invariant: every access is checked against the mapping's length, so no number read from a file leads outside.
//!
//! What it does not do: order anything. Bytes are copied in before, and copied out after, a word is published
//! (`protocol`); a copy that raced with a faulty writer is found by its checksum, which is taken over the copy.
#![expect(unsafe_code, reason = "mapped memory is raw memory")]

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, MmapAdvise, MsFlags, ProtFlags, madvise, mmap, msync, munmap};

use crate::process::{MappingEntry, register_mapping};

/// Page size assumed for rounding; larger pages only make the roundings of `msync` fail over to the whole map.
pub(super) const PAGE: usize = 4096;

/// `MADV_POPULATE_WRITE` (Linux 5.14): takes the page faults of a range at once, for writing.
const MADV_POPULATE_WRITE: i32 = 23;

/// A shared mapping of the beginning of a file.
#[derive(Debug)]
pub(super) struct Map {
    start: NonNull<u8>,
    len: usize,
    /// What names the file where a SIGBUS is raised; gone before the memory is.
    entry: Option<MappingEntry>,
}

// SAFETY: the mapping belongs to no thread; all access goes through atomics or through copies that the lane
// protocol keeps apart.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first `len` bytes of `file`, which must be that long. A fault there names `path`.
    pub(super) fn new(file: &File, path: &Path, len: usize) -> io::Result<Self> {
        let size = NonZeroUsize::new(len).ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
        let start = unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, file, 0) }?;
        let entry = Some(register_mapping(start.as_ptr().addr(), len, path));
        Ok(Self { start: start.cast(), len, entry })
    }

    /// How many bytes are mapped.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The `count` words from byte `offset` on, which must be a multiple of 8 inside the mapping.
    pub(super) fn words(&self, offset: usize, count: usize) -> &[AtomicU64] {
        self.check(offset, count * 8);
        assert!(offset.is_multiple_of(8), "words are aligned");
        // SAFETY: inside the mapping and aligned (checked); any bits are a u64; all access to words is atomic.
        unsafe { std::slice::from_raw_parts(self.start.add(offset).cast::<AtomicU64>().as_ptr(), count) }
    }

    /// The half word at `offset`, a multiple of 4, as somebody may be writing it.
    pub(super) fn half_word(&self, offset: usize) -> u32 {
        self.check(offset, 4);
        assert!(offset.is_multiple_of(4), "half words are aligned");
        // SAFETY: inside the mapping and aligned (checked); any bits are a u32.
        unsafe { &*self.start.add(offset).cast::<AtomicU32>().as_ptr() }.load(Ordering::Relaxed)
    }

    /// Copies `bytes` in at `offset`. Only the lane's writer does so, and only beyond what it has published.
    #[inline]
    pub(super) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        self.check(offset, bytes.len());
        // SAFETY: inside the mapping (checked); `bytes` is ordinary memory, which no mapping of ours overlaps.
        unsafe { self.start.add(offset).as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Appends the `len` bytes at `offset` to `to`.
    #[inline]
    pub(super) fn copy_out(&self, offset: usize, len: usize, to: &mut Vec<u8>) {
        self.check(offset, len);
        to.reserve(len);
        // SAFETY: the source is inside the mapping (checked), the target was reserved, they do not overlap, and
        // the length is set after the bytes are there.
        unsafe {
            to.as_mut_ptr().add(to.len()).copy_from_nonoverlapping(self.start.add(offset).as_ptr(), len);
            to.set_len(to.len() + len);
        }
    }

    /// Takes the page faults of a range ahead of its use, where the kernel can; else they come one by one.
    /// The range's bytes do not change, so this is harmless anywhere in the mapping.
    pub(super) fn touch(&self, offset: usize, len: usize) {
        self.check(offset, len);
        let from = offset / PAGE * PAGE;
        // SAFETY: the range is inside the mapping; populating changes no byte. Its failure (an older kernel, a
        // full cgroup) is no fault: the page faults then come with the accesses.
        unsafe { libc::madvise(self.start.add(from).as_ptr().cast(), offset + len - from, MADV_POPULATE_WRITE) };
    }

    /// Writes a range through to the disk and waits for it.
    pub(super) fn sync(&self, offset: usize, len: usize) -> io::Result<()> {
        self.check(offset, len);
        let from = offset / PAGE * PAGE;
        // SAFETY: the range is inside the mapping.
        unsafe { msync(self.start.add(from).cast(), offset + len - from, MsFlags::MS_SYNC) }?;
        Ok(())
    }

    /// Tells the kernel that the mapping is read and written from front to back.
    pub(super) fn sequential(&self) {
        // SAFETY: advice about our own mapping changes no byte; refused advice is no fault.
        if let Err(errno) = unsafe { madvise(self.start.cast(), self.len, MmapAdvise::MADV_SEQUENTIAL) } {
            tracing::debug!("madvise: {errno}");
        }
    }

    #[inline]
    fn check(&self, offset: usize, len: usize) {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside, "offset {offset} with {len} bytes lies outside a mapping of {} bytes", self.len);
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        drop(self.entry.take());
        // SAFETY: the mapping is ours, and no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.start.cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "our own mapping can be unmapped");
    }
}
