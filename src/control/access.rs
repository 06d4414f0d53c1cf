//! Who may call: our own user, and root.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_user_and_root_may_call_and_nobody_else() {
        for (uid, ours, may) in [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false)] {
            assert_eq!(check(Caller { pid: None, uid }, ours).is_ok(), may, "{uid} calls {ours}");
        }
    }
}
