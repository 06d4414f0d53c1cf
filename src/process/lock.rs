//! Open-file-description locks on single bytes of a file (`fcntl(2)`, `F_OFD_SETLK`).
//!
//! The kernel gives such a lock back when the last descriptor of its open file is closed, so also when its
//! process is killed. Two things it does not do: it does not separate users of one descriptor (inside a process
//! the caller's own table must), and it does not tell who holds a lock.
//!
//! Nothing here waits: a lock is free, or it is not.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// A lock on one byte of a file. Giving it back is explicit, or happens with the file's last descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteLock {
    /// Which byte; it need not exist in the file.
    pub byte: u64,
}

impl ByteLock {
    /// Takes the lock for the open file behind `file`: true when it is ours now (also when it was already).
    pub fn try_take(self, file: &File) -> io::Result<bool> {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&self.request(libc::F_WRLCK))) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives the lock back; giving back what is not held is no error.
    pub fn release(self, file: &File) -> io::Result<()> {
        fcntl(file, FcntlArg::F_OFD_SETLK(&self.request(libc::F_UNLCK))).map(drop).map_err(io::Error::from)
    }

    fn request(self, kind: i32) -> libc::flock {
        libc::flock {
            l_type: i16::try_from(kind).unwrap_or(i16::MAX),
            l_whence: i16::try_from(libc::SEEK_SET).unwrap_or(0),
            l_start: i64::try_from(self.byte).unwrap_or(i64::MAX),
            l_len: 1,
            l_pid: 0,
        }
    }
}

/// Whether another open file holds the lock on `byte` (our own lock does not count).
pub fn is_locked(file: &File, byte: u64) -> io::Result<bool> {
    let mut request = ByteLock { byte }.request(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut request)).map_err(io::Error::from)?;
    Ok(i32::from(request.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_open_files_exclude_each_other_byte_by_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (one, other) = (File::create(&path).unwrap(), File::options().write(true).open(&path).unwrap());
        let lock = ByteLock { byte: 3 };
        assert!(lock.try_take(&one).unwrap());
        assert!(!lock.try_take(&other).unwrap());
        assert!(ByteLock { byte: 4 }.try_take(&other).unwrap());
        assert!(is_locked(&other, 3).unwrap());
        assert!(!is_locked(&one, 3).unwrap(), "our own lock is no obstacle to us");
        lock.release(&one).unwrap();
        assert!(lock.try_take(&other).unwrap());
    }
}
