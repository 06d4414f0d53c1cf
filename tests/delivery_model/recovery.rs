//! What a process that takes a task over goes by: its record, and what stands on the lanes.

use std::collections::BTreeMap;

use crate::commit::{Commit, Entry, LaneKey};
use crate::lane::{Lane, Queue, Tag};
use crate::rules::Rule;
use crate::world::{Task, World};

/// Under what this lane's position is recorded.
pub(crate) fn key_of(world: &World, lane: &Lane) -> LaneKey {
    if world.has(Rule::LaneId) { LaneKey::Id(lane.id) } else { LaneKey::Writer(lane.writer) }
}

/// Where to read on: an unknown lane from its finished position, and never below it, for that room has gone.
pub(crate) fn position_in(positions: &BTreeMap<LaneKey, usize>, world: &World, lane: &Lane) -> usize {
    positions.get(&key_of(world, lane)).map_or(lane.finished, |position| lane.finished.max(*position))
}

/// Whether this entry of the record's outbox stands on its lane already: the lane's last tag is not before it.
pub(crate) fn went_out(world: &mut World, task: Task, commit: &Commit, entry: &Entry) -> bool {
    let tag = Tag { epoch: commit.epoch, n: commit.n, index: entry.index };
    let in_dead = world.transit.open(task.writer(), Queue::Dead);
    if !world.has(Rule::OnlyARecordDiverts) && world.transit.lanes[in_dead].holds(tag) {
        return true;
    }
    let lane = world.transit.open(task.writer(), entry.target);
    let lane = &world.transit.lanes[lane];
    let last = if world.has(Rule::TagInRecord) { lane.last_tag() } else { lane.slot_tag };
    let Some(last) = last.filter(|last| !world.has(Rule::Epoch) || last.epoch == commit.epoch) else { return false };
    (commit.n, entry.index) <= (last.n, last.index)
}
