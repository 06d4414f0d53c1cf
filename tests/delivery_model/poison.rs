//! Poison: an input whose handling ends the process. Three words of the lane's slot count, and outlive every process.
//!
//! ```text
//! under_way ◄── end of the input, before its handler is called;  0 when that has returned
//! opening:  under_way beyond finished ─► same as suspect?  ended + 1  :  suspect = it, ended = 1;  under_way = 0
//! taking the suspect with ended = 3 ─► it goes to `dead`, as if an activation had emitted it there
//! ```
//!
//! The word is set only while a handler runs: a kill between two activations counts against nobody.
//! There is one suspect a lane. So nothing is taken between a burial and the record that holds it: else the next
//! poison takes the suspect's place, the burial is forgotten with the process, and the two go on in turn for ever.

use crate::lane::{LaneId, Queue};
use crate::rules::Rule;
use crate::world::World;

/// So many processes end on an input before it is buried.
pub(crate) const ENDS: u32 = 3;
/// Numbers on which A ends its process: two of one sender near each other, and one of the other.
pub(crate) const POISON: [u32; 3] = [8, 10, 21];

/// What a lane's slot says of the input under way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UnderWay {
    /// The end of the input that a handler works on; 0 for none.
    end: usize,
    suspect: usize,
    ended: u32,
}

impl UnderWay {
    pub(crate) fn begin(&mut self, end: usize) {
        self.end = end;
    }

    pub(crate) fn done(&mut self) {
        self.end = 0;
    }

    /// Whether the input that ends here is not to be handled again.
    pub(crate) fn is_poison(&self, end: usize) -> bool {
        self.ended_on(end) >= ENDS
    }

    /// How many processes ended on the input that ends here.
    pub(crate) fn ended_on(&self, end: usize) -> u32 {
        if self.suspect == end { self.ended } else { 0 }
    }

    /// A process opens the queue to consume it.
    pub(crate) fn count(&mut self, finished: usize) {
        if self.end > finished {
            self.ended = if self.suspect == self.end { self.ended + 1 } else { 1 };
            self.suspect = self.end;
        }
        self.end = 0;
    }
}

/// A process opens the queue to consume it.
pub(crate) fn count_ends(world: &mut World, queue: Queue) {
    for lane in world.transit.lanes.iter_mut().filter(|lane| lane.queue == queue) {
        lane.under_way.count(lane.finished);
    }
}

/// The handler has returned.
pub(crate) fn done(world: &mut World, lane: LaneId) {
    if world.has(Rule::MarkedWhileHandled) {
        world.transit.lanes[lane].under_way.done();
    }
}
