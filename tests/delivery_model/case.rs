//! What a run of the model is about: which rules hold, how often processes end, what people do meanwhile.

use crate::rules::{Rule, Rules};

/// When the output of a stateful task goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// With the next record, tagged, once.
    ExactlyOnce,
    /// When its activation returns; again, if the task is taken back to its last record.
    AtLeastOnce,
}

/// What the config says about delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Configured {
    Always(Delivery),
    /// A reload changes it now and then.
    Changing,
}

/// What a person does, once, in the middle of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Person {
    LooksOn,
    /// While A is down.
    RemovesTheRecordOfA,
    /// Under way; the queue is made again by whoever opens it next.
    RemovesTheQueueOfB,
}

/// One case; a seed makes a run of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) rules: Rules,
    /// How many messages the source sends.
    pub(crate) numbers: u32,
    /// How many of a thousand steps end the process that would have made them.
    pub(crate) crash_permille: usize,
    /// How many of a thousand writes of a record fail, and how many of a thousand activations panic.
    pub(crate) fault_permille: usize,
    /// How many of a thousand chances to commit a task takes.
    pub(crate) commit_permille: usize,
    /// How many unfinished records a queue holds before it blocks; 0 for no bound.
    pub(crate) bound: usize,
    /// How many of a thousand steps park B and S or clear them; a parked queue diverts what it has no room for.
    pub(crate) parking_permille: usize,
    /// How many processes may run each stateful task.
    pub(crate) places: usize,
    /// How many of a thousand steps tell the process that runs a task to let it go.
    pub(crate) moving_permille: usize,
    /// Some numbers end the process of A whenever it handles them.
    pub(crate) poisoned: bool,
    /// B answers each message to A.
    pub(crate) ring: bool,
    /// In a ring: how many numbers are sent and not yet answered, at most.
    pub(crate) window: u32,
    /// How many activations a task may be ahead of each commit until that is written and appended.
    pub(crate) ahead: usize,
    pub(crate) configured: Configured,
    pub(crate) person: Person,
}

impl Case {
    /// All rules, exactly once, unbounded queues, three crashes in a hundred steps.
    pub(crate) const PLAIN: Self = Self {
        rules: Rules::ALL,
        numbers: 40,
        crash_permille: 30,
        fault_permille: 0,
        commit_permille: 400,
        bound: 0,
        parking_permille: 0,
        places: 1,
        moving_permille: 0,
        poisoned: false,
        ring: false,
        window: u32::MAX / 2,
        ahead: 3,
        configured: Configured::Always(Delivery::ExactlyOnce),
        person: Person::LooksOn,
    };

    /// A ring of two tasks with queues of 4 that block; a task that waits for room takes nothing meanwhile.
    /// What is on its way fits into the two queues as long as nothing holds room in both: more is a real circle.
    pub(crate) const RING: Self = Self { bound: 4, ring: true, window: 7, ahead: 0, ..Self::PLAIN };

    /// Twice the crashes.
    pub(crate) const HEAVY: Self = Self { crash_permille: 60, ..Self::PLAIN };

    /// Queues that are mostly full, so that much is carried over from record to record.
    pub(crate) const BLOCKED: Self = Self { bound: 2, ..Self::HEAVY };

    /// Tasks that move between three processes all the time.
    pub(crate) const MOVING: Self = Self { places: 3, moving_permille: 60, bound: 6, ..Self::PLAIN };

    /// The same where the queues that are full divert to `dead` for a while, and then block again.
    pub(crate) const DIVERTING: Self = Self { parking_permille: 50, ..Self::BLOCKED };

    /// The same where records cannot always be written and handlers panic; a rollback goes to the last record.
    pub(crate) const FAULTY: Self = Self { fault_permille: 200, ..Self::BLOCKED };

    pub(crate) fn without(self, rule: Rule) -> Self {
        Self { rules: Rules::without(rule), ..self }
    }

    pub(crate) fn with_delivery(self, configured: Configured) -> Self {
        Self { configured, ..self }
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.configured == Configured::Always(Delivery::ExactlyOnce)
    }
}
