//! The source tree keeps its own rules: layers, sizes, purity, where `unsafe` stands, what the documents promise.
//!
//! A failure names file, line, rule and what to do. The checkers are tested here on small inputs too, for a checker
//! that finds nothing would pass for ever.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[path = "architecture/checker.rs"]
mod checker;
#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/fault.rs"]
mod fault;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use fault::Fault;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

fn expect_none(mut faults: Vec<Fault>) {
    faults.sort();
    let report: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), report.join("\n"));
}

#[test]
fn a_module_uses_its_own_layer_and_those_below() {
    expect_none(layers::faults(&source::load(root())));
}

#[test]
fn every_file_keeps_the_rules_of_style() {
    let sources = source::load(root());
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the tree was read");
    expect_none(rules::faults(&sources));
}

#[test]
fn the_readme_shows_the_two_commands_of_a_new_user() {
    expect_none(documents::readme_faults(&read("README.md")));
}

#[test]
fn every_decision_that_is_mentioned_exists() {
    let decisions: BTreeSet<u32> = documents::decisions(&read("docs/ARCHITECTURE.md"));
    let sources = source::load(root()).into_iter().filter(|source| !source.path.starts_with("tests/architecture"));
    let faults = sources.flat_map(|source| documents::decision_faults(&source.path, &source.text, &decisions));
    let of_readme = documents::decision_faults("README.md", &read("README.md"), &decisions);
    expect_none(faults.chain(of_readme).collect());
}
