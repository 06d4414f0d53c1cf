//! The newest lines of this process, for whoever asks to see them.
//!
//! Invariant: at most [`LINES`] lines and [`BYTES`] bytes are kept; lines are numbered from 1 on without gaps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many lines are kept: what a person scrolls through.
const LINES: usize = 5_000;

/// How many bytes of them: a line may hold a whole config with its faults.
const BYTES: usize = 4 << 20;

/// The newest lines. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    last: u64,
    bytes: usize,
    lines: VecDeque<(Option<String>, String)>,
}

impl Recent {
    /// Keeps a line of a task, or of the process itself.
    pub(super) fn keep(&self, task: Option<&str>, text: String) {
        let mut ring = self.lock();
        ring.last += 1;
        ring.bytes += text.len();
        ring.lines.push_back((task.map(str::to_owned), text));
        while ring.lines.len() > LINES || ring.bytes > BYTES {
            let Some((_, oldest)) = ring.lines.pop_front() else { return };
            ring.bytes -= oldest.len();
        }
    }

    /// The lines after number `after`, only those of `task` if one is named, each with its line break; and the number
    /// to ask from next time.
    #[must_use]
    pub fn after(&self, after: u64, task: Option<&str>) -> (Vec<String>, u64) {
        let ring = self.lock();
        let first = ring.last - ring.lines.len() as u64;
        let skipped = usize::try_from(after.saturating_sub(first)).unwrap_or(usize::MAX);
        let new = ring.lines.iter().skip(skipped);
        let chosen = new.filter(|(of, _)| task.is_none() || of.as_deref() == task);
        (chosen.map(|(_, text)| text.clone()).collect(), ring.last)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_told_once_each() {
        let recent = Recent::default();
        for number in 0..LINES + 2 {
            recent.keep(Some("A").filter(|_| number % 2 == 0), format!("{number}\n"));
        }
        let (lines, next) = recent.after(0, None);
        assert_eq!((lines.len(), lines[0].as_str(), next), (LINES, "2\n", LINES as u64 + 2));
        assert_eq!(recent.after(next - 2, Some("A")).0, [format!("{LINES}\n")]);
        assert_eq!(recent.after(next, None), (Vec::new(), next));
        recent.keep(None, "x".repeat(BYTES));
        assert_eq!(recent.after(0, None).0.len(), 1);
    }
}
