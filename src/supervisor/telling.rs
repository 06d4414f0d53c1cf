//! What a watcher writes into the history: its process started, was adopted, ended, was parked, was cleared.

use super::adoption::Outcome;
use super::history::What;
use super::watcher::Watcher;
use crate::process::{EndRecord, Failsafe, How, ProcessRef};

/// What was written there already.
#[derive(Debug, Default)]
pub(super) struct Told {
    begun: bool,
    /// The host that was seen last.
    host: Option<ProcessRef>,
    /// The host whose end is written.
    ended: Option<ProcessRef>,
    /// By whom its end was asked for, until it has come.
    pub(super) asked_by: Option<String>,
}

impl Watcher {
    /// Writes what a look has shown: another host, or the end of the one there was. What an earlier daemon left is its
    /// adoption's to tell.
    pub(super) fn tell_history(&mut self, alive: bool) {
        if self.sight.is_blind() {
            return;
        }
        let (host, pid) = self.sight.record().map_or((None, 0), |record| (Some(record.host), record.host.pid));
        if !std::mem::replace(&mut self.told.begun, true) {
            (self.told.host, self.told.ended) = (host, host.filter(|_| !alive));
            return;
        }
        if host != self.told.host {
            self.tell_end();
            self.told.host = host;
            if host.is_some() {
                self.note(What::Started, &format!("pid {pid}"));
            }
        }
        if !alive {
            self.tell_end();
        }
    }

    /// Writes how the host ended that was seen last, once that is on record.
    fn tell_end(&mut self) {
        let Some(host) = self.told.host.filter(|host| self.told.ended.as_ref() != Some(host)) else { return };
        if let Some(end) = self.last_end().filter(|end| end.host == Some(host)) {
            self.told.ended = Some(host);
            self.unmade += u64::from(matches!(end.how, How::NotStarted(_)));
            let by = self.told.asked_by.take().filter(|_| end.asked);
            self.shared.history.note(Some(&self.name), What::Ended, &how(&end), by.as_deref());
        }
    }

    /// Writes an end that no keeper has seen.
    pub(super) fn tell_unseen_end(&mut self, host: Option<ProcessRef>, how: &str) {
        self.told.ended = host.or(self.told.ended);
        self.note(What::Ended, how);
    }

    /// Says, and writes, what was found of what an earlier daemon left.
    pub(super) fn found(&self, outcome: &Outcome) {
        outcome.tell(&self.name);
        match outcome {
            Outcome::Adopted { evidence, same_config: true } => self.note(What::Adopted, evidence),
            Outcome::Adopted { evidence, .. } => self.note(What::Adopted, &format!("config changed: {evidence}")),
            Outcome::EndedWhileAway { .. } | Outcome::Gone { .. } => self.note(What::Ended, &outcome.to_string()),
            Outcome::AliveButSilent { .. } => {}
        }
    }

    /// Writes that it is parked, and why. What broke a limit has it written before its end.
    pub(super) fn note_failsafe(&self) {
        let file = self.sight.parked_by();
        let reason = match Failsafe::read(&file) {
            Ok(Some(failsafe)) => failsafe.reason,
            Ok(None) | Err(_) => format!("{} is there", file.display()),
        };
        if !self.is_noted(What::Failsafed) {
            self.note(What::Failsafed, &reason);
        }
    }

    /// Whether that was written last of what parks a process and lets it run.
    fn is_noted(&self, what: What) -> bool {
        let among = [What::Started, What::Adopted, What::Failsafed, What::Cleared];
        self.shared.history.last_of(&self.name, &among) == Some(what)
    }

    /// Writes that it is parked no more, if that is so because somebody cleared it. Who did it by a command was written
    /// then.
    pub(super) fn note_cleared(&self) {
        let file = self.sight.parked_by();
        if !file.exists() && !self.is_noted(What::Cleared) {
            self.note(What::Cleared, &format!("{} is gone", file.display()));
        }
    }

    fn note(&self, what: What, how: &str) {
        self.shared.history.note(Some(&self.name), what, how, None);
    }
}

fn how(end: &EndRecord) -> String {
    let asked = if end.asked { ", as it was asked" } else { "" };
    format!("{}{asked}", end.how)
}
