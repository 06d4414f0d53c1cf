//! A storm: kills, flips and reloads at random moments while numbers go round; then peace, and a verdict.

use std::time::{Duration, Instant};

use multimodule::process::{HostRecord, ProcessIdentity};

use crate::place::Place;
use crate::plan::{Act, Kind, ONLY, Plan};
use crate::score::Score;
use crate::shape::{FLIPPED, Trial};
use crate::system::System;
use crate::tasks::STATELESS;
use crate::victims;

/// How often files are measured.
const MEASURE: Duration = Duration::from_secs(1);

struct Storm {
    trial: Trial,
    system: System,
    plan: Plan,
}

/// Runs a trial for `time` with the decisions of `seed`: the score, and all that was wrong.
pub(crate) fn run(trial: Trial, seed: u64, time: Duration) -> (Score, Vec<String>) {
    let system = System::start(trial, Place::new(trial.name));
    let mut storm = Storm { trial, system, plan: Plan::new(seed) };
    storm.rage(time);
    let faults = storm.system.settle();
    (std::mem::take(&mut storm.system.score), faults)
}

impl Storm {
    fn rage(&mut self, time: Duration) {
        let begin = Instant::now();
        let mut measured = begin;
        let only = std::env::var(ONLY).ok();
        while begin.elapsed() < time {
            let (pause, act) = self.plan.next();
            self.system.watch(pause);
            if only.as_ref().is_some_and(|only| !act.is_among(only)) {
                continue;
            }
            match act {
                Act::Kill(kinds) if self.trial.kills => self.kill(kinds),
                Act::Kill(_) => {}
                Act::Flip(task) => self.flip(task),
                Act::Reload => {
                    self.system.shape.label += 1;
                    self.system.score.reloads += 1;
                    self.system.place.write_config(&self.system.shape.text());
                }
            }
            if measured.elapsed() > MEASURE {
                measured = Instant::now();
                self.system.footprint.look(&self.system.place);
            }
        }
        self.system.score.storm = begin.elapsed();
    }

    fn flip(&mut self, task: usize) {
        if STATELESS.contains(&FLIPPED[task]) && !self.trial.stateless_moves {
            return;
        }
        self.system.shape.external[task] ^= true;
        self.system.score.flips += 1;
        self.system.place.write_config(&self.system.shape.text());
    }

    /// Finds them all first, then kills them at once.
    fn kill(&mut self, kinds: &[Kind]) {
        let records = self.system.tend();
        let victims: Vec<_> = kinds.iter().filter_map(|kind| Some((*kind, self.victim(*kind, &records)?))).collect();
        for (kind, identity) in victims {
            if victims::kill(&identity) {
                *self.system.score.kills.entry(kind).or_default() += 1;
            }
        }
    }

    fn victim(&mut self, kind: Kind, records: &[HostRecord]) -> Option<ProcessIdentity> {
        let candidates: Vec<_> = match kind {
            Kind::Daemon => self.system.daemon.identity().into_iter().collect(),
            Kind::Spawner => self.system.daemon.identity().iter().filter_map(victims::spawner).collect(),
            Kind::Sender => self.system.sender.identity().into_iter().collect(),
            Kind::Keeper => records.iter().map(HostRecord::keeper_identity).filter(victims::lives).collect(),
            Kind::Host => records.iter().map(HostRecord::host_identity).filter(victims::lives).collect(),
        };
        let picked = self.plan.pick(candidates.len())?;
        candidates.into_iter().nth(picked)
    }
}
