//! Which worker gets a message: pure.

/// So many messages of a worker are unfinished, at most: enough to go on with while the dispatcher looks elsewhere, and
/// few to deal again when it ends.
pub(in super::super) const AHEAD: u64 = 16;

/// The one with the least unfinished, if it has room; of several the next one after `last`. `loads` are workers and how
/// much each has unfinished.
pub(super) fn least(loads: impl Iterator<Item = (u32, u64)>, last: u32) -> Option<u32> {
    let with_room = loads.filter(|(_, unfinished)| *unfinished < AHEAD);
    with_room.min_by_key(|(worker, unfinished)| (*unfinished, *worker <= last, *worker)).map(|(worker, _)| worker)
}

/// Always the same one for the same key. When `members` change, only the keys of those that come and go move.
pub(super) fn sticky(key: &str, members: impl Iterator<Item = u32>) -> Option<u32> {
    // The highest of the draws wins (rendezvous hashing): it does not matter who else draws.
    members.max_by_key(|worker| (draw(key, *worker), *worker))
}

/// A number that depends on these two alone, in every version of this program: FNV-1a, and a last mix.
fn draw(key: &str, worker: u32) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = key.bytes().chain(worker.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, fold);
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_loaded_worker_with_room_is_chosen_and_equals_take_turns() {
        let check = |loads: &[(u32, u64)], last, expected| {
            assert_eq!(least(loads.iter().copied(), last), expected, "{loads:?} after {last}");
        };
        check(&[], 0, None);
        check(&[(1, AHEAD), (2, AHEAD + 1)], 0, None);
        check(&[(1, AHEAD), (2, AHEAD - 1)], 2, Some(2));
        check(&[(1, 3), (2, 2), (3, 4)], 0, Some(2));
        check(&[(1, 2), (2, 2), (3, 2)], 1, Some(2));
        check(&[(1, 2), (2, 2), (3, 2)], 3, Some(1));
    }

    #[test]
    fn a_key_has_one_worker_and_moves_only_with_it() {
        let keys: Vec<_> = (0..4000).map(|key| format!("user {key}")).collect();
        let with = |members: &[u32]| -> Vec<_> {
            keys.iter().map(|key| sticky(key, members.iter().copied()).unwrap()).collect()
        };
        let (four, three) = (with(&[1, 2, 3, 4]), with(&[1, 2, 4]));
        assert_eq!(four, with(&[4, 3, 2, 1]));
        for worker in 1..=4 {
            let share = four.iter().filter(|one| **one == worker).count();
            assert!((800..1200).contains(&share), "worker {worker} has {share} of 4000 keys");
        }
        assert!(four.iter().zip(&three).all(|(before, after)| *before == 3 || before == after));
        assert_eq!(sticky("x", std::iter::empty()), None);
    }
}
