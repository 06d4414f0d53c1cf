//! A task's own config with its secrets in it.

use std::borrow::Cow;

use super::read::read;
use crate::config::{PathFault, SecretReference, ValuePath};
use crate::value::{Map, Value};

/// `own` with the text of each secret where its reference stands. To be dropped when the task has it.
///
/// # Errors
/// Every secret that cannot be read, by its reference.
pub fn resolved(own: &Map) -> Result<Cow<'_, Map>, Vec<PathFault>> {
    // Nearly all configs have none, and are not copied.
    if !own.iter().any(|(_, value)| has_reference(value)) {
        return Ok(Cow::Borrowed(own));
    }
    let mut faults = Vec::new();
    let whole = map(own, &ValuePath::default(), &mut faults);
    if faults.is_empty() { Ok(Cow::Owned(whole)) } else { Err(faults) }
}

/// Keeps the secrets to which `own` refers out of what this process says, also if the task runs in another one: what
/// that one prints may be shown here. What cannot be read is that process's to tell.
pub fn keep_those_of(own: &Map) {
    drop(resolved(own));
}

fn has_reference(value: &Value) -> bool {
    match value {
        Value::Text(text) => !matches!(SecretReference::parse(text), Ok(None)),
        Value::List(list) => list.iter().any(has_reference),
        Value::Map(map) => map.iter().any(|(_, value)| has_reference(value)),
        _ => false,
    }
}

fn map(from: &Map, path: &ValuePath, faults: &mut Vec<PathFault>) -> Map {
    from.iter().map(|(key, found)| (key, value(found, &path.key(key), faults))).collect()
}

fn value(from: &Value, path: &ValuePath, faults: &mut Vec<PathFault>) -> Value {
    match from {
        Value::Text(text) => match secret(text) {
            Ok(None) => from.clone(),
            Ok(Some(secret)) => Value::from(secret),
            Err(reason) => {
                faults.push(PathFault { path: path.clone(), reason, advice: None });
                Value::Null
            }
        },
        Value::List(list) => {
            let values = list.iter().enumerate().map(|(index, found)| value(found, &path.index(index), faults));
            Value::List(values.collect())
        }
        Value::Map(below) => Value::Map(map(below, path, faults)),
        other => other.clone(),
    }
}

/// The secret that `text` refers to, if it does.
fn secret(text: &str) -> Result<Option<String>, String> {
    // A config whose references are none was refused before; here it may come from an older program's file.
    let Some(reference) = SecretReference::parse(text).map_err(|fault| fault.to_string())? else { return Ok(None) };
    read(&reference).map(Some).map_err(|error| format!("{reference}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    #[test]
    fn references_become_texts_and_all_else_stays() {
        let own = fields! {
            a: "secret://env/CARGO_PKG_DESCRIPTION",
            b: vec![fields! { c: "secret://env/CARGO_PKG_DESCRIPTION" }],
            d: 1,
            e: "a secret://env/X",
        };
        let name = env!("CARGO_PKG_DESCRIPTION");
        let expected = fields! { a: name, b: vec![fields! { c: name }], d: 1, e: "a secret://env/X" };
        assert_eq!(resolved(&own).unwrap().into_owned(), expected);
        let none = fields! { a: 1, b: "x" };
        assert!(matches!(resolved(&none), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn every_secret_that_cannot_be_read_is_told_by_its_reference() {
        let own = fields! { a: "secret://env/NO_SUCH_VARIABLE", b: vec!["secret://file/no/such/file", "secret://x"] };
        let faults = resolved(&own).unwrap_err();
        let told: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.reason)).collect();
        assert!(told[0].starts_with("a: secret://env/NO_SUCH_VARIABLE: the environment has no"), "{told:?}");
        assert!(told[1].starts_with("b[0]: secret://file/no/such/file: cannot read /no/such/file"), "{told:?}");
        assert_eq!(told[2], "b[1]: \"x\" is no kind of secret: file, env and credential are");
    }
}
