//! Runs a case over many seeds, and says which seed repeats a run.
//!
//! `MULTIMODULE_SEEDS=20000` makes that many runs of each case; `MULTIMODULE_SEED=17` makes only that one and prints its
//! verdict. The default is what fits into a few seconds.

use std::env;
use std::fmt::Debug;

use crate::rules::Rule;
use crate::verdict::Verdict;

/// Runs of each case, unless the environment says otherwise.
const DEFAULT_SEEDS: u64 = 150;

/// A world of the model with its parameters; a seed makes a run of it.
pub(crate) trait Scenario: Copy + Debug {
    /// Makes the run that `seed` gives, and judges it. Also tells how many processes ended on the way.
    fn judge(self, seed: u64) -> (Verdict, u32);

    /// The same with one rule left out.
    fn without(self, rule: Rule) -> Self;

    fn may_crash(self) -> bool;
}

/// Every promise must be kept in every run, and at least one process must have ended on the way, if any may.
pub(crate) fn check_kept(case: impl Scenario) {
    let mut crashes = 0;
    for seed in seeds() {
        let (verdict, ended) = case.judge(seed);
        crashes += ended;
        report(seed, verdict);
        assert!(verdict == Verdict::Kept, "{verdict:?} in {case:#?}\nMULTIMODULE_SEED={seed} repeats it");
    }
    assert!(crashes > 0 || !case.may_crash() || only_seed().is_some(), "no process ever ended in {case:#?}");
}

/// Without this rule some run comes to that verdict; that none does with all rules, `check_kept` shows.
pub(crate) fn check_needed(case: impl Scenario, rule: Rule, expected: Verdict) {
    let mut verdicts = seeds().map(|seed| (seed, case.without(rule).judge(seed).0));
    let found = verdicts.any(|(seed, verdict)| {
        report(seed, verdict);
        verdict.is_like(expected)
    });
    assert!(found || only_seed().is_some(), "{rule:?} was left out and no run came to {expected:?}: is it needed?");
}

fn seeds() -> Box<dyn Iterator<Item = u64>> {
    match only_seed() {
        Some(seed) => Box::new(seed..=seed),
        None => Box::new(1..=number("MULTIMODULE_SEEDS").unwrap_or(DEFAULT_SEEDS)),
    }
}

fn only_seed() -> Option<u64> {
    number("MULTIMODULE_SEED")
}

/// Which run is which, for who replays one.
fn report(seed: u64, verdict: Verdict) {
    if only_seed().is_some() {
        println!("seed {seed}: {verdict:?}");
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}
