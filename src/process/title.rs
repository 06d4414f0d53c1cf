//! What `ps` and `pgrep -f` show for this process: written over its arguments and environment, where the kernel
//! reads it.
//!
//! The kernel (since 5.3) takes what begins at the first argument for a title, up to its NUL, when the last byte of
//! the arguments is no NUL. So the environment's room may be used as well; who starts the process makes some by a
//! variable of its own.
#![expect(unsafe_code, reason = "a process's arguments lie in memory that only the kernel names")]

use std::path::Path;

use super::FileError;

/// The variable that makes room in the environment of a process that will change its title.
pub(super) const TITLE_ROOM_VARIABLE: &str = "MULTIMODULE_TITLE_ROOM";

/// Sets the title. From then on neither arguments nor environment of this process may be read. A title that does not
/// fit is cut; where the kernel does not say where to write, the title stays as it was.
///
/// Only for a process with one thread that reads neither again.
pub(super) fn set_title(title: &str) -> Result<(), FileError> {
    let path = Path::new("/proc/self/stat");
    let line = std::fs::read(path).map_err(FileError::of(path, "read"))?;
    if let Some(room) = Room::parse(&line) {
        room.write(title.as_bytes());
    }
    Ok(())
}

/// Where the arguments, and the environment right behind them, lie.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    start: usize,
    arguments_end: usize,
    end: usize,
}

impl Room {
    /// Fields 48 to 51 of the line; none where they are hidden (0) or do not lie side by side.
    fn parse(line: &[u8]) -> Option<Self> {
        let name_end = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&line[name_end + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace().skip(48 - 3).map(|field| field.parse::<usize>().ok());
        let mut next = || fields.next().flatten().filter(|address| *address != 0);
        let (start, arguments_end, environment, end) = (next()?, next()?, next()?, next()?);
        let beside = start < arguments_end && arguments_end == environment && environment <= end;
        beside.then_some(Self { start, arguments_end, end })
    }

    fn write(&self, title: &[u8]) {
        let length = title.len().min(self.end - self.start - 1);
        let room = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
        // SAFETY: the kernel says that the bytes from `start` to `end` are this process's arguments and environment:
        // writable memory of its own, on the stack of its only thread above every frame. Nobody reads either again
        // (see `set_title`), so no reference to them is alive. `length` is less than the room, which leaves the NUL.
        unsafe {
            std::ptr::write_bytes(room, 0, self.end - self.start);
            std::ptr::copy_nonoverlapping(title.as_ptr(), room, length);
            // Where the title and its NUL fill the arguments exactly, they are shown as they are.
            if length + 1 < self.arguments_end - self.start {
                *room.add(self.arguments_end - self.start - 1) = b'.';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_where_the_kernel_says_and_nowhere_if_it_does_not() {
        let line = |tail: &str| {
            let before: Vec<String> = (4..48).map(|field| field.to_string()).collect();
            format!("1 (a) b) S {} {tail}\n", before.join(" "))
        };
        let room = Some(Room { start: 100, arguments_end: 200, end: 300 });
        for (tail, expected) in [
            ("100 200 200 300 0", room),
            ("100 200 208 300 0", None),
            ("0 0 0 0 0", None),
            ("200 100 100 300 0", None),
            ("100 200", None),
        ] {
            assert_eq!(Room::parse(line(tail).as_bytes()), expected, "{tail}");
        }
    }
}
