//! What one look at all external tasks costs: processor time of the thread that looks.

use multimodule::process::HostRecord;
use multimodule::sdk::Result;
use multimodule::usage::{Handles, Meter, Root};
use nix::time::{ClockId, clock_gettime};

/// What is allowed: 2 % of one core, at one look a second, in milliseconds.
pub(crate) const ALLOWED_MS: f64 = 20.0;
/// Enough for all, 15 a task; where each file is opened for each look it costs two to three times as much.
const HANDLES: usize = 8000;
/// Looks in one measurement: the clock of the processor time is coarse where ticks are counted.
const LOOKS: u32 = 10;

/// One meter for each process on record.
pub(crate) fn meters(processes: &[HostRecord]) -> Result<Vec<Meter>> {
    let handles = Handles::new(HANDLES);
    Ok(processes
        .iter()
        .map(|process| Meter::open(process.keeper, Root::Keeper, &handles))
        .collect::<std::result::Result<_, _>>()?)
}

/// Milliseconds of processor time of one look at all.
pub(crate) fn look(meters: &mut [Meter]) -> Result<f64> {
    let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(std::time::Duration::from);
    let begin = now()?;
    for _ in 0..LOOKS {
        for meter in meters.iter_mut() {
            let usage = meter.sample()?;
            if usage.processes != 1 {
                return Err(format!("a keeper has one host, and not {}", usage.processes).into());
            }
        }
    }
    Ok((now()? - begin).as_secs_f64() * 1e3 / f64::from(LOOKS))
}
