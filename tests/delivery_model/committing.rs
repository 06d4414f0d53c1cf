//! The commit of a stateful task: snapshot, write, seal, finish; and the way back to the last record.

use super::Stateful;
use crate::commit::Commit;
use crate::lane::LaneId;
use crate::recovery::position_in;
use crate::rules::Rule;
use crate::world::World;

impl Stateful {
    /// The commit begins between two activations: state, positions, output and listed messages, as they are now.
    pub(super) fn snapshot(&mut self, world: &mut World) {
        let burial_waits = self.buried && world.has(Rule::BurialRecorded);
        if !burial_waits && !world.random.happens(world.case.commit_permille) {
            return;
        }
        self.holds_burial = self.buried;
        self.ahead = 0;
        let pending = if world.has(Rule::Pending) { self.mailbox.iter().copied().collect() } else { Vec::new() };
        self.to_write = Some(Commit {
            epoch: world.commit(self.task).epoch,
            n: world.commit(self.task).n + 1,
            state: self.state.clone(),
            positions: self.positions.clone(),
            outbox: self.outbox.snapshot(world),
            pending,
            true_positions: self.true_positions.clone(),
        });
        self.to_finish = true;
        // Removed files are noticed now and then.
        self.open_lanes.retain(|_, lane| world.transit.lanes[*lane].removed_at.is_none());
    }

    pub(super) fn write(&mut self, world: &mut World) {
        let commit = self.to_write.take().expect("the action is there only with a record");
        if world.random.happens(world.case.fault_permille) {
            // The record before holds, and the next commit tries again.
            self.is_last = false;
            self.to_finish = false;
            return;
        }
        *world.commit(self.task) = commit;
        self.to_seal = true;
    }

    pub(super) fn seal(&mut self, world: &mut World) {
        self.outbox.seal(world.commit(self.task).n);
        self.buried &= !self.holds_burial;
        self.to_seal = false;
    }

    /// What an activation did since the last record is void, and its inputs are taken again.
    pub(super) fn roll_back(&mut self, world: &mut World) {
        let commit = world.commit(self.task).clone();
        (self.state, self.positions, self.true_positions) = (commit.state, commit.positions, commit.true_positions);
        self.mailbox = commit.pending.into();
        self.putting.clear();
        self.outbox.roll_back();
        (self.panicked, self.buried) = (false, false);
    }

    pub(super) fn finish(&mut self, world: &mut World) {
        let written = &world.commits[self.task as usize];
        let positions = self.to_write.as_ref().unwrap_or(written).positions.clone();
        let finished: Vec<(LaneId, usize)> =
            self.readable(world).map(|lane| (lane.id, position_in(&positions, world, lane))).collect();
        for (lane, position) in finished {
            let end = world.transit.lanes[lane].records.len();
            world.transit.finish(lane, position.min(end));
        }
        self.to_finish = false;
    }
}
