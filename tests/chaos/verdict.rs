//! What must be true after a storm, whatever was killed and when.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use multimodule::name::LaneName;

use crate::exit::{Came, Out};
use crate::place::{Place, queue_name};
use crate::score::Score;
use crate::shape::{Delivery, Trial};
use crate::system::QUEUES;
use crate::tally::Tally;
use crate::tasks::{COUNT, Counted, PLAIN, RING, STATELESS, Tallies, key};

/// So many places where order is broken are shown.
const SHOWN: usize = 8;

/// What a run has left.
pub(crate) struct Evidence<'a> {
    pub(crate) place: &'a Place,
    pub(crate) trial: Trial,
    /// What came out.
    pub(crate) out: Out,
    /// The last number that a plain sender wrote down.
    pub(crate) written: i64,
    /// Its numbers that may have been appended or not.
    pub(crate) doubtful: &'a [i64],
}

/// What somebody should have seen of one sender.
#[derive(Debug, Clone, Copy)]
struct Expected {
    highest: i64,
    /// Numbers below it that were never sent.
    absent: usize,
    /// Nothing came again.
    once: bool,
}

/// All that is wrong.
pub(crate) fn faults(evidence: &Evidence<'_>, score: &mut Score) -> Vec<String> {
    gather(evidence, score).unwrap_or_else(|fault| vec![fault])
}

fn gather(evidence: &Evidence<'_>, score: &mut Score) -> Result<Vec<String>, String> {
    let counted: Counted = evidence.place.saved(COUNT)?;
    score.handled.insert(COUNT.to_owned(), counted.heard);
    for (sender, came) in &evidence.out {
        score.out.insert(sender.clone(), came.tally.highest);
    }
    let none = Came::default();
    let [counts, plain] = [COUNT, PLAIN].map(|sender| evidence.out.get(sender).unwrap_or(&none));
    let once = evidence.trial.delivery == Delivery::ExactlyOnce;
    let of_count = Expected { highest: counted.sent, absent: 0, once };
    let of_plain = Expected { highest: plain.tally.highest, absent: plain.missing.len(), once };
    let mut faults = of_what_was_sent(evidence, plain);
    faults.extend(of_lanes(evidence, COUNT, counted.heard));
    for (sender, came, expected) in [(COUNT, counts, of_count), (PLAIN, plain, of_plain)] {
        faults.extend(of_tally(&format!("the exit, {sender}"), &came.tally, expected));
        faults.extend(of_jumps(sender, came));
    }
    for (at, task) in RING.iter().enumerate() {
        let tallies: Tallies = evidence.place.saved(task)?;
        let handed = tallies.0.values().map(|tally| tally.handed).sum();
        score.handled.insert((*task).to_owned(), handed);
        // Nobody counts what a stateless task handles; each number that came from it, it has handled once at least.
        if let Some(before) = at.checked_sub(1) {
            let repeated: u64 = tallies.0.values().map(|tally| tally.repeated).sum();
            score.handled.insert(format!("{}, at least", STATELESS[before]), handed - repeated);
        }
        faults.extend(of_lanes(evidence, task, handed));
        for (from, expected) in [(COUNT, of_count), (PLAIN, of_plain)] {
            for lap in 0..=i64::from(at == 0) {
                let seen = tallies.0.get(&key(from, lap)).cloned().unwrap_or_default();
                // The senders send each number once and in order, so the first to hear it hears it so.
                let first = at == 0 && lap == 0;
                let expected = Expected { once: once || first, ..expected };
                faults.extend(of_tally(&format!("{task}, {from}'s lap {lap}"), &seen, expected));
            }
        }
    }
    for queue in QUEUES.iter().chain(&["dead"]) {
        faults.extend(of_queue(evidence, queue));
    }
    Ok(faults)
}

/// Everything that the plain sender wrote down came out.
fn of_what_was_sent(evidence: &Evidence<'_>, plain: &Came) -> Vec<String> {
    let mut faults = Vec::new();
    let (highest, written) = (plain.tally.highest, evidence.written);
    if highest < written {
        faults.push(format!("the plain sender wrote down {written}, and {highest} came out last"));
    }
    let lost: Vec<_> = plain.missing.iter().filter(|n| !evidence.doubtful.contains(n)).collect();
    if !lost.is_empty() {
        let shown = &lost[..lost.len().min(SHOWN)];
        faults.push(format!("{} numbers of the plain sender were written down and are lost: {shown:?}", lost.len()));
    }
    faults
}

fn of_tally(whose: &str, seen: &Tally, expected: Expected) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |what: &str, is: u64, good: bool| {
        if !good {
            faults.push(format!("{whose}: {what} {is}, expected {expected:?}; {seen:?}"));
        }
    };
    let absent = u64::try_from(expected.absent).unwrap();
    let all = expected.highest.unsigned_abs() - absent.min(expected.highest.unsigned_abs());
    check("highest", seen.highest.unsigned_abs(), seen.highest == expected.highest);
    check("left out or out of order", seen.skipped, seen.skipped == absent);
    check("handed for the first time", seen.handed - seen.repeated, seen.handed - seen.repeated == all);
    check("handed", seen.handed, seen.handed >= all);
    check("handed again", seen.handed - all.min(seen.handed), seen.handed <= all || !expected.once);
    faults
}

/// Where numbers came before lower ones.
fn of_jumps(sender: &str, came: &Came) -> Option<String> {
    let late = |jump: &&RangeInclusive<i64>| RangeInclusive::clone(jump).any(|n| !came.missing.contains(&n));
    let jumps: Vec<_> = came.jumps.iter().filter(late).collect();
    if jumps.is_empty() {
        return None;
    }
    let shown: Vec<_> = jumps.iter().take(SHOWN).map(|range| format!("{range:?}")).collect();
    Some(format!("the exit, {sender}: {} times numbers came late: {}", jumps.len(), shown.join(", ")))
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
