//! The rules that one file keeps or breaks by itself.
//!
//! Not here: what rustc and clippy check (functions of at most 70 lines, documentation of public items, `unwrap`).

use crate::fault::Fault;
use crate::source::Source;

/// The longest file, in lines: past this a reader no longer sees one noun.
pub(crate) const MAX_LINES: usize = 400;

const POLICY: [&str; 5] = ["config", "router", "task", "restart", "limits"];
/// Where mapped memory, fork and pidfd are.
const UNSAFE: [&str; 2] = ["transit", "process"];
/// Names that say nothing, and so gather everything.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "manager"];

/// Checks every rule of this file on every source.
pub(crate) fn faults(sources: &[Source]) -> Vec<Fault> {
    let rules = [
        size,
        opening,
        module_names,
        mod_files,
        purity,
        clock,
        unsafety,
        allowed_lints,
        ignored_tests,
        sleeping,
        globs,
    ];
    sources.iter().flat_map(|source| rules.iter().flat_map(|rule| rule(source))).collect()
}

fn size(source: &Source) -> Vec<Fault> {
    let lines = source.text.lines().count();
    let fault = || {
        let rule = format!("a file has at most {MAX_LINES} lines, this one has {lines}");
        Fault::new(&source.path, MAX_LINES + 1, rule, "split it: one noun per file")
    };
    (lines > MAX_LINES).then(fault).into_iter().collect()
}

fn opening(source: &Source) -> Vec<Fault> {
    let fault = || {
        let advice = "say what the module is for, what always holds (`Invariant:`), and what it does not do";
        Fault::new(&source.path, 1, "a file begins with `//!`", advice)
    };
    (!source.text.starts_with("//!")).then(fault).into_iter().collect()
}

fn module_names(source: &Source) -> Vec<Fault> {
    let declared = source.declared_modules().into_iter().map(|(declared, _)| declared);
    let empty = declared.filter(|declared| EMPTY_NAMES.contains(&declared.name.as_str()));
    let advice = "name it after the noun it holds, or put the code where it is used";
    empty
        .map(|d| Fault::new(&source.path, d.line, format!("`{}` is no noun of this product", d.name), advice))
        .collect()
}

/// `mod.rs` declares, re-exports and documents; one fault a file, at the first thing that is more than that.
fn mod_files(source: &Source) -> Vec<Fault> {
    if source.is_test || !(source.path.starts_with("src/") && source.path.ends_with("/mod.rs")) {
        return Vec::new();
    }
    let items = ["fn", "struct", "enum", "impl", "trait"].into_iter().flat_map(|item| source.find(item)).min();
    let advice = "move the code to a file that is named after it";
    refuse(source, items.into_iter().collect(), "`mod.rs` only declares and re-exports", advice)
}

fn purity(source: &Source) -> Vec<Fault> {
    if !is_in(source, &POLICY) {
        return Vec::new();
    }
    let outside = source.uses("std::").into_iter().filter(|used| ["fs", "net", "env", "thread"].contains(&&*used.name));
    let mut places: Vec<usize> = outside.map(|used| used.offset).collect();
    places.extend(source.find("tokio"));
    let advice = "hand in what was read or awaited as an argument; the caller does I/O, waits and threads";
    refuse(source, outside_tests(source, places), "policy decides, and does nothing", advice)
}

fn clock(source: &Source) -> Vec<Fault> {
    if !is_in(source, &POLICY) {
        return Vec::new();
    }
    let places = ["Instant::now", "SystemTime::now"].into_iter().flat_map(|clock| source.find(clock)).collect();
    let advice = "take `now` as an argument";
    refuse(source, outside_tests(source, places), "policy reads no clock", advice)
}

fn unsafety(source: &Source) -> Vec<Fault> {
    // System V queues, a peer of the benches, have no safe interface.
    if is_in(source, &UNSAFE) || source.path.starts_with("tests/bench") {
        return Vec::new();
    }
    let advice = "use a safe call, or give `transit` or `process` a safe function for it";
    refuse(source, source.find("unsafe"), "`unsafe` stands in `transit` and `process` alone", advice)
}

fn allowed_lints(source: &Source) -> Vec<Fault> {
    let advice = "write #[expect(LINT, reason = \"..\")]: it also tells when it is no longer needed";
    let mut faults = refuse(source, source.find("[allow("), "a lint is expected, not allowed", advice);
    let without_reason = |at: &usize| !source.code[*at..].split(']').next().is_some_and(|it| it.contains("reason"));
    let places = source.find("[expect(").into_iter().filter(without_reason).collect();
    faults.extend(refuse(source, places, "an expected lint has its reason", advice));
    faults
}

fn ignored_tests(source: &Source) -> Vec<Fault> {
    let advice = "make it run everywhere, or name what it needs and let tests/run get that";
    refuse(source, source.find("[ignore"), "no test is ignored", advice)
}

fn sleeping(source: &Source) -> Vec<Fault> {
    if !source.path.starts_with("tests/spec") {
        return Vec::new();
    }
    let places = ["thread::sleep", "time::sleep"].into_iter().flat_map(|sleep| source.find(sleep)).collect();
    refuse(source, places, "a test does not sleep", "wait for the line or the exit that it is about, with a deadline")
}

fn globs(source: &Source) -> Vec<Fault> {
    let places = outside_tests(source, source.find("::*"));
    refuse(source, places, "no glob imports outside tests", "import the names: a reader must see where one comes from")
}

fn refuse(source: &Source, places: Vec<usize>, rule: &str, advice: &str) -> Vec<Fault> {
    places.into_iter().map(|at| Fault::new(&source.path, source.line_at(at), rule, advice)).collect()
}

fn outside_tests(source: &Source, places: Vec<usize>) -> Vec<usize> {
    places.into_iter().filter(|at| !source.is_test_at(*at)).collect()
}

/// Whether the file belongs to one of these modules of `src`.
fn is_in(source: &Source, modules: &[&str]) -> bool {
    let below = source.path.strip_prefix("src/").unwrap_or_default();
    let first = below.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    modules.contains(&first)
}
