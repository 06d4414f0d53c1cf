//! What a run takes on disk: nothing may grow beyond its bound, nothing may pile up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::place::Place;
use crate::shape::QUEUE_BYTES;
use crate::system::QUEUES;

/// The largest segment; a bound is passed by at most one per lane.
const SEGMENT: u64 = 16 << 20;
/// A record of state holds an outbox of at most 8 MiB and as much that is under way.
const STATE: u64 = 32 << 20;
/// A log is renamed when it is this large, and somebody may print meanwhile.
const LOG: u64 = 16 << 20;
/// Any other record.
const RECORD: u64 = 1 << 20;
/// Sockets, bells and the like: some for each process that lives, and not one for each that ever lived.
const LEFT_BEHIND: usize = 64;

/// The most that was seen.
#[derive(Debug, Default)]
pub(crate) struct Footprint {
    /// By queue: bytes of its files, and lanes.
    queues: BTreeMap<String, (u64, u64)>,
    /// By file of the state directory.
    files: BTreeMap<String, u64>,
}

impl Footprint {
    pub(crate) fn look(&mut self, place: &Place) {
        let transit = place.transit();
        for name in QUEUES {
            let Ok(Some(status)) = transit.status(&crate::place::queue_name(name)) else { continue };
            let bytes = bytes_below(&place.transit_dir().join(name));
            let (most, lanes) = self.queues.entry(name.to_owned()).or_default();
            (*most, *lanes) = ((*most).max(bytes), (*lanes).max(u64::try_from(status.lanes.len()).unwrap()));
        }
        for (path, bytes) in files_below(&place.state()) {
            let most = self.files.entry(path).or_default();
            *most = (*most).max(bytes);
        }
    }

    /// What passed its bound, and what is there that should not be.
    pub(crate) fn faults(&self, place: &Place) -> Vec<String> {
        let mut faults = Vec::new();
        for (queue, (bytes, lanes)) in &self.queues {
            let bound = QUEUE_BYTES + lanes * SEGMENT;
            if *bytes > bound {
                faults.push(format!("queue {queue} took {bytes} bytes, its bound with {lanes} lanes is {bound}"));
            }
        }
        for (file, bytes) in &self.files {
            let bound = bound_of(file);
            if *bytes > bound {
                faults.push(format!("{file} took {bytes} bytes, its bound is {bound}"));
            }
            if file.contains(".damaged-") {
                faults.push(format!("a file was moved aside: {file}"));
            }
        }
        for dir in [place.state().join("run"), place.transit_dir().join(".bells")] {
            let left = fs::read_dir(&dir).map_or(0, Iterator::count);
            if left > LEFT_BEHIND {
                faults.push(format!("{} holds {left} files", dir.display()));
            }
        }
        for queue in QUEUES {
            let aside = files_below(&place.transit_dir().join(queue).join("aside"));
            faults.extend(aside.iter().map(|(file, _)| format!("a segment of {queue} was moved aside: {file}")));
        }
        faults
    }
}

fn bound_of(file: &str) -> u64 {
    if file.contains(".state") {
        STATE
    } else if file.starts_with("log/") {
        LOG
    } else {
        RECORD
    }
}

fn bytes_below(dir: &Path) -> u64 {
    files_below(dir).iter().map(|(_, bytes)| bytes).sum()
}

/// The files below a directory, by their path in it, with their lengths. What goes away meanwhile is left out.
fn files_below(dir: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                found.extend(
                    files_below(&entry.path()).into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)),
                );
            }
            Ok(metadata) => found.push((name, metadata.len())),
            Err(_) => {}
        }
    }
    found
}
