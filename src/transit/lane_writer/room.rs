//! Room for a message: the bound over all lanes, and what overflow does there.

use super::super::error::AppendError;
use super::super::protocol::Mark;
use super::super::record::MAX_BODY;
use super::super::settings::{Overflow, Settings};
use super::{LaneWriter, Stop};

impl LaneWriter {
    /// Counts what all lanes hold, sets the ceilings by it, or does what overflow says.
    pub(super) fn make_room(&mut self, size: usize, body: usize) -> Result<(), Stop> {
        let settings = self.queue.index.settings_now();
        if body as u64 > settings.max_bytes || body > MAX_BODY {
            let max_bytes = settings.max_bytes.min(MAX_BODY as u64);
            let (queue, bytes) = (self.queue.name.clone(), body as u64);
            return Err(AppendError::TooLarge { queue, bytes, max_bytes }.into());
        }
        loop {
            let held = self.queue.index.held();
            let free = Mark {
                position: settings.max_bytes.saturating_sub(held.position),
                count: settings.max_messages.saturating_sub(held.count),
            };
            // An empty queue takes one message of any permitted size.
            if held.count == 0 || (free.count > 0 && free.position >= size as u64) {
                self.ceiling.position = self.mark.position + free.position.max(size as u64);
                self.ceiling.count = self.mark.count + free.count.max(1);
                return Ok(());
            }
            if self.queue.is_replaced() {
                return Err(Stop::Replaced);
            }
            self.overflow(&settings, held)?;
        }
    }

    /// What happens to a message that does not fit: an error, or older messages went and it may fit now.
    fn overflow(&mut self, settings: &Settings, held: Mark) -> Result<(), Stop> {
        let queue = self.queue.name.clone();
        let full = || AppendError::Full {
            queue: queue.clone(),
            messages: held.count,
            max_messages: settings.max_messages,
            bytes: held.position,
            max_bytes: settings.max_bytes,
        };
        match settings.overflow {
            Overflow::Block => Err(full().into()),
            Overflow::DropNewest => Err(AppendError::DroppedNewest { queue }.into()),
            Overflow::DeadLetter => {
                let parked = self.queue.index.is_parked();
                Err(AppendError::DeadLetter { queue, parked }.into())
            }
            // Where other lanes hold everything, there is nothing of ours to drop.
            Overflow::DropOldest => {
                if self.drop_oldest()? {
                    Ok(())
                } else {
                    Err(full().into())
                }
            }
        }
    }

    /// Drops the oldest segment of this lane that holds something; false when none does. One that holds the lane's
    /// last tag stays as a file, for that tag says what was sent: its messages are dropped all the same.
    fn drop_oldest(&mut self) -> Result<bool, Stop> {
        if self.slot().held().count == 0 {
            return Ok(false);
        }
        self.remove_finished(usize::MAX).map_err(|source| self.error(source))?;
        if self.oldest_held().is_none() {
            self.roll(0)?;
        }
        let Some(oldest) = self.oldest_held() else { return Ok(false) };
        let end = self.end_of(oldest);
        self.slot().publish_dropped(end);
        // One that was kept for its tag goes with the next, once a later one has a tag.
        let kept = |writer: &Self, at: usize| Some(writer.old[at].base.position) == writer.tagged;
        for at in (0..=oldest).rev().filter(|at| !kept(self, *at)).collect::<Vec<_>>() {
            let segment = self.old.remove(at).expect("the position was just found");
            self.remove_file(segment.base.position).map_err(|source| self.error(source))?;
        }
        Ok(true)
    }

    /// The first earlier segment that holds something neither finished nor dropped.
    fn oldest_held(&self) -> Option<usize> {
        let gone = self.slot().finished().position.max(self.slot().dropped().position);
        (0..self.old.len()).find(|at| self.end_of(*at).position > gone)
    }
}
