//! Where the transit is, and whether it can be there.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::statfs;
use nix::unistd::{AccessFlags, Uid, access};

use super::error::Error;
use crate::process::is_of_another_user;

/// The transit directory that is meant when none is named: `MULTIMODULE_TRANSIT`; else for root
/// `/var/lib/multimodule/transit`, for others `$XDG_STATE_HOME/multimodule/transit`, where that variable is by
/// default `~/.local/state`. An error where neither variable nor home is set.
pub fn default_root() -> Result<PathBuf, Error> {
    choose_root(is_root(), |name| std::env::var_os(name).map(PathBuf::from))
}

/// Whether this process is root's: a host may run as another user, and uses what is the daemon's.
fn is_root() -> bool {
    Uid::effective().is_root() || is_of_another_user()
}

fn choose_root(is_root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, Error> {
    let variable = |name: &str| variable(name).filter(|value| !value.as_os_str().is_empty());
    if let Some(path) = variable("MULTIMODULE_TRANSIT") {
        return Ok(path);
    }
    if is_root {
        return Ok(PathBuf::from("/var/lib/multimodule/transit"));
    }
    let state = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(variable("HOME")?.join(".local/state"))).ok_or(Error::NoRoot)?;
    Ok(state.join("multimodule/transit"))
}

/// Makes the directory where there is none, and refuses one that cannot be a transit.
pub(super) fn prepare(path: &Path) -> Result<(), Error> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(source) => return Err(Error::NotWritable { path: path.to_owned(), source: made.err().unwrap_or(source) }),
    };
    if !metadata.is_dir() {
        return Err(Error::NotADirectory { path: path.to_owned() });
    }
    let ours = if is_root() { Uid::from_raw(0) } else { Uid::effective() };
    check_owner(path, metadata.uid(), ours.as_raw())?;
    let kind = statfs(path).map_err(|errno| Error::io(path, errno))?;
    check_file_system(path, kind.filesystem_type().0)?;
    // The kernel answers by the user alone, whatever rights he has beside.
    let access = if is_of_another_user() { Ok(()) } else { access(path, AccessFlags::W_OK | AccessFlags::X_OK) };
    access.map_err(|errno| Error::NotWritable { path: path.to_owned(), source: io::Error::from(errno) })
}

fn check_owner(path: &Path, owner: u32, ours: u32) -> Result<(), Error> {
    if owner == ours { Ok(()) } else { Err(Error::NotOurs { path: path.to_owned(), owner, ours }) }
}

/// File systems, by the magic of `statfs(2)`, on which a mapping is not shared or a lock not kept.
const FOREIGN: [(i64, &str); 7] = [
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x5346_414F, "AFS"),
];

fn check_file_system(path: &Path, magic: i64) -> Result<(), Error> {
    match FOREIGN.iter().find(|(foreign, _)| *foreign == magic & 0xFFFF_FFFF) {
        Some((_, file_system)) => Err(Error::ForeignFileSystem { path: path.to_owned(), file_system }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transit_directory_follows_the_environment_and_the_user() {
        let check = |is_root, variables: &[(&str, &str)], expected: Option<&str>| {
            let variable =
                |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value));
            assert_eq!(choose_root(is_root, variable).ok(), expected.map(PathBuf::from), "{is_root} {variables:?}");
        };
        check(true, &[("MULTIMODULE_TRANSIT", "/t")], Some("/t"));
        check(true, &[("HOME", "/root")], Some("/var/lib/multimodule/transit"));
        check(false, &[("HOME", "/home/a")], Some("/home/a/.local/state/multimodule/transit"));
        check(false, &[("HOME", "/home/a"), ("XDG_STATE_HOME", "/s")], Some("/s/multimodule/transit"));
        check(false, &[("HOME", "/h"), ("XDG_STATE_HOME", "relative")], Some("/h/.local/state/multimodule/transit"));
        check(false, &[("HOME", "")], None);
    }

    #[test]
    fn a_directory_on_a_network_or_fuse_file_system_is_refused_by_name() {
        let path = Path::new("/somewhere");
        for (magic, name) in FOREIGN {
            let error = check_file_system(path, magic).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("choose a local directory"), "{error}");
            assert!(check_file_system(path, i64::from(magic as i32)).is_err(), "sign-extended {name}");
        }
        assert!(check_file_system(path, 0xEF53).is_ok());
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        let error = check_owner(Path::new("/t"), 1000, 0).unwrap_err().to_string();
        assert!(error.contains("belongs to user 1000") && error.contains("choose another"), "{error}");
    }

    #[test]
    fn a_file_where_the_directory_should_be_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(prepare(file.path()), Err(Error::NotADirectory { .. })));
        assert!(matches!(prepare(&file.path().join("below")), Err(Error::NotWritable { .. })));
    }
}
