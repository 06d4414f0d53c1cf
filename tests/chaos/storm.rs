//! One run of the torture: a minute of kills, flips and reloads while numbers go round; then peace, and what is left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use multimodule::process::{HostRecord, ProcessIdentity};
use nix::sys::signal::Signal;

use crate::daemon::{Daemon, LOOK};
use crate::exit::{EXIT, Exit};
use crate::footprint::Footprint;
use crate::place::{Place, queue_name};
use crate::plan::{Act, Kind, ONLY, Plan};
use crate::score::Score;
use crate::sender::PlainSender;
use crate::shape::{Delivery, Shape};
use crate::tasks::{COUNT, RING, STATELESS};
use crate::verdict::{self, Evidence};
use crate::victims::{self, Seen};

/// How long everything may take to become quiet after the last kill.
const QUIET: Duration = Duration::from_secs(60);
/// So long nothing must move to be called quiet: many times what a message needs for its lap.
const STILL: Duration = Duration::from_millis(700);
/// How long an orderly end may take: each host has 2 s.
const END: Duration = Duration::from_secs(20);
/// Keeps the directory of a run also when nothing was wrong.
const KEEP: &str = "MULTIMODULE_CHAOS_KEEP";
/// How often files are measured.
const MEASURE: Duration = Duration::from_secs(1);

/// The queues of the run.
pub(crate) const QUEUES: [&str; 7] = [COUNT, RING[0], RING[1], RING[2], STATELESS[0], STATELESS[1], EXIT];

/// A run.
struct Storm {
    place: Place,
    plan: Plan,
    shape: Shape,
    daemon: Daemon,
    sender: PlainSender,
    exit: Exit,
    seen: Seen,
    footprint: Footprint,
    score: Score,
}

/// Runs it for `time` with the decisions of `seed`: the score, and all that was wrong.
pub(crate) fn run(delivery: Delivery, seed: u64, time: Duration) -> (Score, Vec<String>) {
    let place = Place::new(&format!("chaos-{}", delivery.name()));
    let shape = Shape::new(delivery);
    place.write_config(&shape.text());
    std::fs::create_dir(place.disk()).unwrap();
    let (exit, daemon) = (Exit::read(place.transit()), Daemon::start(&place));
    let sender = PlainSender::start(&place);
    let (seen, footprint, score) = (Seen::default(), Footprint::default(), Score::new(delivery));
    let mut storm = Storm { plan: Plan::new(seed), place, shape, daemon, sender, exit, seen, footprint, score };
    storm.rage(time);
    let faults = storm.settle();
    (std::mem::take(&mut storm.score), faults)
}

impl Storm {
    fn rage(&mut self, time: Duration) {
        let begin = Instant::now();
        let mut measured = begin;
        let only = std::env::var(ONLY).ok();
        while begin.elapsed() < time {
            let (pause, act) = self.plan.next();
            self.watch(pause);
            if only.as_ref().is_some_and(|only| !act.is_among(only)) {
                continue;
            }
            match act {
                Act::Kill(kinds) => self.kill(kinds),
                Act::Flip(task) => {
                    self.shape.external[task] ^= true;
                    self.score.flips += 1;
                    self.place.write_config(&self.shape.text());
                }
                Act::Reload => {
                    self.shape.label += 1;
                    self.score.reloads += 1;
                    self.place.write_config(&self.shape.text());
                }
            }
            if measured.elapsed() > MEASURE {
                measured = Instant::now();
                self.footprint.look(&self.place);
            }
        }
        self.score.storm = begin.elapsed();
    }

