//! How a process lets its stateful task go: it takes nothing more, commits, and joins the write.

use super::Stateful;
use crate::rules::Rule;
use crate::world::World;

impl Stateful {
    /// A step of a process that is told to let the task go: it takes nothing, and is through when its last record is
    /// known to be written. What of that is not appended then, the next process appends.
    pub(crate) fn leave(&mut self, world: &mut World) -> bool {
        if self.is_last && self.to_write.is_some() && !world.has(Rule::WriteJoined) {
            let commit = self.to_write.take().expect("it is there");
            world.late_writes.push((self.task, self.place, commit));
            return true;
        }
        let is_last_written = self.is_last && self.to_write.is_none() && !self.to_seal;
        match () {
            () if self.to_write.is_some() => self.write(world),
            () if self.to_seal => self.seal(world),
            () if self.panicked => self.roll_back(world),
            () if !self.putting.is_empty() => self.put(world),
            () if self.to_finish && world.random.happens(500) => self.finish(world),
            () if !self.to_finish && self.may_append(world) && world.random.happens(500) => self.append(world),
            () if is_last_written => return !self.may_append(world) || world.random.happens(300),
            () if self.to_finish => {}
            () if !self.mailbox.is_empty() && world.random.happens(300) => self.run_stateless(world),
            () => {
                self.snapshot(world);
                self.is_last = self.to_write.is_some();
            }
        }
        false
    }

    /// A broken rule: the task has left this process, and its stateless copy goes on.
    pub(crate) fn haunt(&mut self, world: &mut World) {
        match () {
            () if !self.putting.is_empty() => self.put(world),
            () if !self.mailbox.is_empty() => self.run_stateless(world),
            () => {}
        }
    }

    fn may_append(&self, world: &World) -> bool {
        !self.outbox.appendable(world).is_empty()
    }
}
