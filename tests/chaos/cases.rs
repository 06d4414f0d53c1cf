//! What may happen to a machine beside kills: one case each, with a verdict.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use multimodule::process::{HostFiles, HostRecord, read_record};

use crate::daemon::LOOK;
use crate::place::{Place, task_name};
use crate::shape::{TRIALS, Trial};
use crate::system::System;
use crate::tasks::{COUNT, PLAIN, RING};
use crate::victims;

/// What came of a case.
pub(crate) enum Outcome {
    Right,
    Wrong(Vec<String>),
    /// Why it could not be tried here.
    NotTried(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right => f.write_str("ok"),
            Self::Wrong(faults) => write!(f, "FAULT: {}", faults.join("\n  FAULT: ")),
            Self::NotTried(why) => write!(f, "not tried: {why}"),
        }
    }
}

type Verdict = Result<Vec<String>, String>;

/// How long a line or a movement is waited for: many times what it takes.
const SOON: Duration = Duration::from_secs(30);
/// So many further numbers show that everything moves.
const MORE: i64 = 2000;
/// Names the only case that is run.
const CASE: &str = "MULTIMODULE_CHAOS_CASE";

/// A case: its name, which is what it shows, and what it does.
type Case = (&'static str, fn(Place) -> Verdict);

const CASES: [Case; 5] = [
    ("a_full_disk_stops_nothing_for_good_and_loses_nothing", full_disk),
    ("a_state_directory_that_was_read_only_for_a_while_loses_nothing", read_only),
    ("a_clock_that_is_set_back_decides_nothing", clock_back),
    ("a_state_file_that_was_removed_is_missed_or_not_needed", removed_state_file),
    ("a_transit_that_was_removed_is_made_anew_and_goes_on", removed_transit),
];

/// Runs all cases: each with its name.
pub(crate) fn run() -> impl Iterator<Item = (&'static str, Outcome)> {
    let only = std::env::var(CASE).ok();
    CASES.into_iter().filter(move |(name, _)| only.as_ref().is_none_or(|only| name.contains(only.as_str()))).map(
        |(name, case)| {
            let outcome = match case(Place::new(name)) {
                Ok(faults) if faults.is_empty() => Outcome::Right,
                Ok(faults) => Outcome::Wrong(faults),
                Err(why) => Outcome::NotTried(why),
            };
            (name, outcome)
        },
    )
}

const TRIAL: Trial = TRIALS[0];

fn full_disk(mut place: Place) -> Verdict {
    place.mount(160)?;
    let mut system = System::start(TRIAL, place);
    // The logs of hosts lie on that disk too: it is the daemon that can still say so.
    system.shape.external[1] = false;
    system.place.write_config(&system.shape.text());
    let mut faults = moves(&mut system);
    let filler = system.place.disk().join("filler");
    let mut file = File::create(&filler).unwrap();
    // Down to the last page, and again and again: what others free is taken too.
    let end = Instant::now() + SOON;
    let told = loop {
        while file.write_all(&[1; 4096]).is_ok() {}
        if system.place.printed().contains("No space left on device") {
            break true;
        }
        if Instant::now() > end {
            break false;
        }
        system.watch(LOOK);
    };
    if !told {
        faults.push(format!("nobody said within {SOON:?} that the disk is full"));
    }
    kill_host(&mut system, RING[2]);
    system.watch(Duration::from_secs(1));
    fs::remove_file(&filler).unwrap();
    drop(file);
    faults.extend(moves(&mut system));
    faults.extend(system.settle());
    Ok(faults)
}

fn read_only(place: Place) -> Verdict {
    let mut system = System::start(TRIAL, place);
    let mut faults = moves(&mut system);
    let state = system.place.state();
    set_writable(&state, false)?;
    let told = waits_for_line(&mut system, &state.display().to_string(), "permitted");
    let still = moves(&mut system);
    set_writable(&state, true)?;
    faults.extend(told);
    faults.extend(still);
    kill_host(&mut system, RING[1]);
    faults.extend(moves(&mut system));
    faults.extend(system.settle());
    Ok(faults)
}

/// The directory's own entries change no more, or again. Root is stopped by nothing but the attribute.
fn set_writable(dir: &Path, writable: bool) -> Result<(), String> {
    if !nix::unistd::Uid::effective().is_root() {
        let mode = if writable { 0o700 } else { 0o500 };
        return fs::set_permissions(dir, fs::Permissions::from_mode(mode)).map_err(|error| error.to_string());
    }
    let flag = if writable { "-i" } else { "+i" };
    let outcome = Command::new("chattr").arg(flag).arg(dir).output().map_err(|error| format!("chattr: {error}"))?;
    if outcome.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&outcome.stderr).trim_end().to_owned()) }
}

