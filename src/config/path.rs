//! Where in a config something stands, independent of the form it is written in.

use std::fmt;

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// To the value of this key. A fault about the key itself has the key as its last step.
    Key(String),
    /// To this element, counted from 0.
    Index(usize),
}

/// The way from a config's outermost map to a value in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ValuePath(pub Vec<Step>);

impl ValuePath {
    /// The path to `key` below this one.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// The path to element `index` below this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The entry of the config that it leads into, if it leads anywhere.
    #[must_use]
    pub fn entry(&self) -> Option<&str> {
        match self.0.first()? {
            Step::Key(key) => Some(key),
            Step::Index(_) => None,
        }
    }

    /// This path below `base`.
    #[must_use]
    pub fn below(&self, base: &Self) -> Self {
        Self(base.0.iter().chain(&self.0).cloned().collect())
    }
}

/// `Router.routes[2].forwards[0].qname`
impl fmt::Display for ValuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// What is wrong at a place of a value, before anybody knows in which text that value stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFault {
    /// Where.
    pub path: ValuePath,
    /// What is wrong, as a lowercase fragment.
    pub reason: String,
    /// What would be right, if that can be told: `did you mean "forwards"?`
    pub advice: Option<String>,
}
