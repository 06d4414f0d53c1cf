//! What is kept of the numbers of one sender: enough for a verdict, and no more than a few words.

use multimodule::sdk::{Deserialize, Serialize};

/// The numbers of one sender, as somebody saw them: 1, 2, 3 and so on, if all is well.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// The highest number so far.
    pub(crate) highest: i64,
    /// All that were handed over, repeated ones too.
    pub(crate) handed: u64,
    /// Those that were not higher than one before.
    pub(crate) repeated: u64,
    /// Numbers below the highest that had not come when a higher one came.
    pub(crate) skipped: u64,
}

impl Tally {
    /// Counts `n`; how many numbers were left out right before it.
    pub(crate) fn count(&mut self, n: i64) -> u64 {
        self.handed += 1;
        if n <= self.highest {
            self.repeated += 1;
            return 0;
        }
        let skipped = (n - self.highest - 1).unsigned_abs();
        self.skipped += skipped;
        self.highest = n;
        skipped
    }
}
