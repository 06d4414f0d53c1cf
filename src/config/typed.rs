//! A task's own config as the Rust type that the task asks for.

use serde::de::DeserializeOwned;

use super::framework::FrameworkKey;
use super::path::{PathFault, Step, ValuePath};
use super::suggest;
use crate::value::{self, Map, Part, TypeFault};

/// Reads a task's own config; on failure tells every unknown key and the first other fault, with paths from `own` on.
pub fn typed<T: DeserializeOwned>(own: &Map) -> Result<T, Vec<PathFault>> {
    value::from_map(own).map_err(|faults| faults.into_iter().map(path_fault).collect())
}

/// The framework keys among the fields of `T`: a task with such a config could never be given that field.
#[must_use]
pub fn colliding_fields<T: DeserializeOwned>() -> Vec<&'static str> {
    let fields = value::fields_of::<T>().unwrap_or_default();
    fields.iter().copied().filter(|field| super::is_framework_key(field)).collect()
}

/// A fault of a type in the words of configs.
pub(super) fn path_fault(fault: TypeFault) -> PathFault {
    let path = ValuePath(fault.path.into_iter().map(step).collect());
    // At the top a misspelt key may have been meant for the framework.
    let framework: &[FrameworkKey] =
        if path.0.len() == 1 && fault.reason.starts_with("unknown key") { &FrameworkKey::ALL } else { &[] };
    let candidates = fault.expected.iter().copied().chain(framework.iter().map(|key| key.name()));
    let advice =
        fault.unknown.and_then(|unknown| suggest::advice(&unknown, candidates).or_else(|| listed(fault.expected)));
    PathFault { path, reason: fault.reason, advice }
}

/// Where nothing is near, a short list of what there is.
fn listed(expected: &[&str]) -> Option<String> {
    (1..=12).contains(&expected.len()).then(|| format!("known: {}", expected.join(", ")))
}

fn step(part: Part) -> Step {
    match part {
        Part::Key(key) => Step::Key(key.into()),
        Part::Index(index) => Step::Index(index),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::fields;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Config {
        outstr: String,
        ct: i64,
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Rule {
        mode: Mode,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Fast,
        Slow,
    }

    fn check(own: Map, expected: &[(&str, &str, Option<&str>)]) {
        let faults = typed::<Config>(&own).unwrap_err();
        let told: Vec<_> = faults
            .iter()
            .map(|fault| (fault.path.to_string(), fault.reason.as_str(), fault.advice.as_deref()))
            .collect();
        let told: Vec<_> = told.iter().map(|(path, reason, advice)| (path.as_str(), *reason, *advice)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_misspelt_key_or_name_is_told_with_what_was_meant() {
        check(fields! { oustr: "x" }, &[("oustr", "unknown key \"oustr\"", Some("did you mean \"outstr\"?"))]);
        check(
            fields! { intervalls: "x" },
            &[("intervalls", "unknown key \"intervalls\"", Some("did you mean \"intervals\"?"))],
        );
        check(
            fields! { something: 1 },
            &[("something", "unknown key \"something\"", Some("known: outstr, ct, rules"))],
        );
        let rules = vec![fields! { mode: "fats" }];
        check(fields! { rules: rules }, &[("rules[0].mode", "unknown value \"fats\"", Some("did you mean \"fast\"?"))]);
    }

    #[test]
    fn a_config_whose_field_has_a_framework_keys_name_is_found() {
        #[derive(Deserialize)]
        #[expect(dead_code, reason = "only its names are read")]
        struct Colliding {
            queue: String,
            ct: i64,
        }
        assert_eq!(colliding_fields::<Colliding>(), ["queue"]);
        assert!(colliding_fields::<Config>().is_empty());
    }
}