/// The clock of every process of the run is set back by a day, by a library before the C library.
fn clock_back(mut place: Place) -> Verdict {
    let (source, library, switch) =
        (place.path().join("clock.c"), place.path().join("clock.so"), place.path().join("back"));
    fs::write(&source, include_str!("clock_back.c")).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).output();
    let built = built.map_err(|error| format!("cc: {error}"))?;
    if !built.status.success() {
        return Err(String::from_utf8_lossy(&built.stderr).trim_end().to_owned());
    }
    place.add_to_environment("LD_PRELOAD", library);
    place.add_to_environment("CHAOS_CLOCK_BACK", switch.clone());
    let mut system = System::start(TRIAL, place);
    let mut faults = moves(&mut system);
    fs::write(&switch, "").unwrap();
    faults.extend(moves(&mut system));
    kill_host(&mut system, RING[1]);
    system.daemon.kill();
    faults.extend(moves(&mut system));
    system.shape.external[0] ^= true;
    system.place.write_config(&system.shape.text());
    faults.extend(moves(&mut system));
    faults.extend(system.settle());
    Ok(faults)
}

fn removed_state_file(place: Place) -> Verdict {
    let mut system = System::start(TRIAL, place);
    let mut faults = moves(&mut system);
    fs::remove_file(system.place.state().join(format!("{}.state.0", RING[1]))).unwrap();
    faults.extend(moves(&mut system));
    kill_host(&mut system, RING[1]);
    faults.extend(moves(&mut system));
    faults.extend(system.settle());
    Ok(faults)
}

/// Removes a directory in which others go on making files.
fn remove_under_way(directory: &Path) {
    let mut tries = 0..1000;
    while let Err(error) = fs::remove_dir_all(directory) {
        assert!(error.kind() == io::ErrorKind::DirectoryNotEmpty && tries.next().is_some(), "{error}");
    }
}

/// What was in it may be lost; everything goes on, and somebody says so.
fn removed_transit(place: Place) -> Verdict {
    let mut system = System::start(TRIAL, place);
    let mut faults = moves(&mut system);
    remove_under_way(&system.place.transit_dir());
    faults.extend(waits_for_line(&mut system, "removed or replaced under way", "ERROR"));
    faults.extend(moves(&mut system));
    kill_host(&mut system, RING[1]);
    faults.extend(moves(&mut system));
    if !faults.is_empty() {
        system.place.keep();
    }
    Ok(faults)
}

/// Waits until numbers come out again. Of Count alone none may: it waits for what it has on the way, and that may have
/// been in files that are gone.
fn moves(system: &mut System) -> Vec<String> {
    let highest = |system: &System| system.exit.highest(COUNT) + system.exit.highest(PLAIN);
    let begin = highest(system);
    let end = Instant::now() + SOON;
    while highest(system) < begin + MORE {
        if Instant::now() > end {
            let came = highest(system) - begin;
            return vec![format!("within {SOON:?} only {came} numbers came out, after {begin}")];
        }
        system.watch(LOOK);
    }
    Vec::new()
}

fn waits_for_line(system: &mut System, one: &str, other: &str) -> Vec<String> {
    let end = Instant::now() + SOON;
    while !system.place.printed().lines().any(|line| line.contains(one) && line.contains(other)) {
        if Instant::now() > end {
            return vec![format!("no line with {one:?} and {other:?} within {SOON:?}")];
        }
        system.watch(LOOK);
    }
    Vec::new()
}

fn kill_host(system: &mut System, name: &str) {
    let path = HostFiles::new(&system.place.state(), &task_name(name)).process();
    let record: HostRecord = read_record(&path).unwrap().expect("the task is external");
    assert!(victims::kill(&record.host_identity()), "{name} lives");
}
