//! Who may call: our own user, and root. That somebody else has tried is told.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UnixStream;

use crate::daemon::Caller;

/// Who is at the other end, or why nobody can tell.
pub(super) fn caller(stream: &UnixStream) -> Result<Caller, String> {
    let peer = stream.peer_cred().map_err(|error| format!("the kernel does not tell who you are: {error}"))?;
    let caller = Caller { pid: peer.pid(), uid: peer.uid() };
    check(caller, nix::unistd::Uid::effective().as_raw()).map(|()| caller)
}

fn check(caller: Caller, ours: u32) -> Result<(), String> {
    if caller.uid == ours || caller.uid == 0 {
        return Ok(());
    }
    Err(format!("this daemon is user {ours}'s: it answers that user and root, and you are user {}", caller.uid))
}

/// Lines about callers that were refused do not come faster: they must not be able to fill a disk.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Tells of callers that were refused.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<Option<Instant>>);

impl Refused {
    pub(super) fn tell(&self, reason: &str) {
        if self.is_due(Instant::now()) {
            tracing::error!("a call to the control socket was refused: {reason}");
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.duration_since(last) >= TELL_EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_refused_callers_there_is_at_most_a_line_a_second() {
        let (refused, begin) = (Refused::default(), Instant::now());
        let due = [0, 1, 999, 1000, 1500, 2000].map(|ms| refused.is_due(begin + Duration::from_millis(ms)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }

    #[test]
    fn our_user_and_root_may_call_and_nobody_else() {
        for (uid, ours, may) in [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false)] {
            assert_eq!(check(Caller { pid: None, uid }, ours).is_ok(), may, "{uid} calls {ours}");
        }
    }
}
