//! External tasks: what passes between processes, how fast they are there, and what they cost.
//!
//! A whole system runs for each measurement: a daemon, keepers and hosts, all of which are this program, with tasks of
//! its own (`outside_tasks`). What a task reaches it writes down with its time (`meter`).
//!
//! An argument picks the rows whose name contains it. `--only WHAT [SECONDS]` runs ours alone, for a profiler; WHAT is
//! `at_least_once`, `exactly_once`, `stateless`, `stateful`, `pool` or `alone` (what a pool is compared with).

#[path = "meter.rs"]
mod meter;
#[path = "other_end.rs"]
mod other_end;
#[path = "outside_tasks.rs"]
mod outside_tasks;
#[path = "pairs.rs"]
mod pairs;
#[path = "pipes.rs"]
mod pipes;
#[path = "sampling.rs"]
mod sampling;
#[path = "spawns.rs"]
mod spawns;
#[path = "stream.rs"]
mod stream;
#[path = "system.rs"]
mod system;

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use multimodule::cli::multimodule_main;
use multimodule::process::is_spawner;
use multimodule::sdk::Result;
use multimodule::usage::Meter;
use outside_tasks::{CROWD, registry};
use pairs::{Better, Row};
use system::{MULTIMODULE, System};

/// As the daemon has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Before what counts: files, buffers and segments have their size then.
const WARM_UP: Duration = Duration::from_millis(300);
const WINDOW: Duration = Duration::from_millis(600);
/// The same for round trips.
const TRIPS_WINDOW: Duration = Duration::from_millis(400);

/// The entries of a stateless task: a pool, and a process of its own.
const POOL: &str = "workers: 2";
const ALONE: &str = "is_external: true";

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    if is_spawner() || name == MULTIMODULE {
        return multimodule_main(registry);
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let done = match arguments.first().map(String::as_str) {
        Some("--end") => other_end(&arguments[1..]),
        Some("--only") => alone(&arguments[1..]),
        _ => rows(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("external: {error}");
            ExitCode::FAILURE
        }
    }
}

fn other_end(end: &[String]) -> Result {
    let fault = |error: Box<dyn std::error::Error>| error.to_string();
    match end.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["send", root] => Ok(stream::send_transit(Path::new(root)).map_err(fault)?),
        ["send-sysv", id] => Ok(stream::send_sysv(id.parse()?).map_err(fault)?),
        ["pipe"] => Ok(pipes::echo_pipe().map_err(fault)?),
        _ => Err("what other end?".into()),
    }
}

fn rows(only: &[String]) -> Result {
    let mut rows = Vec::new();
    let mut row = |name: &str, unit, better, bar, ours: &dyn Fn() -> Result<f64>, peer: &dyn Fn() -> f64| {
        if only.iter().all(|only| name.contains(only.as_str())) {
            rows.push(Row::run(name, unit, better, Some(bar), || ours().expect("a run of ours"), peer));
        }
    };
    let (at_least, exactly) = (|| flow("at_least_once"), || flow("exactly_once"));
    let lane = || stream::stream_transit().expect("transit");
    row("external to external, against the bare lane", "M/s", Better::Higher, 0.4, &at_least, &lane);
    let sysv = || stream::stream_sysv().expect("sysv");
    row("external to external, against SysV", "M/s", Better::Higher, 8.0, &at_least, &sysv);
    let peer = || at_least().expect("a run of ours");
    row("external to external, exactly once against at least once", "M/s", Better::Higher, 0.4, &exactly, &peer);
    let pipes = || pipes::pipes().expect("pipes");
    for kind in ["stateless", "stateful"] {
        let name = format!("round trip to a {kind} external task and back, against pipes");
        row(&name, "µs", Better::Lower, 3.0, &|| trips(kind, TRIPS_WINDOW), &pipes);
    }
    let name = "spawn to first message handled, against fork and exec of /bin/true";
    row(name, "ms", Better::Lower, 10.0, &spawns::ours, &|| spawns::bin_true().expect("/bin/true"));
    // Made when the first row needs it; both rows have the same.
    let crowd = RefCell::new(None);
    let name = format!("adoption of {CROWD} external tasks by a daemon that starts, against 500 ms");
    row(&name, "ms", Better::Lower, 1.0, &|| adoption(&mut crowd.borrow_mut()), &|| 500.0);
    let name = "memory of a keeper alone (USS), against 256 KiB";
    row(name, "KiB", Better::Lower, 1.0, &|| keeper_kib(&mut crowd.borrow_mut()), &|| 256.0);
    let meters = RefCell::new(Vec::new());
    let name = format!("one look at the usage of {CROWD} external tasks, processor time against 2 % of a core");
    let ours = || sampling(&mut crowd.borrow_mut(), &mut meters.borrow_mut());
    row(&name, "ms", Better::Lower, 1.0, &ours, &|| sampling::ALLOWED_MS);
    drop(meters);
    drop(crowd);
    let name = "a pool of 2 workers, against one external task";
    if only.iter().all(|only| name.contains(only.as_str())) {
        let through = |entry| move || through(entry, WINDOW).expect("a run of ours");
        rows.push(Row::run(name, "M/s", Better::Higher, None, through(POOL), through(ALONE)));
    }
    pairs::print(&rows);
    Ok(())
}

