//! What `/proc/PID/stat` says of a process.

use std::io;

use super::FileError;

/// A process as the kernel shows it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessStat {
    pub(super) pid: u32,
    pub(super) parent: u32,
    /// Clock ticks since boot.
    pub(super) start_ticks: u64,
    /// Whether it still runs. A zombie does not, unless only its first thread has ended.
    pub(super) alive: bool,
}

impl ProcessStat {
    /// The process that has `pid` now; none where no process has it.
    pub(super) fn of(pid: u32) -> Result<Option<Self>, FileError> {
        let path = format!("/proc/{pid}/stat");
        let line = match std::fs::read(&path) {
            Ok(line) => line,
            // ESRCH: it ended between opening and reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(FileError::new(path, "read", error)),
        };
        let unknown = || FileError::new(&path, "read", io::Error::other("it has no start time in field 22"));
        parse(pid, &line).ok_or_else(unknown).map(Some)
    }

    /// Every process that can be seen.
    pub(super) fn all() -> Result<Vec<Self>, FileError> {
        let path = std::path::Path::new("/proc");
        let mut all = Vec::new();
        for entry in std::fs::read_dir(path).map_err(FileError::of(path, "list"))? {
            let entry = entry.map_err(FileError::of(path, "list"))?;
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(stat) = pid.map(Self::of).transpose()?.flatten() {
                all.push(stat);
            }
        }
        Ok(all)
    }
}

/// Reads a line of `/proc/PID/stat`. Field 2, the program's name in parentheses, may hold anything, spaces and
/// parentheses too: what counts begins after the last closing one, with field 3.
fn parse(pid: u32, line: &[u8]) -> Option<ProcessStat> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&line[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let threads: i64 = fields.nth(20 - 5)?.parse().ok()?;
    let start_ticks = fields.nth(22 - 21)?.parse().ok()?;
    let ended = matches!(state, "Z" | "X") && threads <= 1;
    Some(ProcessStat { pid, parent, start_ticks, alive: !ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_the_program_is_called() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 4711 20 21\n";
        let expected = Some(ProcessStat { pid: 12, parent: 1, start_ticks: 4711, alive: true });
        for name in ["(cat)", "(a b)", "(a) S 1 (b)", "())", "(\u{e4})"] {
            assert_eq!(parse(12, format!("12 {name} {fields}").as_bytes()), expected, "{name}");
        }
        let odd = [b"12 (\xff\xfe) ".as_slice(), fields.as_bytes()].concat();
        assert_eq!(parse(12, &odd), expected);
        for line in ["", "12 (cat", "12 (cat) S 1 2", "12 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x"] {
            assert_eq!(parse(12, line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_zombie_is_not_alive_unless_other_threads_of_it_are() {
        for (state, threads, alive) in
            [("Z", 1, false), ("Z", 0, false), ("Z", 2, true), ("X", 0, false), ("T", 1, true)]
        {
            let line = format!("12 (x) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 {threads} 18 4711 20");
            assert_eq!(parse(12, line.as_bytes()).map(|stat| stat.alive), Some(alive), "{state} {threads}");
        }
    }
}
