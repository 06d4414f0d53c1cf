//! The end of a host whose keeper was gone: whoever finds it does what the keeper would have done.

use super::super::{BootId, EndRecord, HostFiles, How, ProcessRef, RecordError, write_record};
use super::past::{Past, reason, unix_ms};
use crate::name::TaskName;
use crate::restart::{Decision, Policy};

/// Writes down that `host` has ended unseen, or that none could be started (`how` says which), counts it, and says
/// what follows by `policy`; the process is parked if that is what follows. It is for processes without a keeper.
///
/// # Errors
/// A record cannot be written; then the end may be counted again.
pub fn settle_unseen_end(
    files: &HostFiles,
    name: &TaskName,
    policy: &Policy,
    host: Option<ProcessRef>,
    how: How,
) -> Result<Decision, RecordError> {
    let boot = BootId::current()?;
    let mut past = Past::load(files, &boot);
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
    let decision = past.decide(policy, &end);
    if let Decision::GiveUp { ends, within } = decision {
        past.park(files, name, reason(ends, within))?;
    }
    past.write(files)?;
    failpoint!("keeper.unseen_end_counted");
    write_record(&files.end(), &end)?;
    Ok(decision)
}
