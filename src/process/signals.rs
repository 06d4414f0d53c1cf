//! Signals that the kernel sends for what files do to us.
//!
//! - SIGXFSZ would kill a process that passes the limit for the size of a file; ignored, the write fails with EFBIG
//!   like any other write to a full disk. What is ignored stays ignored over `exec`, so it is set back before.
//! - SIGBUS tells that a mapped file was cut short or its disk failed. There is no going on in the middle of an
//!   access: the handler names the file on standard error and ends the process with 74.
#![expect(unsafe_code, reason = "signal handlers are set by calls that the compiler cannot check")]

use std::ffi::{c_int, c_void};
use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal};

use super::mapping::{PATH_BYTES, find_mapping};

/// What a process ends with that lost a mapped file: `EX_IOERR` of sysexits.
pub const BUS_EXIT_CODE: i32 = 74;

/// Makes a write that passes the limit for the size of a file an error instead of a kill.
///
/// # Errors
/// The kernel refuses, which it does not for this signal.
pub fn ignore_file_size_signal() -> io::Result<()> {
    // SAFETY: no handler function is involved; ignoring a signal runs no code of ours.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    Ok(())
}

/// Sets SIGXFSZ back to what it was: for the moment between `fork` and `exec` of a program that is not ours.
/// It is safe to call there.
///
/// # Errors
/// The kernel refuses, which it does not for this signal.
pub fn restore_file_size_signal() -> io::Result<()> {
    // SAFETY: no handler function is involved; the default action runs no code of ours.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigDfl) }?;
    Ok(())
}

/// From now on a fault in a mapped file is told on standard error with the file's path (as far as
/// [`register_mapping`](super::register_mapping) knows it) and ends the process with [`BUS_EXIT_CODE`].
///
/// # Errors
/// The kernel refuses, which it does not for this signal.
pub fn watch_bus_errors() -> io::Result<()> {
    // On the alternate stack that every Rust thread has, for a stack may be what is broken.
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::SigAction(on_bus_error), flags, SigSet::empty());
    // SAFETY: `on_bus_error` does only what a signal handler may: it reads static atomics and its own stack, and
    // calls `write`, `_exit`, `signal` and `raise`. It neither allocates nor locks nor panics.
    unsafe { sigaction(Signal::SIGBUS, &action) }?;
    Ok(())
}

extern "C" fn on_bus_error(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a pointer to a siginfo that lives as long as the handler runs.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    if code > 0 {
        report(address);
        // SAFETY: `_exit` is async-signal-safe and does not return.
        unsafe { libc::_exit(BUS_EXIT_CODE) }
    }
    // A process sent it, no fault did: it means what it always means.
    // SAFETY: both calls are async-signal-safe; the signal is blocked here and strikes when the handler returns.
    unsafe {
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
        libc::raise(libc::SIGBUS);
    }
}

/// Writes one line, with one call, so that lines of other threads do not come between.
fn report(address: usize) {
    let mut path = [0; PATH_BYTES];
    let length = find_mapping(address, &mut path);
    let name: &[u8] = length.and_then(|length| path.get(..length)).unwrap_or(b"(unknown)");
    let mut line = Line { bytes: [0; LINE_BYTES], length: 0 };
    line.push(b"multimodule: the mapped file ");
    line.push(name);
    line.push(b" was cut short, or its disk failed (SIGBUS); this process ends with 74\n");
    // SAFETY: the buffer is on our stack and `length` within it; `write` is async-signal-safe. Its result does not
    // matter: the process ends either way, and there is no other place to say so.
    unsafe { libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.length) };
}

/// Room for the path and the words around it.
const LINE_BYTES: usize = PATH_BYTES + 128;

struct Line {
    bytes: [u8; LINE_BYTES],
    length: usize,
}

impl Line {
    /// Appends what fits.
    fn push(&mut self, text: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(self.length).zip(text) {
            *place = *byte;
            self.length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};

    use super::*;
    use crate::process::register_mapping;

    const CHILD: &str = "MULTIMODULE_TEST_CHILD";

    /// Runs this test binary again with `test` alone, which finds `CHILD` set.
    fn run_as_child(test: &str, what: &str) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("process::signals::tests::{test}"), "--test-threads=1"]);
        command.env(CHILD, what).output().unwrap()
    }

    /// Maps a file, has it cut to nothing and touches it.
    fn touch_a_mapping_that_was_cut(path: &std::path::Path) {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        file.set_len(4096).unwrap();
        // SAFETY: a fresh mapping of a file, which nobody else knows.
        let memory = unsafe {
            use std::os::fd::AsRawFd;
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(memory, libc::MAP_FAILED);
        let _entry = register_mapping(memory as usize, 4096, path);
        file.set_len(0).unwrap();
        // SAFETY: the address is mapped; that this read faults is what the test is about.
        let byte = unsafe { memory.cast::<u8>().read_volatile() };
        panic!("read {byte} from a file that was cut");
    }

    #[test]
    fn a_mapped_file_that_is_cut_short_is_named_and_ends_the_process_with_74() {
        let test = "a_mapped_file_that_is_cut_short_is_named_and_ends_the_process_with_74";
        if let Some(path) = std::env::var_os(CHILD) {
            watch_bus_errors().unwrap();
            touch_a_mapping_that_was_cut(std::path::Path::new(&path));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("segment");
        let output = run_as_child(test, path.to_str().unwrap());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(BUS_EXIT_CODE), "{text}");
        assert!(text.contains(&format!("the mapped file {} was cut short", path.display())), "{text}");
    }

    #[test]
    fn a_bus_signal_that_a_process_sends_kills_as_ever() {
        if std::env::var_os(CHILD).is_some() {
            watch_bus_errors().unwrap();
            nix::sys::signal::raise(Signal::SIGBUS).unwrap();
        }
        let output = run_as_child("a_bus_signal_that_a_process_sends_kills_as_ever", "1");
        assert_eq!(output.status.signal(), Some(libc::SIGBUS));
    }
}
