//! Which descriptors a process holds that goes its own way.
#![expect(unsafe_code, reason = "descriptors that nobody owns are closed by number")]

use std::os::fd::RawFd;

/// The first that is not standard input, output or error.
const FIRST: RawFd = 3;

/// Closes every descriptor from 3 on, but those of `keep`. Only for a process that will use none of the others, by
/// whatever owner, again: one that has just begun, or was forked and never returns.
pub(crate) fn close_others(keep: &[RawFd]) {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|descriptor| *descriptor >= FIRST).collect();
    keep.sort_unstable();
    let mut first = FIRST;
    for descriptor in keep.into_iter().chain([RawFd::MAX]) {
        if first < descriptor {
            close_range(first, descriptor - 1);
        }
        first = descriptor.saturating_add(1);
    }
}

fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: closing touches no memory; by the contract of `close_others` nobody uses these descriptors any more.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if closed != 0 {
        // Linux before 5.9 does not know the call.
        listed().into_iter().filter(|open| (first..=last).contains(open)).for_each(close);
    }
}

fn close(descriptor: RawFd) {
    // SAFETY: as above. One that is not open, like that of the listing itself, is no error that matters.
    unsafe { libc::close(descriptor) };
}

fn listed() -> Vec<RawFd> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
