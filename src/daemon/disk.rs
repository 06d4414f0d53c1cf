//! Whether the disk of the state directory is full: hosts cannot save then, and cannot say so, for their logs lie there
//! as well. So the daemon says it, once, and when there is room again.
//!
//! It looks at the file system. A quota of the user that is used up is not seen here; it shows in the daemon's own
//! errors.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;

/// Below this it is full: a small record and some lines of log take as much.
const FULL_BYTES: u64 = 64 << 10;
/// From this on there is room again: far enough from full for a line not to come each second.
const ROOM_BYTES: u64 = 1 << 20;

/// How the disk stood at the last look.
#[derive(Debug, Default)]
pub(super) struct Disk {
    full: bool,
}

impl Disk {
    /// Looks at the disk of `state_dir`, and tells what has changed.
    pub(super) fn look(&mut self, state_dir: &Path) {
        // Where the kernel does not tell, nothing has changed.
        let Some(free) = free_bytes(state_dir) else { return };
        match self.turn(free) {
            Some(true) => tracing::error!(
                "the disk of {} is full ({free} bytes are free): external tasks can neither save their states nor say \
                 so in their logs; what they are sent waits until there is room",
                state_dir.display()
            ),
            Some(false) => tracing::info!("the disk of {} has room again", state_dir.display()),
            None => {}
        }
    }

    /// Whether it is full from now on; none where that is as before.
    fn turn(&mut self, free: u64) -> Option<bool> {
        let full = free < if self.full { ROOM_BYTES } else { FULL_BYTES };
        (std::mem::replace(&mut self.full, full) != full).then_some(full)
    }
}

/// What this user may still write.
fn free_bytes(directory: &Path) -> Option<u64> {
    let disk = statvfs(directory).ok()?;
    let blocks = if Uid::effective().is_root() { disk.blocks_free() } else { disk.blocks_available() };
    Some(blocks.saturating_mul(disk.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_once_and_once_that_it_has_room_again() {
        let mut disk = Disk::default();
        let looks = [ROOM_BYTES, 0, 0, FULL_BYTES, ROOM_BYTES - 1, ROOM_BYTES, FULL_BYTES, FULL_BYTES - 1];
        let told = looks.map(|free| disk.turn(free));
        assert_eq!(told, [None, Some(true), None, None, None, Some(false), None, Some(true)]);
        assert!(free_bytes(Path::new("/")).is_some());
    }
}
