//! Reading a secret from where its reference says that it is.

use std::env::VarError;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::known::{self, MAX_TEXTS};
use crate::config::SecretReference;

/// The longest secret: a key with its chain of certificates, many times.
pub const MAX_SECRET_BYTES: usize = 64 << 10;

/// Where a service manager tells where it has put credentials.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The bits of a file's mode by which others than its owner may do something.
const OTHERS: u32 = 0o077;

/// Why a secret is not known. None of these says anything of its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others than its owner may read or write the file.
    #[error("others may use {0} (mode {mode:04o}): chmod 600 {0}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is a directory, a FIFO, a device.
    #[error("{} is no regular file", _0.display())]
    NoFile(PathBuf),
    /// There is no such variable.
    #[error("the environment has no {0}; external tasks have that which the daemon had when they were started")]
    NotSet(String),
    /// It holds more than a secret does.
    #[error("it is longer than {MAX_SECRET_BYTES} bytes")]
    TooLong,
    /// It holds nothing.
    #[error("it is empty")]
    Empty,
    /// It is no text.
    #[error("it is no UTF-8 text")]
    NoText,
    /// More secrets than can be kept out of the log.
    #[error("this process knows too many secrets: {MAX_TEXTS} texts are kept out of what it says, and no more")]
    TooMany,
    /// What the process prints cannot be kept clean of it.
    #[error("what is printed cannot be kept clean of it: {0}")]
    Unguarded(io::Error),
}

/// Who is told each secret before anybody else is, for what this process prints.
type First = Box<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

static FIRST: OnceLock<First> = OnceLock::new();

/// From now on each secret that is read is told first here; one that `first` does not take is known to nobody. Once in
/// a process.
pub fn tell_first(first: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static) {
    FIRST.get_or_init(|| Box::new(first));
}

/// Reads a secret, and keeps it out of what this process says from now on.
///
/// # Errors
/// [`SecretError`], which does not name the reference.
pub(super) fn read(reference: &SecretReference) -> Result<String, SecretError> {
    let secret = match reference {
        SecretReference::File(path) => text(read_file(path, true)?)?,
        SecretReference::Env(name) => variable(name)?,
        // Who may read it the service manager has seen to, with means that a mode does not show.
        SecretReference::Credential(name) => {
            text(read_file(&Path::new(&variable(CREDENTIALS_DIRECTORY)?).join(name), false)?)?
        }
    };
    match secret.len() {
        0 => Err(SecretError::Empty),
        length if length > MAX_SECRET_BYTES => Err(SecretError::TooLong),
        _ if !known::keep(&secret) => Err(SecretError::TooMany),
        _ => FIRST.get().map_or(Ok(()), |first| first(&secret)).map_err(SecretError::Unguarded).map(|()| secret),
    }
}

fn variable(name: &str) -> Result<String, SecretError> {
    std::env::var(name).map_err(|error| match error {
        VarError::NotPresent => SecretError::NotSet(name.to_owned()),
        VarError::NotUnicode(_) => SecretError::NoText,
    })
}

/// At most one byte more than a secret has.
fn read_file(path: &Path, is_private: bool) -> Result<Vec<u8>, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    // Not blocking: it may be a FIFO.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Err(SecretError::NoFile(path.to_owned()));
    }
    let mode = facts.mode() & 0o7777;
    if is_private && mode & OTHERS != 0 {
        return Err(SecretError::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    // With its line break, and one more.
    file.take(MAX_SECRET_BYTES as u64 + 3).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The text of a file without the line break at its end, which editors and `echo` put there.
fn text(bytes: Vec<u8>) -> Result<String, SecretError> {
    let mut text = String::from_utf8(bytes).map_err(|_| SecretError::NoText)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::super::redacted;
    use super::*;

    struct Directory(tempfile::TempDir);

    impl Directory {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, bytes: &[u8], mode: u32) -> SecretReference {
            let path = self.0.path().join("secret");
            drop(fs::remove_file(&path));
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            SecretReference::File(path)
        }
    }

    #[test]
    fn a_file_is_read_without_its_last_line_break_and_its_secret_is_known_from_then_on() {
        let directory = Directory::new();
        for (bytes, expected) in
            [("s3cret one\n", "s3cret one"), ("s3cret two\r\n", "s3cret two"), (" s3cret\n\n", " s3cret\n")]
        {
            assert_eq!(read(&directory.file(bytes.as_bytes(), 0o600)).unwrap(), expected);
            assert_eq!(redacted(expected), "***");
        }
        let longest = "x".repeat(MAX_SECRET_BYTES);
        assert_eq!(read(&directory.file((longest.clone() + "\r\n").as_bytes(), 0o400)).unwrap(), longest);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_with_what_to_do() {
        let directory = Directory::new();
        let path = directory.0.path().join("secret").display().to_string();
        let too_long = "x".repeat(MAX_SECRET_BYTES + 1);
        for (bytes, mode, expected) in [
            (&b"open"[..], 0o644, format!("others may use {path} (mode 0644): chmod 600 {path}")),
            (b"open", 0o640, format!("chmod 600 {path}")),
            (b"\n", 0o600, "it is empty".to_owned()),
            (b"\xff\xfe", 0o600, "no UTF-8".to_owned()),
            (too_long.as_bytes(), 0o600, "longer than 65536".to_owned()),
        ] {
            let told = read(&directory.file(bytes, mode)).unwrap_err().to_string();
            assert!(told.contains(&expected), "{told}");
        }
        let reference = SecretReference::File(directory.0.path().to_owned());
        assert!(matches!(read(&reference), Err(SecretError::NoFile(_))));
        let reference = SecretReference::File(directory.0.path().join("none"));
        assert!(matches!(read(&reference), Err(SecretError::File { .. })));
        let fifo = directory.0.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(read(&SecretReference::File(fifo)), Err(SecretError::NoFile(_))));
    }

    #[test]
    fn a_variable_is_read_and_one_that_is_not_there_is_named() {
        // The one variable that every test run has.
        let expected = std::env::var("CARGO_PKG_DESCRIPTION").unwrap();
        assert_eq!(read(&SecretReference::Env("CARGO_PKG_DESCRIPTION".to_owned())).unwrap(), expected);
        let told = read(&SecretReference::Env("NO_SUCH_VARIABLE".to_owned())).unwrap_err().to_string();
        assert!(told.contains("no NO_SUCH_VARIABLE"), "{told}");
    }

    #[test]
    fn without_a_directory_for_credentials_there_are_none() {
        let told = read(&SecretReference::Credential("db".to_owned())).unwrap_err().to_string();
        assert!(told.contains(CREDENTIALS_DIRECTORY), "{told}");
    }
}
