//! The checkers on small inputs: each rule finds what breaks it, and nothing else.

use std::collections::BTreeSet;

use crate::source::{Source, mark_test_modules};
use crate::{documents, layers, rules};

/// Runs the layers and the rules on one file; `expected` are pieces of the rules broken, as `line: rule`.
fn check(path: &str, text: &str, expected: &[&str]) {
    let mut sources = vec![Source::new(path, text)];
    mark_test_modules(&mut sources);
    let mut faults = layers::faults(&sources);
    faults.extend(rules::faults(&sources));
    faults.sort();
    let found: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.line, fault.rule)).collect();
    let agree = found.len() == expected.len() && found.iter().zip(expected).all(|(is, wants)| is.contains(wants));
    assert!(agree, "{path}\n{text}\nfound {found:#?}, expected {expected:#?}");
}

#[test]
fn a_use_of_a_layer_above_is_found_however_it_is_written() {
    let policy = "src/router/table.rs";
    check(policy, "//! T.\nuse crate::runtime::Task;", &["2: `router` (policy) uses `runtime` (actors)"]);
    check(policy, "//! T.\nuse multimodule::transit;", &["2: `router` (policy) uses `transit` (mechanism)"]);
    check(policy, "//! T.\nuse crate::{value::{A, store}, daemon::B};", &["2: `router` (policy) uses `daemon`"]);
    check(policy, "//! T.\nuse crate::{\n    value::A,\n    host::B,\n};", &["4: `router` (policy) uses `host`"]);
    check(policy, "//! T.\nfn f() { crate::cli::run() }", &["2: `router` (policy) uses `cli`"]);
    check(policy, "//! T.\nuse super::super::runtime::Task;", &["2: `router` (policy) uses `runtime`"]);
    check("src/name.rs", "//! N.\nuse crate::sdk::Task;", &["2: `name` (vocabulary) uses `sdk` (face)"]);
    check("src/name.rs", "//! N.\nuse crate::novelty::X;", &["`novelty` is in no layer"]);
    check("src/novelty/mod.rs", "//! N.\nuse crate::name::X;", &["`novelty` is in no layer"]);
}

#[test]
fn a_use_of_the_own_layer_or_of_one_below_is_fine() {
    check("src/router/table.rs", "//! T.\nuse crate::{config, message::Stamp, name::*};", &["no glob imports"]);
    check("src/router/table.rs", "//! T.\nuse super::route::Route;\nuse super::super::value::Map;", &[]);
    check("src/runtime/actor.rs", "//! A.\nuse crate::sdk::Task;\nuse crate::transit::Queue;", &[]);
    check("src/lib.rs", "//! L.\npub mod daemon;\npub use crate::daemon::Daemon;", &[]);
    check("src/transit/lane.rs", "//! L.\n// crate::runtime\nconst T: &str = \"crate::runtime::x\";", &[]);
    check("src/transit/lane.rs", "//! L.\nuse crate::{Error, fields};\nmacro_rules! fields { () => {} }", &[]);
}

#[test]
fn tasks_see_the_sdk_and_each_other_only() {
    check("tasks/tail.rs", "//! T.\nuse multimodule::sdk::{Task, Context};\nuse super::scheduler::Entry;", &[]);
    check("tasks/tail.rs", "//! T.\nuse multimodule::transit::Queue;", &["2: a task uses `transit`"]);
    check("tasks/tail.rs", "//! T.\nuse multimodule::runtime::Registry;", &["2: a task uses `runtime`"]);
    check("tasks/mod.rs", "//! T.\nuse multimodule::runtime::Registry;", &[]);
    check("tasks/mod.rs", "//! T.\nuse multimodule::runtime::Actor;", &["2: a task uses `runtime`"]);
}

#[test]
fn only_composition_border_and_the_tests_of_runtime_know_the_tasks() {
    check("src/daemon/start.rs", "//! S.\nuse crate::tasks;", &[]);
    check("src/bin/multimodule.rs", "//! B.\nuse multimodule::tasks;", &[]);
    check("src/runtime/actor.rs", "//! A.\nuse crate::tasks;", &["2: `runtime` uses `tasks`"]);
    check("src/runtime/actor.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    use crate::tasks;\n}", &[]);
    check(
        "src/transit/lane.rs",
        "//! A.\n#[cfg(test)]\nmod tests {\n    use crate::tasks;\n}",
        &["`transit` uses `tasks`"],
    );
}