/// Runs ours alone and prints what it reaches.
fn alone(arguments: &[String]) -> Result {
    let what = arguments.first().ok_or("--only what?")?;
    let window = Duration::from_secs(arguments.get(1).map_or(Ok(5), |text| text.parse())?);
    let figure = match what.as_str() {
        "stateless" | "stateful" => format!("{:.2} µs", trips(what, window)?),
        "pool" => format!("{:.3} M/s", through(POOL, window)?),
        "alone" => format!("{:.3} M/s", through(ALONE, window)?),
        delivery => format!("{:.3} M/s", flow_for(delivery, window)?),
    };
    println!("{what}: {figure}");
    Ok(())
}

/// Millions of messages per second from a task in a process to one in another.
fn flow(delivery: &str) -> Result<f64> {
    flow_for(delivery, WINDOW)
}

fn flow_for(delivery: &str, window: Duration) -> Result<f64> {
    let commits = if delivery == "exactly_once" { "intervals: {\"save_state\": 0.01}, " } else { "" };
    let system = System::running(&format!(
        "(Source: ({commits}delivery: \"{delivery}\"), Count: ({commits}meter: {{meter}}),
          Router: (routes: [(match: (source: \"Source\"), forwards: [(qname: \"Count\")])]))"
    ))?;
    meter::rate(&system.meter(), WARM_UP)?;
    Ok(meter::rate(&system.meter(), window)? / 1e6)
}

/// Millions of messages per second from a task in a process through a stateless one, by its `entry`, to a third.
fn through(entry: &str, window: Duration) -> Result<f64> {
    let system = System::running(&format!(
        "(Source: (), Echo: ({entry}), Count: (meter: {{meter}}), Router: (routes: [
            (match: (source: \"Source\"), forwards: [(qname: \"Echo\")]),
            (match: (source: \"Echo\"), forwards: [(qname: \"Count\")])]))"
    ))?;
    meter::rate(&system.meter(), WARM_UP)?;
    Ok(meter::rate(&system.meter(), window)? / 1e6)
}

/// Microseconds from a task of the daemon to one in a process and back.
fn trips(kind: &str, window: Duration) -> Result<f64> {
    let (echo, entry) = if kind == "stateless" { ("Echo", "is_external: true") } else { ("Keeping", "") };
    let system = System::running(&format!(
        "(Ping: (meter: {{meter}}), {echo}: ({entry}), Router: (routes: [
            (match: (source: \"Ping\"), forwards: [(qname: \"{echo}\")]),
            (match: (source: \"{echo}\"), forwards: [(qname: \"Ping\")])]))"
    ))?;
    meter::rate(&system.meter(), WARM_UP)?;
    Ok(1e6 / meter::rate(&system.meter(), window)?)
}

/// The system with the crowd.
fn crowd(system: &mut Option<System>) -> Result<&mut System> {
    if system.is_none() {
        let entries = (0..CROWD).map(|number| format!("Crowd{number}: ()"));
        let made = System::running(&format!("({})", entries.collect::<Vec<_>>().join(", ")))?;
        made.wait_for_links(CROWD)?;
        *system = Some(made);
    }
    Ok(system.as_mut().expect("it was made above"))
}

/// Milliseconds from the start of a daemon's program until it has adopted all.
fn adoption(system: &mut Option<System>) -> Result<f64> {
    let system = crowd(system)?;
    system.kill_daemon()?;
    let begin = Instant::now();
    system.start()?;
    system.wait_for(": adopted", CROWD)?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

/// KiB that the middle one of all keepers shares with nobody.
fn keeper_kib(system: &mut Option<System>) -> Result<f64> {
    let processes = crowd(system)?.processes()?;
    let own = processes.iter().map(|process| own_kib(process.keeper.pid)).collect::<Result<Vec<_>>>()?;
    Ok(pairs::quartiles(own.into_iter()).1)
}

/// Milliseconds of processor time of one look at all.
fn sampling(system: &mut Option<System>, meters: &mut Vec<Meter>) -> Result<f64> {
    if meters.is_empty() {
        *meters = sampling::meters(&crowd(system)?.processes()?)?;
    }
    sampling::look(meters)
}

fn own_kib(pid: u32) -> Result<f64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let lines = rollup.lines().filter_map(|line| line.strip_prefix("Private_")?.split_ascii_whitespace().nth(1));
    Ok(lines.filter_map(|kib| kib.parse::<f64>().ok()).sum())
}
