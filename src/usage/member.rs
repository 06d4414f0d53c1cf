//! One process of a tree: its open files in `/proc`, and what they tell.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fstatat};

use super::handles::{Directory, Extent, Handles, OpenDirectory, ProcFile};
use super::parse::{self, Stat, Storage};

/// The threads of one process whose children are looked for: a thread bomb trips by its number of threads, not by our
/// time. The first is the process's first thread.
const MAX_THREADS: usize = 256;

/// Whether this kernel lists the children of a thread (`CONFIG_PROC_CHILDREN`, which distributions have). Without it a
/// [`Meter`](super::Meter) knows of a tree only what it is told to include.
#[must_use]
pub fn lists_children() -> bool {
    static LISTS: OnceLock<bool> = OnceLock::new();
    *LISTS.get_or_init(|| std::fs::exists("/proc/thread-self/children").unwrap_or(false))
}

/// Whether the kernel tells the number of open files without listing them: since Linux 6.2.
fn counts_files() -> bool {
    static COUNTS: OnceLock<bool> = OnceLock::new();
    *COUNTS.get_or_init(|| std::fs::metadata("/proc/self/fd").is_ok_and(|metadata| metadata.size() > 0))
}

/// How much of a process is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// All of it.
    Whole,
    /// What it inherits from those that it waits for, and nothing that is its own.
    Heir,
}

/// What one look tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reading {
    pub(super) stat: Stat,
    pub(super) resident_pages: u64,
    /// None: not ours to know.
    pub(super) files: Option<u64>,
    /// None: not ours to know.
    pub(super) storage: Option<Storage>,
}

/// What came of a look.
#[derive(Debug)]
pub(super) enum Look {
    /// It is there.
    There(Reading),
    /// That very process is no more.
    Gone,
    /// It could not be looked at: no more descriptors, or no memory.
    Failed(io::Error),
}

/// What looks share.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) handles: Handles,
    /// Room for nothing: for members that keep no file open.
    pub(super) no_handles: Handles,
    pub(super) buffer: Vec<u8>,
}

/// A process that is looked at.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) pid: u32,
    /// When it began; none until its first look.
    pub(super) start_ticks: Option<u64>,
    pub(super) depth: Depth,
    keeps_files: bool,
    directory: Directory,
    stat: ProcFile,
    statm: ProcFile,
    io: ProcFile,
    /// Its threads by id, with their lists of children.
    threads: Vec<ProcFile>,
}

impl Member {
    /// One that is to be looked at; its files are kept open if `keeps_files`, as far as there is room.
    pub(super) fn new(pid: u32, start_ticks: Option<u64>, depth: Depth, keeps_files: bool) -> Self {
        let [stat, statm, io] = ["stat", "statm", "io"].map(ProcFile::new);
        Self {
            pid,
            start_ticks,
            depth,
            keeps_files,
            directory: Directory::new(pid),
            stat,
            statm,
            io,
            threads: Vec::new(),
        }
    }

    /// Looks at it, and adds its children to `children`.
    pub(super) fn look(&mut self, tools: &mut Tools, children: &mut Vec<u32>) -> Look {
        match self.try_look(tools, children) {
            Ok(Some(reading)) => Look::There(reading),
            Ok(None) => Look::Gone,
            Err(error) if is_gone(&error) => Look::Gone,
            Err(error) => Look::Failed(error),
        }
    }

    fn try_look(&mut self, tools: &mut Tools, children: &mut Vec<u32>) -> io::Result<Option<Reading>> {
        let Tools { handles, no_handles, buffer } = tools;
        let handles = if self.keeps_files { &*handles } else { &*no_handles };
        let directory = self.directory.open(handles)?;
        self.stat.read(&directory, handles, buffer, Extent::Line)?;
        let stat = parse::stat(buffer).ok_or_else(|| io::Error::other("a line of stat that is not known"))?;
        if *self.start_ticks.get_or_insert(stat.start_ticks) != stat.start_ticks {
            return Ok(None);
        }
        let mut reading = Reading {
            stat,
            storage: known(self.io.read(&directory, handles, buffer, Extent::Line))?
                .and_then(|()| parse::storage(buffer)),
            ..Reading::default()
        };
        if self.depth == Depth::Whole {
            self.statm.read(&directory, handles, buffer, Extent::Line)?;
            reading.resident_pages = parse::resident_pages(buffer).unwrap_or(0);
            reading.files = known(count_files(&directory))?;
        }
        if lists_children() {
            let first = children.len();
            if read_children(&mut self.threads, stat.threads, &directory, handles, buffer, children).is_err() {
                // A thread has ended since: its children are another's now.
                children.truncate(first);
                self.threads.clear();
                read_children(&mut self.threads, stat.threads, &directory, handles, buffer, children).or_else(pass)?;
            }
        }
        Ok(Some(reading))
    }
}

/// Reads the lists of all threads. They are listed anew when their number has changed.
fn read_children(
    threads: &mut Vec<ProcFile>,
    count: u64,
    directory: &OpenDirectory<'_>,
    handles: &Handles,
    buffer: &mut Vec<u8>,
    children: &mut Vec<u32>,
) -> io::Result<()> {
    let wanted = usize::try_from(count).unwrap_or(MAX_THREADS).min(MAX_THREADS);
    if threads.len() != wanted {
        // What was open is closed first: the room counts.
        threads.clear();
        let ids = names_in(directory, "task")?.take(MAX_THREADS);
        threads.extend(ids.map(|id| ProcFile::new(format!("task/{id}/children"))));
    }
    for thread in threads {
        thread.read(directory, handles, buffer, Extent::List)?;
        children.extend(parse::children(buffer));
    }
    Ok(())
}

fn count_files(directory: &OpenDirectory<'_>) -> io::Result<u64> {
    if counts_files() {
        let size = fstatat(directory, "fd", AtFlags::empty())?.st_size;
        return Ok(u64::try_from(size).unwrap_or(0));
    }
    Ok(names_in(directory, "fd")?.count() as u64)
}

/// The numbers that a folder of a process has for names.
fn names_in(directory: &OpenDirectory<'_>, name: &str) -> io::Result<impl Iterator<Item = u32> + use<>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let entries = Dir::openat(directory, name, flags, Mode::empty())?.into_iter();
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok()))
}

/// What may not be read is none; other errors stay.
fn known<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

/// Threads come and go faster than they are listed: the next sample sees the rest.
fn pass(error: io::Error) -> io::Result<()> {
    if is_gone(&error) { Ok(()) } else { Err(error) }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ESRCH as i32) || error.kind() == io::ErrorKind::NotFound
}
