//! The rules of the protocol, each of which can be left out to show that it is needed.

/// One rule; the comment says what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Rule {
    /// Finished positions are published only when the record that holds them is written.
    WriteFirst,
    /// They are published before the outbox is appended, so that room is made before room is waited for.
    FinishFirst,
    /// What found no room when it should go out at once is put into the outbox of the next record: so a task that
    /// waits for room can commit, and give back the room of what it has taken.
    BlockedOutbox,
    /// What of the outbox of record `n` is not yet appended is carried over into record `n + 1`.
    CarriedOver,
    /// A sealed entry goes where its record says: only a record diverts, by naming `dead` as the target.
    OnlyARecordDiverts,
    /// Nothing sealed is appended between a snapshot and the end of its write, nor after a write that failed, until
    /// a later one is through or the task went back: so the newer record holds exactly what the lanes lack.
    NothingAppendedWhileWriting,
    /// What is carried over gets its new number when the record that gives it is written, and keeps the old one if
    /// the write fails: a lane's tags ascend.
    NumberedWhenWritten,
    /// The tag stands in the record that it tags, not in the lane's slot beside.
    TagInRecord,
    /// The tag names the epoch: a record that was removed and begun again is another one.
    Epoch,
    /// What goes out at once bears the number of the last record, not of the coming one.
    DirectTag,
    /// The commit records the listed messages that are not yet handled.
    Pending,
    /// Only the task's own activations write its lane.
    TaskLane,
    /// Positions are recorded by the lane's id, and those of an unknown lane are ignored.
    LaneId,
    /// The files of a queue that was removed are read to their end by the process that has them open.
    DrainOld,
    /// The owner's lock is taken before the record is read.
    OwnerFirst,
    /// It is released after the last record is written.
    OwnerLast,
    /// The locks of its lanes are released after the last append.
    LanesAfterOutput,
    /// A process that lets a task go waits for the end of the write under way.
    WriteJoined,
    /// What a process handles for a task after the task's last record there has no effect: it is listed in that.
    VoidAfterLast,
    /// The word that says which input is under way is set only while the handler runs.
    MarkedWhileHandled,
    /// Nothing is taken between a burial and the record that holds it.
    BurialRecorded,
    /// A sender appends to the queue of a stateless task only when nothing of its own is left in memory for that.
    MemoryWorkedOff,
    /// What stands in memory behind a message that was forwarded to the queue is not handled there.
    ForwardsTheRest,
    /// It uses memory only when its lane in that queue is finished to the end.
    LaneFinished,
    /// The look at the lane and the change to memory are one step.
    LookAndChange,
    /// A sender that starts begins at the queue, wherever that is.
    BeginsAtTheQueue,
    /// A process hears that a stateless task is nowhere when the task's home in the daemon is gone.
    HomeLeavesFirst,
    /// A stateless task is somewhere again only when those that it has sent to have finished that.
    ReceiversFirst,
    /// Those of them that move, too, are in their new places before that.
    ReceiversHomeFirst,
    /// Before that is looked at, what waits in outboxes is appended.
    OutboxBeforeTheLook,
    /// Who returns to memory has its lane follow that of the process which read the queue meanwhile.
    FollowsTheHome,
    /// While an earlier order to follow counts, a new one begins where that does.
    EarlierOrderStands,
    /// A copy that a pool deals names the lane and the position of its input.
    InputTagged,
    /// It is appended before its input is finished.
    AppendFirst,
    /// An input is finished before the next one is appended.
    OneAtATime,
    /// A worker's messages are dealt again only by who holds the consumer's lock of its queue.
    DealtAgainUnderLock,
    /// The dispatcher gives that lock back when no other worker has room.
    GivenBack,
    /// A message that is dealt again bears how many workers ended on it.
    EndsTravel,
    /// A queue's finished positions of a task without state stay below the lowest input that has listed work.
    LowWatermark,
}

/// The rules in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    left_out: Option<Rule>,
}

impl Rules {
    pub(crate) const ALL: Self = Self { left_out: None };

    pub(crate) fn without(rule: Rule) -> Self {
        Self { left_out: Some(rule) }
    }

    pub(crate) fn has(self, rule: Rule) -> bool {
        self.left_out != Some(rule)
    }
}
