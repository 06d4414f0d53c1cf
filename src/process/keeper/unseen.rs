//! The end of a host whose keeper is gone: whoever finds it does what the keeper would have done.

use super::super::{BootId, EndRecord, HostFiles, How, ProcessRef, RecordError, write_record};
use super::past::{Past, reason, unix_ms};
use crate::name::TaskName;
use crate::restart::{Decision, Policy};

/// Writes down that `host` has ended unseen, or that none could be started (`how` says which), counts it, and says
/// what follows by `policy`; the process is parked if that is what follows. It is for processes without a keeper.
///
/// # Errors
/// A record cannot be written; then the end is settled again.
pub fn settle_unseen_end(
    files: &HostFiles,
    name: &TaskName,
    policy: &Policy,
    host: Option<ProcessRef>,
    how: How,
) -> Result<Decision, RecordError> {
    let boot = BootId::current()?;
    let now = unix_ms();
    let end = EndRecord {
        boot,
        host,
        how,
        asked: false,
        started_unix_ms: now,
        ended_unix_ms: now,
        user_cpu_ms: 0,
        system_cpu_ms: 0,
        max_rss_kib: 0,
    };
    let decision = settle_end(files, name, policy, &end)?;
    failpoint!("keeper.unseen_end_counted");
    write_record(&files.end(), &end)?;
    Ok(decision)
}

/// Says what follows by `policy` after an end that is on record, and counts it unless that was done: a keeper may be
/// killed between the two. The process is parked if that is what follows. It is for processes without a keeper.
///
/// # Errors
/// A record cannot be written; then the end is settled again.
pub fn settle_end(
    files: &HostFiles,
    name: &TaskName,
    policy: &Policy,
    end: &EndRecord,
) -> Result<Decision, RecordError> {
    let mut past = Past::load(files, &end.boot);
    let decision = past.decide(policy, end);
    if let Decision::GiveUp { ends, within } = decision {
        past.park(files, name, reason(ends, within))?;
    }
    past.write(files)?;
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::{Backoff, Budget, When};

    fn end(host: u32) -> EndRecord {
        EndRecord {
            boot: BootId::current().unwrap(),
            host: Some(ProcessRef { pid: host, start_ticks: 1 }),
            how: How::Exited(7),
            asked: false,
            started_unix_ms: 1,
            ended_unix_ms: 2,
            user_cpu_ms: 0,
            system_cpu_ms: 0,
            max_rss_kib: 0,
        }
    }

    #[test]
    fn an_end_that_its_keeper_could_not_count_any_more_is_counted_once_by_whoever_finds_it() {
        let place = tempfile::tempdir().unwrap();
        let name = TaskName::new("Task").unwrap();
        let files = HostFiles::new(place.path(), &name);
        let policy = Policy::new(When::Always, Backoff::default(), Budget { max: 2, within_ms: 60_000 }).unwrap();
        let settle = |host| settle_end(&files, &name, &policy, &end(host)).unwrap();
        for host in 1..=2 {
            for _ in 0..5 {
                assert!(matches!(settle(host), Decision::StartAt(_)), "{host}");
            }
        }
        // The same end, found a second time by somebody who did not see it.
        let host = Some(ProcessRef { pid: 2, start_ticks: 1 });
        let again = settle_unseen_end(&files, &name, &policy, host, How::Unseen).unwrap();
        assert!(matches!(again, Decision::StartAt(_)), "{again:?}");
        assert!(matches!(settle(3), Decision::GiveUp { ends: 3, .. }));
        assert!(files.failsafe().exists());
        // Whoever clears that begins a new count, in which the old end has no part.
        std::fs::remove_file(files.failsafe()).unwrap();
        assert!(matches!(settle(3), Decision::StartAt(_)));
        assert!(matches!(settle(4), Decision::StartAt(_)));
        assert!(matches!(settle(5), Decision::StartAt(_)));
    }
}
