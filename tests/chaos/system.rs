//! The system under test: daemon, plain sender, and the exit that the test reads; and its end, with a verdict.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use multimodule::process::HostRecord;
use multimodule::transit::Transit;
use nix::sys::signal::Signal;

use crate::daemon::{Daemon, LOOK};
use crate::exit::{EXIT, Exit};
use crate::footprint::Footprint;
use crate::place::{Place, queue_name};
use crate::score::Score;
use crate::sender::PlainSender;
use crate::shape::{Shape, Trial};
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
/// The queues of the run.
pub(crate) const QUEUES: [&str; 7] = [COUNT, RING[0], RING[1], RING[2], STATELESS[0], STATELESS[1], EXIT];

/// A system that runs.
#[derive(Debug)]
pub(crate) struct System {
    trial: Trial,
    pub(crate) shape: Shape,
    // They end before their place goes.
    pub(crate) daemon: Daemon,
    pub(crate) sender: PlainSender,
    pub(crate) exit: Exit,
    pub(crate) place: Place,
    seen: Seen,
    pub(crate) footprint: Footprint,
    pub(crate) score: Score,
}

impl System {
    /// Starts it all in `place`.
    pub(crate) fn start(trial: Trial, place: Place) -> Self {
        let shape = Shape::new(trial.delivery);
        place.write_config(&shape.text());
        let (exit, daemon) = (Exit::read(place.transit()), Daemon::start(&place));
        let sender = PlainSender::start(&place);
        let (seen, footprint, score) = (Seen::default(), Footprint::default(), Score::new(trial.name));
        Self { trial, place, shape, daemon, sender, exit, seen, footprint, score }
    }

    /// Does for `time` what systemd and a person would.
    pub(crate) fn watch(&mut self, time: Duration) {
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

    /// Starts what is gone; who is on record.
    pub(crate) fn tend(&mut self) -> Vec<HostRecord> {
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

    /// Lets everything become quiet, ends it in order, and says what is wrong with what is there.
    pub(crate) fn settle(&mut self) -> Vec<String> {
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
        let left = victims::all_of(self.place.path());
        faults.extend(left.iter().map(|(identity, words)| format!("an orphan: pid {}, {words}", identity.pid)));
        self.score.daemon_starts = self.daemon.starts;
        (self.score.hosts, self.score.keepers) = self.seen.counts();
        let doubtful = &self.sender.doubtful;
        let (place, out) = (&self.place, self.exit.so_far());
        let trial = self.trial;
        faults.extend(verdict::faults(&Evidence { place, trial, out, written, doubtful }, &mut self.score));
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

impl Drop for System {
    fn drop(&mut self) {
        self.daemon.kill();
        victims::clean_up(self.place.path());
        if std::thread::panicking() {
            self.place.keep();
        }
    }
}

/// By lane: how many messages are written, and finished.
type Marks = BTreeMap<String, (u64, u64)>;

/// What each queue still holds, and how far all lanes have come.
fn moved(transit: &Transit) -> (BTreeMap<&'static str, u64>, Marks) {
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
