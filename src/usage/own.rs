//! What of the daemon's usage is its framework's and not its tasks': to be taken off before levels are asked.
//!
//! What the kernel counts as written (measured on ext4, Linux 6.18; `write_bytes` of `/proc/self/io`): a page, whole,
//! when it becomes dirty, by a mapping exactly as by `write`. To write on a dirty page costs nothing more, to write
//! again on one that was written back counts it again; on a tmpfs nothing counts, and neither does allocating. So
//! appending a gigabyte through a hot segment of 16 MiB counts 16 MiB per write-back, and to take off the gigabyte would
//! hide what tasks write. What may be taken off in one interval is at most what is mapped.

use std::path::Path;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use super::Usage;

const PAGE_BYTES: u64 = 4096;

/// The framework's own part, since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Own {
    written_bytes: u64,
    files: u64,
    /// What was left last: it never falls.
    rest: u64,
}

impl Own {
    /// Adds what was appended to mapped files in one interval, of which `mapped_bytes` are mapped for writing. Only
    /// for files on a file system that [`counts_writes`].
    pub fn add_mapped(&mut self, appended_bytes: u64, mapped_bytes: u64) {
        let pages = appended_bytes.div_ceil(PAGE_BYTES).saturating_mul(PAGE_BYTES);
        self.written_bytes = self.written_bytes.saturating_add(pages.min(mapped_bytes));
    }

    /// Adds what was written to new files (states, written beside and renamed).
    pub fn add_written(&mut self, bytes: u64) {
        self.written_bytes = self.written_bytes.saturating_add(bytes.div_ceil(PAGE_BYTES).saturating_mul(PAGE_BYTES));
    }

    /// How many descriptors are bookkeeping now: queues, locks, links, pidfds, a meter's handles.
    pub fn set_files(&mut self, files: u64) {
        self.files = files;
    }

    /// What is left of `usage` without it.
    #[must_use]
    pub fn without(&mut self, usage: Usage) -> Usage {
        let written_bytes = usage.written_bytes.map(|written| {
            self.rest = self.rest.max(written.saturating_sub(self.written_bytes));
            self.rest
        });
        Usage { written_bytes, files: usage.files.map(|files| files.saturating_sub(self.files)), ..usage }
    }
}

/// Whether what is written below `path` counts as written to storage: not on a tmpfs.
#[must_use]
pub fn counts_writes(path: &Path) -> bool {
    statfs(path).is_ok_and(|system| system.filesystem_type() != TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_off_is_at_most_what_is_mapped_and_the_rest_never_falls() {
        let mut own = Own::default();
        own.set_files(30);
        let usage = |written, files| Usage { written_bytes: Some(written), files: Some(files), ..Usage::default() };
        own.add_mapped(1 << 30, 16 << 20);
        assert_eq!(own.without(usage(20 << 20, 40)), usage(4 << 20, 10));
        own.add_mapped(1, 16 << 20);
        own.add_written(5000);
        assert_eq!(own.without(usage(20 << 20, 20)), usage(4 << 20, 0), "the rest never falls");
        assert_eq!(own.without(usage((24 << 20) + 3 * 4096, 31)), usage(8 << 20, 1));
        assert_eq!(own.without(Usage::default()), Usage::default(), "what is unknown stays unknown");
    }
}
