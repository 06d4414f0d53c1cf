//! The lines of `/proc/PID/stat`, `statm` and `io`, as numbers. Pure: text in, numbers out.

/// What `stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stat {
    pub(super) parent: u32,
    /// Its own processor time, in clock ticks.
    pub(super) own_ticks: u64,
    /// That of the children that it waited for, and of theirs.
    pub(super) children_ticks: u64,
    pub(super) threads: u64,
    /// Clock ticks since boot.
    pub(super) start_ticks: u64,
}

/// Reads a line of `stat`. Field 2, the program's name in parentheses, may hold anything: what counts begins after
/// the last closing one, with field 3.
pub(super) fn stat(line: &[u8]) -> Option<Stat> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&line[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(4 - 3)?.parse().ok()?;
    let own_ticks = number(fields.nth(14 - 5)?)? + number(fields.next()?)?;
    // Signed in the kernel, but never negative.
    let children_ticks = number(fields.next()?)? + number(fields.next()?)?;
    let threads = number(fields.nth(20 - 18)?)?;
    let start_ticks = number(fields.nth(22 - 21)?)?;
    Some(Stat { parent, own_ticks, children_ticks, threads, start_ticks })
}

/// Resident pages: the second number of `statm`.
pub(super) fn resident_pages(line: &[u8]) -> Option<u64> {
    number(std::str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?)
}

/// Bytes that came from and went to storage, as `io` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Storage {
    pub(super) read: u64,
    pub(super) written: u64,
}

/// Reads `io`. Like the kernel it counts what waited-for children have read and written as their parent's.
pub(super) fn storage(text: &[u8]) -> Option<Storage> {
    let text = std::str::from_utf8(text).ok()?;
    let field = |name: &str| number(text.lines().find_map(|line| line.strip_prefix(name))?.trim());
    Some(Storage { read: field("read_bytes:")?, written: field("write_bytes:")? })
}

/// The pids of a list of children.
pub(super) fn children(list: &[u8]) -> impl Iterator<Item = u32> + '_ {
    list.split(u8::is_ascii_whitespace).filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_program_is_called() {
        let fields = "S 7 1 1 0 -1 4194560 9 9 9 9 100 20 3 4 20 0 6 0 4711 1 1";
        let expected = Stat { parent: 7, own_ticks: 120, children_ticks: 7, threads: 6, start_ticks: 4711 };
        for name in ["(cat)", "(a b)", "(a) S 1 (b)", "())", "(\u{e4})"] {
            assert_eq!(stat(format!("12 {name} {fields}").as_bytes()), Some(expected), "{name}");
        }
        for line in ["", "12 (x", "12 (x) S 1 2", "12 (x) S a 1 1 0 -1 1 9 9 9 9 100 20 3 4 20 0 6 0 4711"] {
            assert_eq!(stat(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn the_other_files_are_read_or_unknown() {
        assert_eq!(resident_pages(b"100 42 3 4 5 6 7\n"), Some(42));
        assert_eq!(resident_pages(b"100"), None);
        let io = b"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n";
        assert_eq!(storage(io), Some(Storage { read: 5, written: 6 }));
        assert_eq!(storage(b"rchar: 1\n"), None);
        assert_eq!(children(b"12 13 x 14 \n").collect::<Vec<_>>(), [12, 13, 14]);
    }
}
