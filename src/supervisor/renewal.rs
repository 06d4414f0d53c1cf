//! Whether a process runs another program than this daemon, and its renewal.
//!
//! ```text
//!   asked ─┬─ runs our program, or is not to run ─► nothing to do
//!          └─ runs another ─► ended by its keeper ─► gone ─► started with our program
//!                                                            ├─ its host answers ──────► renewed
//!                                                            └─ it ends, or none comes ► failed
//! ```
//!
//! A keeper holds the program that it was made with, so only a new keeper runs a new one. What ran is gone when the new
//! program does not start: then that is said, and what follows is up to the process's restart policy.
//!
//! Invariant: nothing is renewed unless somebody asks; its state and its queue are files, so an end costs nothing.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::life;
use super::watcher::Watcher;
use crate::link::{self, HostHello};
use crate::process::{EndRecord, HostRecord, ProcessRef};

/// What came of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A host of this daemon's program runs in its place.
    Renewed,
    /// It runs this daemon's program already, or does not run.
    NothingToDo,
    /// It was ended, and the new program does not run. That was said.
    Failed,
}

/// How the program of one process stands to this daemon's.
#[derive(Default)]
pub(super) struct Age {
    /// What the host of that nonce has said of itself.
    said: Option<HostHello>,
    /// That host is newer than this daemon, and has not answered anything but its Hello: it may refuse us.
    pub(super) on_trial: bool,
    /// It was said that it runs another program.
    told: bool,
    renewal: Option<Renewal>,
}

/// A renewal under way.
struct Renewal {
    /// The host that was ended for it.
    before: Option<ProcessRef>,
    /// What stood on record of an end when it began.
    earlier_end: Option<EndRecord>,
    done: oneshot::Sender<Outcome>,
}

impl Age {
    /// A host has said who it is.
    pub(super) fn heard(&mut self, hello: &HostHello) {
        self.on_trial = hello.version > link::VERSION;
        self.said = Some(hello.clone());
    }

    /// What the newest host has said of itself.
    #[cfg(test)]
    pub(super) fn said(&self) -> Option<&HostHello> {
        self.said.as_ref()
    }

    /// The Hello of a host that is on trial, which ends: it has said something else, or let go.
    pub(super) fn end_trial(&mut self) -> Option<HostHello> {
        let on_trial = std::mem::take(&mut self.on_trial);
        self.said.clone().filter(|_| on_trial)
    }

    /// What is known of the program of the host on record, and of its protocol.
    fn program<'a>(&'a self, record: &'a HostRecord) -> (&'a str, Option<u32>) {
        let said = self.said.as_ref().filter(|hello| hello.nonce == record.nonce.to_string());
        said.map_or((&record.program, None), |hello| (&hello.program, Some(hello.version)))
    }

    fn is_of_another_program(&self, record: &HostRecord, ours: &str) -> bool {
        let (program, protocol) = self.program(record);
        program != ours || protocol.is_some_and(|protocol| protocol != link::VERSION)
    }
}

impl Watcher {
    /// Looks at what is known of its host's program; once it has answered, or is known not to.
    pub(super) fn look_at_program(&mut self) {
        let outdated = self.is_outdated();
        self.note_outdated(outdated);
        if outdated && !self.age.told {
            self.tell_outdated();
        }
        self.age.told = outdated;
    }

    /// Forgets what is no more; notices the end of a renewal.
    pub(super) fn follow_renewal(&mut self) {
        if !self.sight.is_alive() {
            self.age.told = false;
            self.note_outdated(false);
        }
        let Some(renewal) = &self.age.renewal else { return };
        if !self.sight.is_alive() {
            failpoint!("renewal.gone");
        }
        let end = self.last_end();
        if end == renewal.earlier_end {
            return;
        }
        if let Some(end) = end.filter(|end| end.host != renewal.before) {
            self.renewal_failed(&end.how.to_string());
        }
    }

    /// Ends a process of another program; what is wanted and has ended is started with this daemon's.
    pub(super) fn renew(&mut self, done: oneshot::Sender<Outcome>) {
        if self.sight.is_of_newer_program() {
            self.error("it is not renewed: its identity record is of a newer program than this daemon");
        }
        if self.wish.spec().is_none() || self.age.renewal.is_some() || !self.is_outdated() {
            return answer(done, Outcome::NothingToDo);
        }
        let ours = &self.shared.launch.program_text;
        tracing::info!(task = self.name.as_str(), "{}: it is ended, to be started with {ours}", self.name);
        let (before, earlier_end) = (self.sight.record().map(|record| record.host), self.last_end());
        self.told.asked_by = Some("a renewal".to_owned());
        self.age.renewal = Some(Renewal { before, earlier_end, done });
        self.phase = life::ending(Instant::now());
        self.end();
        failpoint!("renewal.asked");
    }

