//! `WriteFile`: keeps in a file what the last message said.
//!
//! | config | is | default |
//! |---|---|---|
//! | `path` | the file; a relative one is below the daemon's directory, which is not made | required |
//! | `field` | the field whose value is written | the whole message |
//! | `format` | `json`: indented, keys ascending; `text`: a table, one line for each value below the field, the keys that lead to it ahead of it | `json` |
//!
//! Readers see the old content or the new, never a part: it is written beside the file, as `.NAME.new`, and
//! renamed. A file that holds the same already is not touched. A new file gets mode 0644, an old one keeps its
//! mode; of a symbolic link the target is written.
//!
//! It emits nothing. A message without the field, or one that could not be written, is an error and goes to
//! `dead`; the next message is written whole again.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use multimodule::sdk::{Context, Deserialize, Message, Result, Task, View};

/// The mode of a file that was not there.
const MODE: u32 = 0o644;

/// Writes.
#[derive(Default)]
pub struct WriteFile;

/// What the config may say.
#[derive(Default, Deserialize)]
pub struct Config {
    /// The file. Required: without it there is nothing to do.
    path: String,
    /// The field; empty for the whole message.
    #[serde(default)]
    field: String,
    /// How it is written.
    #[serde(default)]
    format: Format,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Text,
}

impl Task for WriteFile {
    type Config = Config;
    type State = ();

    const SINGLE: bool = true;

    async fn message(&mut self, message: Message, ctx: &mut Context<Self>) -> Result {
        let Config { path, field, format } = &ctx.config;
        let value = match field.as_str() {
            "" => View::Map(message.view()),
            name => message.get(name).ok_or_else(|| format!("there is no field {name:?} to write to {path}"))?,
        };
        let text = render(value, *format)?;
        replace(Path::new(path), text.as_bytes()).map_err(|error| format!("cannot write {path}: {error}"))?;
        Ok(())
    }
}

fn render(value: View<'_>, format: Format) -> Result<String> {
    let mut text = match format {
        Format::Json => serde_json::to_string_pretty(&value)?,
        Format::Text => return Ok(table(value)),
    };
    text.push('\n');
    Ok(text)
}

/// One line for each scalar in `value`, the keys that lead to it in columns ahead of it.
fn table(value: View<'_>) -> String {
    let mut rows = Vec::new();
    collect(value, &mut Vec::new(), &mut rows);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
    let widths: Vec<usize> = (0..columns).map(|column| width_of(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        for (at, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', widths[at] - width(cell) + 2));
            }
        }
        text.push('\n');
    }
    text
}

fn collect(value: View<'_>, path: &mut Vec<String>, rows: &mut Vec<Vec<String>>) {
    match value {
        View::Map(map) => map.iter().for_each(|(key, value)| below(key, value, path, rows)),
        View::List(list) => list.iter().enumerate().for_each(|(at, value)| below(&at.to_string(), value, path, rows)),
        scalar => {
            let text = match scalar {
                View::Bool(value) => value.to_string(),
                other => other.scalar_text().unwrap_or_default().into_owned(),
            };
            rows.push(path.iter().cloned().chain([one_line(&text)]).collect());
        }
    }
}

fn below(key: &str, value: View<'_>, path: &mut Vec<String>, rows: &mut Vec<Vec<String>>) {
    path.push(one_line(key));
    collect(value, path, rows);
    path.pop();
}

/// `text` with its control characters escaped, so that a row stays one line.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
    }
    line
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Makes `bytes` the content of the file at `path`, all at once; returns whether they were not already.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let mode = match fs::metadata(&target) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(metadata) if metadata.len() == bytes.len() as u64 && fs::read(&target)? == bytes => return Ok(false),
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => MODE,
        Err(error) => return Err(error),
    };
    let beside = beside(&target)?;
    let written = write_new(&beside, bytes, mode).and_then(|()| fs::rename(&beside, &target));
    if let Err(error) = written {
        // What was half written serves nobody; that it cannot be removed says no more than the error itself.
        drop(fs::remove_file(&beside));
        return Err(error);
    }
    Ok(true)
}

/// The name that the new content of `target` has until it is whole.
fn beside(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "names no file"))?;
    let mut new = std::ffi::OsString::from(".");
    new.push(name);
    new.push(".new");
    Ok(target.with_file_name(new))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // Left behind by a process that was killed, or planted as a link: either way not to be written through.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    // Ahead of the rename, or a power cut leaves an empty file under the old name.
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use multimodule::sdk::{Value, fields};

    use super::*;

    fn check(value: impl Into<Value>, format: Format, expected: &str) {
        assert_eq!(render(value.into().view(), format).unwrap(), expected);
    }

    #[test]
    fn a_tally_is_written_as_json_or_as_a_table() {
        let tally = fields! { bash: fields! { install: 12, upgrade: 1 }, libc6: fields! { remove: 1 } };
        let json = "{\n  \"bash\": {\n    \"install\": 12,\n    \"upgrade\": 1\n  },\n  \"libc6\": {\n    \"remove\": 1\n  }\n}\n";
        check(tally.clone(), Format::Json, json);
        check(tally, Format::Text, "bash   install  12\nbash   upgrade  1\nlibc6  remove   1\n");
    }

    #[test]
    fn a_table_takes_every_value_and_keeps_a_row_on_one_line() {
        check("text", Format::Text, "text\n");
        check(Value::List(vec![true.into(), Value::Null]), Format::Text, "0  true\n1  \n");
        check(fields! { "a\nb": "c\td" }, Format::Text, "a\\nb  c\\td\n");
    }

    #[test]
    fn a_file_is_made_replaced_when_it_differs_and_else_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("summary.json");
        assert!(replace(&path, b"one").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        let first = fs::metadata(&path).unwrap().ino();
        assert!(!replace(&path, b"one").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), first);
        assert!(replace(&path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn an_old_file_keeps_its_mode_and_a_link_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("file"), directory.path().join("link"));
        replace(&path, b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_was_left_beside_the_file_is_replaced_and_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let (path, victim) = (directory.path().join("file"), directory.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, directory.path().join(".file.new")).unwrap();
        assert!(replace(&path, b"one").unwrap());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_directory_that_is_missing_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(replace(&directory.path().join("a/b"), b"").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(replace(directory.path(), b"").is_err());
    }
}
