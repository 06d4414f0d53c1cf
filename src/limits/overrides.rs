//! What a config says about the rules, laid over the defaults.
//!
//! Invariant: what is kept here makes sense on any number of processors, for it is checked when it is put in.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::metric::Metric;
use super::rule::{Level, Rule, RuleFault};
use super::thresholds::Windows;

/// What a config says about one metric.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Override {
    /// Its levels; if none are said, the default ones hold.
    pub levels: Option<Vec<Level>>,
    /// Whether its level `failsafe` stops a task; if that is not said: with levels no, without as by default.
    pub can_failsafe: Option<bool>,
    /// How long no reading may have been below that level before.
    pub hold: Option<Duration>,
    /// Whether one reading is enough.
    pub fast: bool,
}

/// What a config says about all of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overrides {
    /// How long the windows are.
    pub windows: Windows,
    by_metric: BTreeMap<Metric, Override>,
}

impl Overrides {
    /// From now on `said` holds for `metric`.
    ///
    /// # Errors
    /// All in it that makes no sense; what held before holds then.
    pub fn insert(&mut self, metric: Metric, said: Override) -> Result<(), Vec<RuleFault>> {
        said.rule(metric, NonZeroUsize::MIN)?;
        self.by_metric.insert(metric, said);
        Ok(())
    }

    /// The rule of `metric` on a machine with `cpus` processors.
    pub(super) fn rule(&self, metric: Metric, cpus: NonZeroUsize) -> Rule {
        let said = self.by_metric.get(&metric).cloned().unwrap_or_default();
        said.rule(metric, cpus).expect("levels were checked when they were put in, and the default ones make sense")
    }
}

impl Override {
    fn rule(&self, metric: Metric, cpus: NonZeroUsize) -> Result<Rule, Vec<RuleFault>> {
        let usual = self.levels.is_none() && metric.can_failsafe();
        let levels = self.levels.clone().unwrap_or_else(|| metric.levels(cpus));
        Rule::new(levels, self.can_failsafe.unwrap_or(usual), self.hold, self.fast)
    }
}