    /// A host answers that has proven to be the one on record.
    pub(super) fn renewed_by_answer(&mut self) {
        let host = self.sight.record().map(|record| record.host);
        // The old one may answer once more before its end.
        let Some(renewal) = self.age.renewal.take_if(|renewal| renewal.before != host) else { return };
        failpoint!("renewal.linked");
        let pid = host.map_or(0, |host| host.pid);
        tracing::info!(task = self.name.as_str(), "{}: renewed: pid {pid}, protocol {}", self.name, link::VERSION);
        answer(renewal.done, Outcome::Renewed);
    }

    /// The new program does not run: says so, if a renewal is under way.
    pub(super) fn renewal_failed(&mut self, why: &str) {
        if let Some(renewal) = self.age.renewal.take() {
            self.error(&format!(
                "its renewal has failed: what ran was ended, and {} does not run: {why}; \
                 its restart policy decides what follows",
                self.shared.launch.program_text
            ));
            answer(renewal.done, Outcome::Failed);
        }
    }

    /// A renewal of what is not to run any more is none.
    pub(super) fn drop_renewal(&mut self) {
        if let Some(renewal) = self.age.renewal.take() {
            answer(renewal.done, Outcome::NothingToDo);
        }
    }

    fn is_outdated(&self) -> bool {
        let ours = &self.shared.launch.program_text;
        let other = |record: &HostRecord| self.age.is_of_another_program(record, ours);
        self.sight.is_alive() && self.sight.record().is_some_and(other)
    }

    fn note_outdated(&self, outdated: bool) {
        self.shared.note_outdated(&self.name, outdated);
    }

    fn tell_outdated(&self) {
        let Some(record) = self.sight.record() else { return };
        let (name, ours) = (&self.name, &self.shared.launch.program_text);
        let (theirs, protocol) = self.age.program(record);
        let newer = protocol.is_some_and(|protocol| protocol > link::VERSION);
        let what = if newer { "newer than this daemon" } else { "outdated" };
        let spoken = protocol.map_or(String::new(), |protocol| format!(" with protocol {protocol}"));
        tracing::info!(
            task = name.as_str(),
            "{name}: {what}: it runs {theirs}{spoken}, this daemon is {ours} with protocol {}; \
             a control message of type `renew` has it run this daemon's program",
            link::VERSION
        );
    }
}

fn answer(done: oneshot::Sender<Outcome>, outcome: Outcome) {
    // Who asked may have stopped waiting.
    let _told = done.send(outcome);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{BootId, Nonce};

    fn record(nonce: Nonce, program: &str) -> HostRecord {
        let process = ProcessRef { pid: 1, start_ticks: 1 };
        let boot = BootId::from("b".to_owned());
        let program = program.to_owned();
        HostRecord {
            boot,
            pid_namespace: 1,
            keeper: process,
            host: process,
            nonce,
            started_unix_ms: 1,
            starts: 1,
            program,
        }
    }

    fn hello(nonce: Nonce, program: &str, version: u32) -> HostHello {
        let (nonce, program) = (nonce.to_string(), program.to_owned());
        HostHello { version, nonce, process: "T".to_owned(), program, generation: 1 }
    }

    #[test]
    fn a_program_is_another_by_its_record_until_its_host_has_said_which_it_is() {
        let (this, earlier) = (Nonce::fresh().unwrap(), Nonce::fresh().unwrap());
        let check = |on_record: &str, said: Option<HostHello>, expected: bool| {
            let age = Age { said, ..Age::default() };
            assert_eq!(age.is_of_another_program(&record(this, on_record), "ours"), expected, "{on_record}");
        };
        check("ours", None, false);
        check("theirs", None, true);
        check("theirs", Some(hello(this, "ours", link::VERSION)), false);
        check("ours", Some(hello(this, "theirs", link::VERSION)), true);
        check("ours", Some(hello(this, "ours", link::OLDEST)), link::OLDEST != link::VERSION);
        check("ours", Some(hello(earlier, "theirs", link::OLDEST)), false);
    }

    #[test]
    fn only_a_newer_host_is_on_trial_and_only_until_it_has_answered() {
        let nonce = Nonce::fresh().unwrap();
        for (version, on_trial) in [(link::OLDEST, false), (link::VERSION, false), (link::VERSION + 1, true)] {
            let mut age = Age::default();
            age.heard(&hello(nonce, "theirs", version));
            assert_eq!(age.end_trial().is_some(), on_trial, "{version}");
            assert_eq!(age.end_trial(), None);
        }
    }
}
