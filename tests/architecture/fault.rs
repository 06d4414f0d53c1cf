//! What a rule reports: where, which rule, and what to do about it.

use std::fmt;

/// One place that breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// The file, from the root of the package.
    pub(crate) path: String,
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// What must hold.
    pub(crate) rule: String,
    /// How to make it hold.
    pub(crate) advice: String,
}

impl Fault {
    pub(crate) fn new(path: &str, line: usize, rule: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule: rule.into(), advice: advice.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.path, self.line, self.rule, self.advice)
    }
}