    /// Does for `time` what systemd and a person would.
    fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.tend();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK * 5));
        }
    }

    fn tend(&mut self) -> Vec<HostRecord> {
        if let Some(status) = self.daemon.start_if_gone(&self.place)
            && status.code().is_some()
        {
            self.score.ends.push(format!("the daemon ended by itself with {status}"));
        }
        self.sender.start_if_gone(&self.place);
        let records = victims::records(&self.place.state());
        self.seen.look(&records);
        records
    }

    /// Finds them all first, then kills them at once.
    fn kill(&mut self, kinds: &[Kind]) {
        let records = self.tend();
        let victims: Vec<_> = kinds.iter().filter_map(|kind| Some((*kind, self.victim(*kind, &records)?))).collect();
        for (kind, identity) in victims {
            if victims::kill(&identity) {
                *self.score.kills.entry(kind).or_default() += 1;
            }
        }
    }

    fn victim(&mut self, kind: Kind, records: &[HostRecord]) -> Option<ProcessIdentity> {
        let candidates: Vec<_> = match kind {
            Kind::Daemon => self.daemon.identity().into_iter().collect(),
            Kind::Spawner => self.daemon.identity().iter().filter_map(victims::spawner).collect(),
            Kind::Sender => self.sender.identity().into_iter().collect(),
            Kind::Keeper => records.iter().map(HostRecord::keeper_identity).filter(victims::lives).collect(),
            Kind::Host => records.iter().map(HostRecord::host_identity).filter(victims::lives).collect(),
        };
        let picked = self.plan.pick(candidates.len())?;
        candidates.into_iter().nth(picked)
    }

    /// Lets everything become quiet, ends it in order, and looks at what is there.
    fn settle(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        self.shape.burst = 0;
        self.place.write_config(&self.shape.text());
        let written = self.sender.end(&self.place);
        let begin = Instant::now();
        if let Err(fault) = self.quiet() {
            faults.push(fault);
        }
        self.score.quiet = begin.elapsed();
        self.footprint.look(&self.place);
        self.tend_daemon();
        self.daemon.signal(Signal::SIGINT);
        match self.daemon.wait(END) {
            Some(status) if status.success() => {}
            Some(status) => faults.push(format!("the daemon's orderly end was {status}")),
            None => faults.push(format!("the daemon did not end within {END:?} after SIGINT")),
        }
        let left = victims::all_of(&self.place.path().to_owned());
        faults.extend(left.iter().map(|(identity, words)| format!("an orphan: pid {}, {words}", identity.pid)));
        self.score.daemon_starts = self.daemon.starts;
        (self.score.hosts, self.score.keepers) = self.seen.counts();
        let doubtful = &self.sender.doubtful;
        let (place, out) = (&self.place, self.exit.so_far());
        let delivery = self.shape.delivery;
        faults.extend(verdict::faults(&Evidence { place, delivery, out, written, doubtful }, &mut self.score));
        faults.extend(self.footprint.faults(&self.place));
        self.score.read_lines(&self.place);
        if !faults.is_empty() || std::env::var_os(KEEP).is_some() {
            self.place.keep();
        }
        faults
    }

    fn tend_daemon(&mut self) {
        self.daemon.start_if_gone(&self.place);
    }

    /// Waits until nothing moves any more.
    fn quiet(&mut self) -> Result<(), String> {
        let end = Instant::now() + QUIET;
        let mut last = (BTreeMap::new(), Instant::now());
        let transit = self.place.transit();
        loop {
            self.tend_daemon();
            self.seen.look(&victims::records(&self.place.state()));
            let (held, marks) = moved(&transit);
            if marks != last.0 {
                last = (marks, Instant::now());
            }
            let quiet = held.is_empty() && last.1.elapsed() > STILL && self.daemon.identity().is_some();
            if quiet {
                return Ok(());
            }
            if Instant::now() > end {
                let came = self.exit.highest(COUNT);
                return Err(format!("not quiet after {QUIET:?}: {held:?}; {came} of {COUNT} came out"));
            }
            std::thread::sleep(LOOK * 5);
        }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.daemon.kill();
        victims::clean_up(&self.place.path().to_owned());
        if std::thread::panicking() {
            self.place.keep();
        }
    }
}

/// What each queue still holds, and how far all lanes have come.
fn moved(transit: &multimodule::transit::Transit) -> (BTreeMap<&'static str, u64>, BTreeMap<String, (u64, u64)>) {
    let (mut held, mut marks) = (BTreeMap::new(), BTreeMap::new());
    for name in QUEUES {
        let Some(queue) = transit.status(&queue_name(name)).unwrap() else { continue };
        if queue.messages > 0 {
            held.insert(name, queue.messages);
        }
        marks.extend(
            queue.lanes.iter().map(|lane| (format!("{name} {}", lane.name), (lane.written.1, lane.finished.1))),
        );
    }
    (held, marks)
}
