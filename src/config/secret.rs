//! References to secrets: what stands in a config instead of a password.
//!
//! ```text
//!   secret://file/etc/multimodule/password     what the file /etc/multimodule/password holds
//!   secret://env/NAME                          the value of that variable
//!   secret://credential/NAME                   what the service manager put into $CREDENTIALS_DIRECTORY/NAME
//! ```
//!
//! A reference stands as a whole value in a task's own config, where the task expects text. Who runs the task reads it,
//! so a config, and whatever is written of it, holds the reference only. It is read in `secret`, not here.

use std::fmt;
use std::path::PathBuf;

use super::framework::{FrameworkKey, is_framework_key};
use super::path::{PathFault, ValuePath};
use super::suggest;
use super::{DAEMON, OUT_OF_BAND, ROUTER};
use crate::value::Value;

/// What every reference begins with.
const SCHEME: &str = "secret://";
const KINDS: [&str; 3] = ["file", "env", "credential"];

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// In this file; the path begins at the root.
    File(PathBuf),
    /// In this variable of the environment.
    Env(String),
    /// In a file of this name in the directory that the service manager made for it.
    Credential(String),
}

/// A text that begins like a reference and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    /// It names no kind that there is.
    #[error("{0:?} is no kind of secret: file, env and credential are")]
    Kind(String),
    /// The kind is all that it names.
    #[error("secret://{0}/ names nothing")]
    Empty(&'static str),
    /// What it names can be neither a variable nor a credential.
    #[error("{0:?} can be no name of a secret: letters, digits, _, - and . make one")]
    Name(String),
    /// No file has a name with a NUL in it.
    #[error("its path holds a NUL")]
    Nul,
}

impl SecretReference {
    /// Reads a reference; none where `text` is just text.
    ///
    /// # Errors
    /// It begins like a reference, and is none.
    pub fn parse(text: &str) -> Result<Option<Self>, SecretFault> {
        let Some(rest) = text.strip_prefix(SCHEME) else { return Ok(None) };
        let (kind, name) = rest.split_once('/').unwrap_or((rest, ""));
        let Some(kind) = KINDS.into_iter().find(|known| *known == kind) else {
            return Err(SecretFault::Kind(kind.to_owned()));
        };
        let name = if kind == "file" { name.trim_start_matches('/') } else { name };
        if name.is_empty() {
            return Err(SecretFault::Empty(kind));
        }
        Ok(Some(match kind {
            "file" if name.contains('\0') => return Err(SecretFault::Nul),
            "file" => Self::File(PathBuf::from(format!("/{name}"))),
            "env" => Self::Env(checked(name)?),
            _ => Self::Credential(checked(name)?),
        }))
    }
}

/// As it stands in a config.
impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{SCHEME}file{}", path.display()),
            Self::Env(name) => write!(f, "{SCHEME}env/{name}"),
            Self::Credential(name) => write!(f, "{SCHEME}credential/{name}"),
        }
    }
}

fn checked(name: &str) -> Result<String, SecretFault> {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if is_plain && !name.starts_with('.') { Ok(name.to_owned()) } else { Err(SecretFault::Name(name.to_owned())) }
}

/// Tells the references of an entry that are none, and those that stand where nobody reads them.
pub(super) fn check_entry(entry: &str, value: &Value, faults: &mut Vec<PathFault>) {
    let path = ValuePath::default().key(entry);
    match (entry, value) {
        (ROUTER, _) => check(value, &path, false, faults),
        // Whoever reads these says what may stand there.
        (DAEMON | OUT_OF_BAND, _) => check(value, &path, true, faults),
        (_, Value::Map(map)) => {
            for (key, value) in map.iter() {
                let is_own = !is_framework_key(key) || key == FrameworkKey::Task.name();
                check(value, &path.key(key), is_own, faults);
            }
        }
        _ => {}
    }
}

fn check(value: &Value, path: &ValuePath, is_read: bool, faults: &mut Vec<PathFault>) {
    match value {
        Value::Text(text) => faults.extend(fault_of(text, path, is_read)),
        Value::List(list) => {
            list.iter().enumerate().for_each(|(index, value)| check(value, &path.index(index), is_read, faults));
        }
        Value::Map(map) => map.iter().for_each(|(key, value)| check(value, &path.key(key), is_read, faults)),
        _ => {}
    }
}

fn fault_of(text: &str, path: &ValuePath, is_read: bool) -> Option<PathFault> {
    let (reason, advice) = match SecretReference::parse(text) {
        Ok(None) => return None,
        Ok(Some(_)) if is_read => return None,
        Ok(Some(_)) => {
            let advice = "refer to it in the own config of the task that needs it".to_owned();
            ("a secret is not read here".to_owned(), Some(advice))
        }
        Err(SecretFault::Kind(kind)) => (SecretFault::Kind(kind.clone()).to_string(), suggest::advice(&kind, KINDS)),
        Err(fault) => (fault.to_string(), None),
    };
    Some(PathFault { path: path.clone(), reason, advice })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fields;

    fn check_parse(text: &str, expected: Option<&SecretReference>) {
        assert_eq!(SecretReference::parse(text).unwrap().as_ref(), expected, "{text}");
    }

    #[test]
    fn a_reference_names_a_file_from_the_root_on_a_variable_or_a_credential() {
        let file = SecretReference::File("/etc/pass word".into());
        check_parse("secret://file/etc/pass word", Some(&file));
        check_parse("secret://file//etc/pass word", Some(&file));
        check_parse("secret://env/DB_PASSWORD", Some(&SecretReference::Env("DB_PASSWORD".to_owned())));
        check_parse("secret://credential/db.key", Some(&SecretReference::Credential("db.key".to_owned())));
        assert_eq!(file.to_string(), "secret://file/etc/pass word");
        for text in ["", "secret", "a secret://env/X", "Secret://env/X"] {
            check_parse(text, None);
        }
    }

    #[test]
    fn what_only_begins_like_one_is_refused_with_the_reason() {
        for (text, expected) in [
            ("secret://", "\"\" is no kind of secret"),
            ("secret://fil/x", "\"fil\" is no kind of secret"),
            ("secret://file//", "secret://file/ names nothing"),
            ("secret://env", "secret://env/ names nothing"),
            ("secret://file/a\0", "NUL"),
            ("secret://env/A=B", "can be no name"),
            ("secret://credential/../x", "can be no name"),
            ("secret://credential/.", "can be no name"),
        ] {
            let fault = SecretReference::parse(text).unwrap_err().to_string();
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }

    #[test]
    fn a_config_says_where_a_reference_is_none_or_is_not_read() {
        let root = fields! {
            Router: fields! { routes: vec![fields! { match: fields! { a: "secret://env/A" } }] },
            T: fields! {
                good: "secret://env/A",
                bad: vec!["secret://nev/A"],
                process: "secret://env/A",
                task: fields! { good_too: "secret://env/A" },
            },
        };
        let faults = Config::read(&root).unwrap_err();
        let find = |path: &str| faults.iter().find(|fault| fault.path.to_string() == path).unwrap();
        assert_eq!(find("Router.routes[0].match.a").reason, "a secret is not read here");
        assert_eq!(find("T.bad[0]").advice.as_deref(), Some("did you mean \"env\"?"));
        assert!(faults.iter().any(|fault| fault.path.to_string() == "T.process"));
        assert!(!faults.iter().any(|fault| fault.path.to_string().contains("good")), "{faults:?}");
    }
}
