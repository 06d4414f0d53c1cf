//! The torture test: a system of many processes is killed, moved and reloaded at random moments, and must not lose,
//! double or reorder a message, nor leave anything behind.
//!
//! ```text
//!   cargo test --test chaos
//!   MULTIMODULE_CHAOS_SECONDS=3600 MULTIMODULE_CHAOS_SEED=7 cargo test --test chaos
//! ```
//!
//! This one program is the test, the system under test and its plain sender: its first word says which.
#![expect(clippy::unwrap_used, reason = "a panic is a test's verdict")]

#[path = "chaos/cases.rs"]
mod cases;
#[path = "chaos/daemon.rs"]
mod daemon;
#[path = "chaos/exit.rs"]
mod exit;
#[path = "chaos/footprint.rs"]
mod footprint;
#[path = "chaos/place.rs"]
#[expect(dead_code, reason = "shared with the test of failpoints, which needs more")]
mod place;
#[path = "chaos/plan.rs"]
mod plan;
#[path = "chaos/random.rs"]
mod random;
#[path = "chaos/score.rs"]
mod score;
#[path = "chaos/sender.rs"]
mod sender;
#[path = "chaos/shape.rs"]
mod shape;
#[path = "chaos/storm.rs"]
mod storm;
#[path = "chaos/system.rs"]
mod system;
#[path = "chaos/tally.rs"]
mod tally;
#[path = "chaos/tasks.rs"]
mod tasks;
#[path = "chaos/verdict.rs"]
mod verdict;
#[path = "chaos/victims.rs"]
mod victims;

use std::process::ExitCode;
use std::time::Duration;

use multimodule::cli::multimodule_main;
use multimodule::process::is_spawner;

use crate::cases::Outcome;
use crate::daemon::MULTIMODULE;
use crate::sender::{SENDER, sender_main};
use crate::shape::TRIALS;

/// How long the storms last in all, unless MULTIMODULE_CHAOS_SECONDS says something else.
const SECONDS: u64 = 60;
/// What 60 seconds must bring at least.
const KILLS: u64 = 300;
const MESSAGES: u64 = 1_000_000;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    if is_spawner() || name == MULTIMODULE {
        return multimodule_main(tasks::registry);
    }
    if name == SENDER {
        return sender_main();
    }
    test()
}

fn test() -> ExitCode {
    let seconds = number("MULTIMODULE_CHAOS_SECONDS").unwrap_or(SECONDS);
    let seed = number("MULTIMODULE_CHAOS_SEED").unwrap_or_else(|| getrandom::u64().unwrap() % 1_000_000);
    println!("MULTIMODULE_CHAOS_SEED={seed} MULTIMODULE_CHAOS_SECONDS={seconds}");
    let mut failed = false;
    let (mut kills, mut messages) = (0, 0);
    for trial in TRIALS {
        let time = Duration::from_secs(seconds) / u32::try_from(TRIALS.len()).unwrap();
        let (score, faults) = storm::run(trial, seed, time);
        print!("{score}");
        for fault in &faults {
            println!("  FAULT: {fault}");
        }
        failed |= !faults.is_empty();
        kills += score.all_kills();
        messages += score.all_handled();
    }
    for (name, outcome) in cases::run() {
        failed |= matches!(outcome, Outcome::Wrong(_));
        println!("{name}: {outcome}");
    }
    let least = |of_a_minute: u64| of_a_minute * seconds / SECONDS;
    println!(
        "{kills} kills, at least {} expected; {messages} messages handled, at least {} expected",
        least(KILLS),
        least(MESSAGES)
    );
    failed |= kills < least(KILLS) || messages < least(MESSAGES);
    println!("chaos: {}", if failed { "FAILED" } else { "ok" });
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
