//! Every named step is killed at: a small pipeline counts numbers, and whatever process comes to an armed step is
//! ended there by SIGKILL. Then everything must go on, and nothing may be lost, doubled or out of order.
//!
//! ```text
//!   cargo test --features failpoints --test failpoints
//!   MULTIMODULE_FAILPOINT=keeper. cargo test ..      only the steps whose names begin so
//! ```
//!
//! The steps are read from the source. One that is never come to fails the test, and so does one that
//! `docs/ARCHITECTURE.md` does not list. This one program is the test and the system under test: its first word says
//! which.
#![expect(clippy::unwrap_used, reason = "a panic is a test's verdict")]

#[path = "chaos/daemon.rs"]
mod daemon;
#[path = "failpoints/flow.rs"]
mod flow;
#[path = "failpoints/pipeline.rs"]
mod pipeline;
#[expect(dead_code, reason = "shared with the torture test, which needs more")]
#[path = "chaos/place.rs"]
mod place;
#[path = "failpoints/points.rs"]
mod points;
#[path = "failpoints/run.rs"]
mod run;
#[path = "chaos/tally.rs"]
mod tally;
#[path = "failpoints/tasks.rs"]
mod tasks;
#[expect(dead_code, reason = "shared with the torture test, which needs more")]
#[path = "chaos/victims.rs"]
mod victims;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;

use multimodule::cli::multimodule_main;
use multimodule::process::is_spawner;

use crate::daemon::MULTIMODULE;
use crate::points::Points;
use crate::run::{Run, Score};

/// Only the steps whose names begin with its value.
const ONLY: &str = "MULTIMODULE_FAILPOINT";

fn main() -> ExitCode {
    if is_spawner() || std::env::args_os().next().unwrap_or_default() == MULTIMODULE {
        return multimodule_main(tasks::registry);
    }
    test()
}

fn test() -> ExitCode {
    let begin = Instant::now();
    let points = Points::of_the_source();
    let mut faults = points.faults();
    let only = std::env::var(ONLY).unwrap_or_default();
    let wanted: Vec<&str> = points.names().filter(|name| name.starts_with(&only)).collect();
    let mut score = Score::default();
    for run in Run::ALL {
        faults.extend(run::run(run, &wanted, &mut score));
    }
    let killed: BTreeSet<&str> = score.kills.iter().map(|kill| kill.point.as_str()).collect();
    faults.extend(wanted.iter().filter(|name| !killed.contains(**name)).map(|name| format!("{name} was never hit")));
    println!("{score}");
    for fault in &faults {
        println!("  FAULT: {fault}");
    }
    let verdict = if faults.is_empty() { "ok" } else { "FAILED" };
    let (steps, kills, seconds) = (wanted.len(), score.kills.len() + score.again, begin.elapsed().as_secs());
    println!("failpoints: {verdict}; {steps} steps, {kills} kills, {} numbers, {seconds} s", score.numbers);
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
