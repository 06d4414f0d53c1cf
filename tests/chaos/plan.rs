//! The killer's decisions: what it does, after which pause. A seed repeats them.
//!
//! What comes of them is not repeated: who lives at that moment, and what it is doing, is the machine's affair.

use std::time::Duration;

use crate::random::Random;
use crate::shape::FLIPPED;

/// Something that happens to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// SIGKILL to one process, or to several at once.
    Kill(&'static [Kind]),
    /// One task moves.
    Flip(usize),
    /// A setting changes.
    Reload,
}

/// Whom a kill hits; which one of them is decided by [`Plan::pick`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Daemon,
    Keeper,
    Host,
    Spawner,
    Sender,
}

/// What happens in how many of 100 cases.
const ACTS: [(usize, Act); 10] = [
    (34, Act::Kill(&[Kind::Host])),
    (14, Act::Kill(&[Kind::Keeper])),
    (11, Act::Kill(&[Kind::Daemon])),
    (4, Act::Kill(&[Kind::Spawner])),
    (10, Act::Kill(&[Kind::Sender])),
    (3, Act::Kill(&[Kind::Host, Kind::Host])),
    (3, Act::Kill(&[Kind::Daemon, Kind::Host])),
    (3, Act::Kill(&[Kind::Keeper, Kind::Host, Kind::Daemon, Kind::Sender])),
    (12, Act::Flip(0)),
    (6, Act::Reload),
];

/// The pauses between two acts: from a tenth of what a host needs to be back to several times that.
const PAUSE_MS: (u64, u64) = (5, 165);

impl Act {
    /// Whether it is among `names` as they stand in [`ONLY`]: `host`, `daemon+host`, `flip:Pass`, `reload`.
    pub(crate) fn is_among(self, names: &str) -> bool {
        let name = match self {
            Self::Kill(kinds) => kinds.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join("+"),
            Self::Flip(task) => format!("flip:{}", FLIPPED[task]),
            Self::Reload => "reload".to_owned(),
        };
        names.split(',').any(|only| only.eq_ignore_ascii_case(&name))
    }
}

/// Names the only acts that are done, to find out which of them a fault needs; the others are left out.
pub(crate) const ONLY: &str = "MULTIMODULE_CHAOS_ONLY";

/// The decisions that a seed gives.
#[derive(Debug)]
pub(crate) struct Plan(Random);

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// The next one, and how long before it nothing is done.
    pub(crate) fn next(&mut self) -> (Duration, Act) {
        let (least, most) = PAUSE_MS;
        let pause = Duration::from_millis(least + self.0.next() % (most - least));
        let mut rest = self.0.below(ACTS.iter().map(|(share, _)| share).sum());
        for (share, act) in ACTS {
            if rest < share {
                return (pause, if act == Act::Flip(0) { Act::Flip(self.0.below(FLIPPED.len())) } else { act });
            }
            rest -= share;
        }
        (pause, Act::Reload)
    }

    /// Which one of `living` is meant; they come in a fixed order.
    pub(crate) fn pick(&mut self, living: usize) -> Option<usize> {
        // The draw is made in any case: the decisions after it are the same.
        let drawn = self.0.next();
        let living = u64::try_from(living).unwrap();
        (living > 0).then(|| usize::try_from(drawn % living).unwrap())
    }
}
