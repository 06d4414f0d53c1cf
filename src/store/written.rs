//! How much this process has written of records, as the kernel counts it.
//!
//! What counts is a page that becomes dirty (see `usage`). A slot is written in place: what is written within a second
//! goes to pages that are dirty already, but for those of a record that has grown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PAGE_BYTES: u64 = 4096;
/// No page is taken to be written back sooner than after this, unless it is synced: the kernel does so after 5 s and
/// more where it has memory.
const DIRTY: Duration = Duration::from_secs(1);

/// Bytes. Of the whole process, as the kernel's count is.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Bytes that the kernel counts as written by this process, on a file system where it counts them, and that are records
/// of states.
#[must_use]
pub fn written_bytes() -> u64 {
    WRITTEN.load(Ordering::Relaxed)
}

/// A new file of `bytes` bytes was written.
pub(super) fn add(bytes: usize) {
    WRITTEN.fetch_add(pages(bytes), Ordering::Relaxed);
}

/// What of two slots is dirty.
#[derive(Debug, Default)]
pub(super) struct Written([Option<(Instant, u64)>; 2]);

impl Written {
    /// A record of `bytes` bytes was written to a slot.
    pub(super) fn slot(&mut self, slot: usize, bytes: usize, now: Instant) {
        WRITTEN.fetch_add(self.dirtied(slot, pages(bytes), now), Ordering::Relaxed);
    }

    fn dirtied(&mut self, slot: usize, pages: u64, now: Instant) -> u64 {
        let dirty = self.0[slot].filter(|(since, _)| now.saturating_duration_since(*since) < DIRTY);
        let (since, before) = dirty.unwrap_or((now, 0));
        self.0[slot] = Some((since, before.max(pages)));
        pages.saturating_sub(before)
    }

    /// A slot was written through to the disk.
    pub(super) fn synced(&mut self, slot: usize) {
        self.0[slot] = None;
    }
}

fn pages(bytes: usize) -> u64 {
    (bytes as u64).next_multiple_of(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_dirty_already_costs_nothing() {
        let (mut written, begin) = (Written::default(), Instant::now());
        let mut check = |slot, pages, ms, expected| {
            assert_eq!(written.dirtied(slot, pages, begin + Duration::from_millis(ms)), expected, "{slot} {ms}");
        };
        check(0, 4096, 0, 4096);
        check(1, 4096, 0, 4096);
        check(0, 4096, 500, 0);
        check(0, 12_288, 900, 8192);
        check(0, 8192, 950, 0);
        check(0, 8192, 1000, 8192);
        written.synced(0);
        assert_eq!(written.dirtied(0, 4096, begin + Duration::from_millis(1001)), 4096);
    }
}