#[test]
fn policy_does_no_io_and_reads_no_clock_outside_its_tests() {
    check("src/config/read.rs", "//! R.\nuse std::{fmt, fs};", &["2: policy decides"]);
    check("src/config/read.rs", "//! R.\nuse std::env::var;\nuse std::thread;", &["2: policy", "3: policy"]);
    check("src/config/read.rs", "//! R.\nfn f() { tokio::spawn(g()); }", &["2: policy decides"]);
    check("src/limits/window.rs", "//! W.\nfn f() { let t = Instant::now(); }", &["2: policy reads no clock"]);
    check(
        "src/config/read.rs",
        "//! R.\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\nuse std::net;",
        &["6: policy"],
    );
    check("src/store/read.rs", "//! R.\nuse std::fs;", &[]);
}

#[test]
fn unsafe_code_stands_where_it_may() {
    check("src/transit/map.rs", "//! M.\nfn f() { unsafe { g() } }", &[]);
    check("src/store/map.rs", "//! M.\nfn f() { unsafe { g() } }", &["2: `unsafe` stands in"]);
    check("src/store/map.rs", "//! M: unsafe.\n#![deny(unsafe_code)]\n/* unsafe /* unsafe */ */", &[]);
}

#[test]
fn files_are_short_begin_with_what_they_are_for_and_have_names() {
    check("src/store/a.rs", &format!("//! A.\n{}", "// b\n".repeat(399)), &[]);
    check("src/store/a.rs", &format!("//! A.\n{}", "// b\n".repeat(400)), &["401: a file has at most 400 lines"]);
    check("src/store/a.rs", "use std::fs;", &["1: a file begins with"]);
    check("src/store/mod.rs", "//! S.\nmod record;\npub(crate) mod utils;", &["3: `utils` is no noun"]);
    check("src/store/mod.rs", "//! S.\npub use record::Record;\nfn f() {}", &["3: `mod.rs` only declares"]);
}

#[test]
fn lints_are_expected_with_a_reason_and_no_test_is_ignored() {
    check("src/store/a.rs", "//! A.\n#[allow(dead_code)]\nfn f() {}", &["2: a lint is expected"]);
    check("src/store/a.rs", "//! A.\n#![expect(dead_code)]", &["2: an expected lint has its reason"]);
    check("src/store/a.rs", "//! A.\n#[expect(dead_code, reason = \"soon\")]", &[]);
    check("tests/spec/a.rs", "//! A.\n#[test]\n#[ignore]\nfn f() {}", &["3: no test is ignored"]);
}

#[test]
fn tests_may_glob_but_specs_may_not_sleep() {
    check("src/store/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n    use super::*;\n}", &[]);
    check("src/store/a.rs", "//! A.\nuse super::*;", &["2: no glob imports"]);
    check("tests/spec/a.rs", "//! A.\nuse std::thread;\nfn f() { thread::sleep(x) }", &["3: a test does not sleep"]);
}

#[test]
fn literals_and_lifetimes_do_not_confuse_the_reader() {
    let quotes =
        "//! A.\nconst Q: char = '\"';\nconst E: char = '\\'';\nfn f<'a>(x: &'a str) {}\n#[allow(x)]\nfn g() {}";
    check("src/store/a.rs", quotes, &["5: a lint is expected"]);
    let raw = "//! A.\nconst R: &[u8] = br#\"a \" #[allow(x)] \"#;\nconst S: &str = r\"\\\";\n#[allow(x)]";
    check("src/store/a.rs", raw, &["4: a lint is expected"]);
}

#[test]
fn a_module_declared_for_tests_is_test_code_in_its_own_file() {
    let mut sources = vec![
        Source::new("src/store/mod.rs", "//! S.\nmod record;\n#[cfg(test)]\nmod tests;"),
        Source::new("src/store/tests.rs", "//! T.\nuse super::*;"),
        Source::new("src/store/tests/torn.rs", "//! T.\nuse super::*;"),
        Source::new("src/store/record.rs", "//! R.\nuse super::*;"),
    ];
    mark_test_modules(&mut sources);
    let paths: Vec<String> = rules::faults(&sources).into_iter().map(|fault| fault.path).collect();
    assert_eq!(paths, ["src/store/record.rs"]);
}

#[test]
fn documents_are_held_to_their_promises() {
    assert_eq!(documents::readme_faults("# M\n    tests/run\n").len(), 1);
    assert_eq!(documents::readme_faults("# M\n").len(), 2);
    let decisions = documents::decisions("# A\n1. no\n## Decisions\n3. **Three.** x\n### 4. Four\n## Next\n5. no");
    assert_eq!(decisions, BTreeSet::from([3, 4]));
    let faults = documents::decision_faults("src/a.rs", "// decision 3\n// see Decision 5, decision maker", &decisions);
    assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2]);
}
