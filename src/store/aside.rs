//! Files that are moved aside: kept for a person to look at, under a name that says when.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::name::TaskName;
use crate::process::FileError;

/// How many files of a task are kept aside: what one accident leaves (three files), and that of the one before.
/// Beyond it the oldest is removed.
pub const ASIDE_LIMIT: usize = 5;

/// What stands between a file's name and the time at which it was moved aside.
const MARK: &str = ".damaged-";

/// The longest that is ever added to a task's name.
pub(super) const LONGEST_SUFFIX: &str = ".state.0.damaged-20261231T235959.999999999Z";

/// Moves the file at `path` aside, and gives its new path.
pub(super) fn move_aside(path: &Path, now: Timestamp) -> Result<PathBuf, FileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{MARK}{}", now.strftime("%Y%m%dT%H%M%S%.9fZ")));
    let aside = PathBuf::from(name);
    std::fs::rename(path, &aside).map_err(FileError::of(path, "move aside"))?;
    Ok(aside)
}

/// Removes the oldest of a task's files that were moved aside, so that [`ASIDE_LIMIT`] remain.
pub(super) fn prune(state_dir: &Path, task: &TaskName) -> Result<(), FileError> {
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(state_dir).map_err(FileError::of(state_dir, "read"))? {
        let name = entry.map_err(FileError::of(state_dir, "read"))?.file_name();
        if let Some(time) = name.to_str().and_then(|name| time_moved(name, task)) {
            kept.push((time.to_owned(), state_dir.join(&name)));
        }
    }
    kept.sort();
    let surplus = kept.len().saturating_sub(ASIDE_LIMIT);
    kept.into_iter().take(surplus).try_for_each(|(_, path)| remove(&path))
}

/// The time in the name of a file of this task that was moved aside.
fn time_moved<'a>(name: &'a str, task: &TaskName) -> Option<&'a str> {
    let (file, time) = name.strip_prefix(task.as_str())?.split_once(MARK)?;
    matches!(file, ".state" | ".state.0" | ".state.1").then_some(time)
}

fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        // A person tidied up at the same moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(FileError::of(path, "remove")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_files_moved_aside_the_five_newest_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let task = TaskName::new("Task").unwrap();
        std::fs::write(dir.path().join("Task2.state.damaged-20200101T000000Z"), "of another task").unwrap();
        let names = [".state", ".state.0", ".state.1", ".state", ".state.1", ".state.0", ".state"];
        let moved: Vec<PathBuf> = (0..)
            .zip(names)
            .map(|(second, name)| {
                let path = dir.path().join(format!("Task{name}"));
                std::fs::write(&path, "bad").unwrap();
                move_aside(&path, Timestamp::from_second(1_700_000_000 + second).unwrap()).unwrap()
            })
            .collect();
        prune(dir.path(), &task).unwrap();
        let there: Vec<bool> = moved.iter().map(|path| path.exists()).collect();
        assert_eq!(there, [false, false, true, true, true, true, true]);
        assert!(dir.path().join("Task2.state.damaged-20200101T000000Z").exists());
        let longest = moved.iter().map(|path| path.file_name().unwrap().len()).max().unwrap();
        assert_eq!(longest, "Task".len() + LONGEST_SUFFIX.len());
    }
}
