//! Whether a process that a record names can be what the record calls it.
//!
//! An identity tells which process is meant, and a record may name any: one that was damaged well, or was written by
//! somebody else. Hosts bear the mark of their start in their environment, keepers their title. What cannot be read
//! disproves nothing.

use std::io::Read;

use super::family::{environment, has_mark};
use super::{HostRecord, SPAWNER_NAME};

/// Before the name in a keeper's title.
pub(super) const KEEPER_TITLE: &str = "multimodule keeper ";

/// Whether the process with the pid of the record's keeper is none. The pid must be held by a handle.
#[must_use]
pub fn is_no_keeper(record: &HostRecord) -> bool {
    !has_title(record.keeper.pid).unwrap_or(true)
}

/// Whether the process with the pid of the record's host was not started as it. The pid must be held by a handle.
#[must_use]
pub fn is_no_host(record: &HostRecord) -> bool {
    let pid = record.host.pid;
    is_another(record, || has_title(pid), || environment(pid).unwrap_or_default())
}

/// Until its program begins it is a copy of its keeper; the title is looked at first, so that whoever shows none has
/// the environment of its own program.
fn is_another(
    record: &HostRecord,
    title: impl FnOnce() -> Option<bool>,
    environment: impl FnOnce() -> Vec<u8>,
) -> bool {
    if title().unwrap_or(true) {
        return false;
    }
    let environment = environment();
    // One that has ended, or a thread of the kernel, has none.
    !environment.is_empty() && !has_mark(&environment, &record.nonce)
}

/// Whether it shows the title of a keeper, or of the spawner where the kernel lets nobody change it; none where it
/// shows nothing.
fn has_title(pid: u32) -> Option<bool> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(KEEPER_TITLE.len() as u64).read_to_end(&mut bytes).ok()?;
    let known = bytes.starts_with(KEEPER_TITLE.as_bytes()) || bytes.starts_with(SPAWNER_NAME.as_bytes());
    (!bytes.is_empty()).then_some(known)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::process::{BootId, NONCE_VARIABLE, Nonce, ProcessRef};

    /// A shell that has begun: right after a start the kernel shows neither arguments nor environment.
    fn shell(mark: &Nonce) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo; read -r line"]).env(NONCE_VARIABLE, mark.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
        child
    }

    fn record(process: ProcessRef, nonce: Nonce) -> HostRecord {
        HostRecord {
            boot: BootId::current().unwrap(),
            pid_namespace: 1,
            keeper: process,
            host: process,
            nonce,
            started_unix_ms: 1,
            starts: 1,
            program: String::new(),
        }
    }

    #[test]
    fn a_host_whose_program_begins_between_two_looks_at_it_is_no_stranger() {
        let record = record(ProcessRef { pid: 1, start_ticks: 1 }, Nonce::fresh().unwrap());
        let mark = format!("{NONCE_VARIABLE}={}", record.nonce);
        // The first look meets the copy of the keeper, the next one the program.
        let begun = std::cell::Cell::new(false);
        let title = || Some(!begun.replace(true));
        let environment = || if begun.replace(true) { mark.clone().into_bytes() } else { vec![0] };
        assert!(!is_another(&record, title, environment));
    }

    #[test]
    fn a_process_without_the_mark_is_no_host_and_one_without_the_title_no_keeper() {
        let nonce = Nonce::fresh().unwrap();
        let mut children = [shell(&nonce), shell(&Nonce::fresh().unwrap())];
        for (child, is_other) in children.iter().zip([false, true]) {
            let process = ProcessRef { pid: child.id(), start_ticks: 1 };
            // The kernel lets us go on before it has laid out what the new program shows.
            while has_title(process.pid).is_none() || environment(process.pid).unwrap().is_empty() {
                std::thread::yield_now();
            }
            let record = record(process, nonce);
            assert_eq!((is_no_host(&record), is_no_keeper(&record)), (is_other, true));
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
