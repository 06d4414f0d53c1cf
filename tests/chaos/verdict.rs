//! What must be true after a storm, whatever was killed and when.

use std::collections::BTreeSet;

use multimodule::name::LaneName;

use crate::exit::{Came, Out};
use crate::place::{Place, queue_name};
use crate::score::Score;
use crate::shape::Delivery;
use crate::storm::QUEUES;
use crate::tally::Tally;
use crate::tasks::{COUNT, Counted, PLAIN, RING, STATELESS, Tallies, key};

/// What a run has left.
pub(crate) struct Evidence<'a> {
    pub(crate) place: &'a Place,
    pub(crate) delivery: Delivery,
    /// What came out.
    pub(crate) out: Out,
    /// The last number that a plain sender wrote down.
    pub(crate) written: i64,
    /// Its numbers that may have been appended or not.
    pub(crate) doubtful: &'a [i64],
}

/// All that is wrong.
pub(crate) fn faults(evidence: &Evidence<'_>, score: &mut Score) -> Vec<String> {
    gather(evidence, score).unwrap_or_else(|fault| vec![fault])
}

fn gather(evidence: &Evidence<'_>, score: &mut Score) -> Result<Vec<String>, String> {
    let mut faults = Vec::new();
    let counted: Counted = evidence.place.saved(COUNT)?;
    score.handled.insert(COUNT.to_owned(), counted.heard);
    for (sender, came) in &evidence.out {
        score.out.insert(sender.clone(), came.tally.highest);
    }
    let none = Came::default();
    let plain = evidence.out.get(PLAIN).unwrap_or(&none);
    let counts = evidence.out.get(COUNT).unwrap_or(&none);
    faults.extend(of_the_exit(evidence, &counted, plain, counts));
    faults.extend(of_lanes(evidence, COUNT, counted.heard));
    for (at, task) in RING.iter().enumerate() {
        let tallies: Tallies = evidence.place.saved(task)?;
        let handed = tallies.0.values().map(|tally| tally.handed).sum();
        score.handled.insert((*task).to_owned(), handed);
        faults.extend(of_lanes(evidence, task, handed));
        for lap in 0..=i64::from(at == 0) {
            for (from, highest, skipped) in
                [(COUNT, counted.sent, 0), (PLAIN, plain.tally.highest, plain.tally.skipped)]
            {
                let seen = tallies.0.get(&key(from, lap)).cloned().unwrap_or_default();
                // The senders send each number once, so the first to hear it hears it once.
                let once = evidence.delivery == Delivery::ExactlyOnce || (at == 0 && lap == 0);
                faults.extend(of_tally(&format!("{task}, {from}'s lap {lap}"), &seen, highest, skipped, once));
            }
        }
    }
    for queue in QUEUES.iter().chain(&["dead"]) {
        faults.extend(of_queue(evidence, queue));
    }
    Ok(faults)
}

/// Everything that was sent came out, in order.
fn of_the_exit(evidence: &Evidence<'_>, counted: &Counted, plain: &Came, counts: &Came) -> Vec<String> {
    let once = evidence.delivery == Delivery::ExactlyOnce;
    let mut faults = of_tally("the exit, Count", &counts.tally, counted.sent, 0, once);
    let highest = plain.tally.highest;
    if highest < evidence.written {
        faults.push(format!("the plain sender wrote down {}, and {highest} came out last", evidence.written));
    }
    faults.extend(of_tally("the exit, plain", &plain.tally, highest, plain.tally.skipped, once));
    let doubtful: BTreeSet<_> = evidence.doubtful.iter().collect();
    let lost: Vec<_> = plain.missing.iter().filter(|n| !doubtful.contains(n)).collect();
    if !lost.is_empty() {
        faults.push(format!("these numbers of the plain sender were written down and did not come out: {lost:?}"));
    }
    faults
}

/// All numbers up to `highest`, in order of first appearance, but for `skipped`; each once, if `once`.
fn of_tally(whose: &str, seen: &Tally, highest: i64, skipped: u64, once: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |what: &str, is: u64, expected: u64| {
        if is != expected {
            faults.push(format!("{whose}: {what} {is}, expected {expected}; {seen:?}"));
        }
    };
    expect("highest", seen.highest.unsigned_abs(), highest.unsigned_abs());
    expect("left out or out of order", seen.skipped, skipped);
    expect("handed", seen.handed, highest.unsigned_abs() - skipped.min(highest.unsigned_abs()) + seen.repeated);
    if once {
        expect("handed again", seen.repeated, 0);
    }
    faults
}

/// A stateful task's state counts each message that its queue has handed over, and no other.
fn of_lanes(evidence: &Evidence<'_>, task: &str, handed: u64) -> Vec<String> {
    let status = evidence.place.transit().status(&queue_name(task)).ok().flatten();
    let Some(status) = status else { return vec![format!("queue {task} is gone")] };
    let finished: u64 = status.lanes.iter().map(|lane| lane.finished.1).sum();
    if finished == handed {
        return Vec::new();
    }
    vec![format!("{task} has counted {handed} messages, and {finished} of its queue are finished: {:?}", status.lanes)]
}

/// Nothing is left in it, nothing was lost, and every lane is somebody's.
fn of_queue(evidence: &Evidence<'_>, name: &str) -> Vec<String> {
    let Some(status) = evidence.place.transit().status(&queue_name(name)).ok().flatten() else { return Vec::new() };
    let mut faults = Vec::new();
    if status.messages > 0 {
        faults.push(format!("queue {name} still holds {} messages", status.messages));
    }
    let mut names = BTreeSet::new();
    for lane in &status.lanes {
        if lane.lost > 0 {
            faults.push(format!("lane {} of {name} has lost {} messages", lane.name, lane.lost));
        }
        if !is_explained(&lane.name) || !names.insert(lane.name.clone()) {
            faults.push(format!("lane {} of {name} is nobody's, or there twice", lane.name));
        }
    }
    faults
}

/// Whether it is the lane of a sender that the run has.
fn is_explained(lane: &LaneName) -> bool {
    let known = |name: &str| RING.contains(&name) || STATELESS.contains(&name) || name == COUNT;
    match lane {
        LaneName::Task(task) => known(task.as_str()),
        LaneName::Process(process) => {
            let name = process.as_str().split('@').next().unwrap_or_default();
            known(name) || name == "main" || name == PLAIN
        }
        LaneName::Anonymous => true,
        LaneName::Pool(..) => false,
    }
}
