//! The rules about documents: what they promise is there.

use std::collections::BTreeSet;

use crate::fault::Fault;

/// The two commands that a new user types.
const COMMANDS: [&str; 2] = ["cargo run --release -- -c test.conf -p mytasks::", "tests/run"];

/// The README shows both commands, each on a line of its own.
pub(crate) fn readme_faults(readme: &str) -> Vec<Fault> {
    let shows = |command: &&str| readme.lines().any(|line| line.trim().trim_start_matches("$ ") == *command);
    let missing = COMMANDS.iter().filter(|command| !shows(command));
    let advice = "show it on a line of its own: those two lines are all that a new user types";
    missing.map(|command| Fault::new("README.md", 1, format!("the README shows `{command}`"), advice)).collect()
}

/// Every `decision N` that a file mentions is a numbered paragraph below `## Decisions` of the architecture document.
pub(crate) fn decision_faults(path: &str, text: &str, decisions: &BTreeSet<u32>) -> Vec<Fault> {
    let advice = "correct the number, or write the paragraph in docs/ARCHITECTURE.md";
    let mentioned =
        text.lines().enumerate().flat_map(|(index, line)| mentions(line).into_iter().map(move |n| (index, n)));
    let unknown = mentioned.filter(|(_, number)| !decisions.contains(number));
    unknown.map(|(index, n)| Fault::new(path, index + 1, format!("decision {n} exists"), advice)).collect()
}

/// The numbers of the decisions that the architecture document holds.
pub(crate) fn decisions(architecture: &str) -> BTreeSet<u32> {
    let section = architecture.lines().skip_while(|line| !line.starts_with("## Decisions")).skip(1);
    let section = section.take_while(|line| !line.starts_with("## "));
    section.filter_map(|line| line.trim_start_matches('#').trim().split_once('.')?.0.parse().ok()).collect()
}

fn mentions(line: &str) -> Vec<u32> {
    let lower = line.to_lowercase();
    let after = lower.split("decision ").skip(1);
    after.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()).collect()
}
