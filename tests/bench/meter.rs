//! A number that a task in another process has reached, and when: a file that it writes over and a bench reads.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use multimodule::sdk::Result;
use nix::time::{ClockId, clock_gettime};

/// How long a number may take to come: machines are loaded.
const SOON: Duration = Duration::from_secs(60);
/// How often it is looked for. What is written has its own time, so this is no error of what is measured.
const LOOK: Duration = Duration::from_millis(1);

/// The task's end.
#[derive(Default)]
pub(crate) struct Meter(Option<File>);

impl Meter {
    pub(crate) fn open(path: &str) -> Result<Self> {
        Ok(Self(Some(File::options().write(true).create(true).truncate(false).open(path)?)))
    }

    /// Says that `count` is reached now.
    pub(crate) fn reached(&self, count: u64) -> Result {
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend(now_ns().to_le_bytes());
        Ok(self.0.as_ref().ok_or("the meter is open after start")?.write_all_at(&bytes, 0)?)
    }
}

/// Nanoseconds of the clock that all processes share.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// The count that was reached, at or above `least`, and when.
pub(crate) fn wait(path: &Path, least: u64) -> Result<(u64, u64)> {
    let end = Instant::now() + SOON;
    loop {
        match read(path) {
            Some((count, ns)) if count >= least => return Ok((count, ns)),
            _ if Instant::now() >= end => return Err(format!("{least} is not reached in {SOON:?}").into()),
            _ => std::thread::sleep(LOOK),
        }
    }
}

/// Counts per second during about `window`, by the task's own clock.
pub(crate) fn rate(path: &Path, window: Duration) -> Result<f64> {
    let begin = wait(path, 1)?;
    std::thread::sleep(window);
    let end = wait(path, begin.0 + 1)?;
    Ok((end.0 - begin.0) as f64 / (end.1 - begin.1) as f64 * 1e9)
}

fn read(path: &Path) -> Option<(u64, u64)> {
    let file = File::open(path).ok()?;
    let once = || {
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let [count, ns] = [&bytes[..8], &bytes[8..]].map(|half| half.try_into().map(u64::from_le_bytes));
        Some((count.ok()?, ns.ok()?))
    };
    // One that is being written over is not believed.
    let first = once()?;
    (once()? == first).then_some(first)
}
