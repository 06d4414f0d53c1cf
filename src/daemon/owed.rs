//! How a config comes to hold: it is applied, or refused for its faults, or rolled back since the machine does not take
//! it. What is rolled back is owed: it is tried again each second, whatever else comes to hold meanwhile.
//!
//! ```text
//!   change ──► assembled ──► built ──► spread ──► applied
//!                 │ faults     │ cannot be made │ cannot be handed on
//!                 ▼            ▼                ▼
//!              refused      rolled back ◄── put back as it was
//! ```

use std::sync::Arc;

use super::assembly::Assembly;
use super::error::DaemonError;
use super::places::Spread;
use super::reports::PlanReport;
use super::running::Daemon;
use crate::config::{Document, Overlay, Plan};
use crate::supervisor::What;
use crate::value::Map;

/// What is to hold from now on, over what holds.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// What the file says now.
    File(Document),
    /// Entries by message.
    Message(Map),
    /// The same config: something else has changed.
    Again,
}

/// Changes that the machine did not take.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// The newest of the file.
    file: Option<Document>,
    /// Of each entry the newest by message.
    messages: Map,
    again: bool,
    /// To put back what ran before.
    back: bool,
}

impl Owed {
    /// Another change has come: what it says of the same is newer.
    pub(super) fn is_outdated_by(&mut self, change: &Change) {
        match change {
            Change::File(_) => self.file = None,
            Change::Message(entries) => entries.iter().for_each(|(name, _)| drop(self.messages.remove(name))),
            Change::Again => self.again = false,
        }
    }

    fn owe(&mut self, change: Change) {
        match change {
            Change::File(document) => self.file = Some(document),
            Change::Message(entries) => {
                entries.into_iter().for_each(|(name, entry)| drop(self.messages.insert(name, entry)))
            }
            Change::Again => self.again = true,
        }
    }

    /// All of it, in the order in which it is to be tried.
    fn changes(&self) -> Vec<Change> {
        let file = self.file.clone().map(Change::File);
        let messages = (!self.messages.is_empty()).then(|| Change::Message(self.messages.clone()));
        file.into_iter().chain(messages).chain((self.again || self.back).then_some(Change::Again)).collect()
    }
}

impl Daemon {
    /// Lays a config by message over the file's.
    pub(super) async fn configure(&mut self, entries: Map) {
        self.say(Change::Message(entries)).await;
    }

    /// Applies what holds once more: something else than the config has changed.
    pub(super) async fn apply_again(&mut self) {
        self.say(Change::Again).await;
    }

    /// Applies a change and says what came of it.
    pub(super) async fn say(&mut self, change: Change) {
        if let Err(error) = self.take(change).await {
            self.refused(&error);
        }
    }

    /// Applies a change; what the machine does not take is tried again each second.
    pub(super) async fn take(&mut self, change: Change) -> Result<PlanReport, DaemonError> {
        self.owed.is_outdated_by(&change);
        let outcome = self.replace(&change).await;
        if outcome.as_ref().is_err_and(DaemonError::may_pass) {
            self.owed.owe(change);
        }
        outcome
    }

    /// Applies a change whole, or nothing of it.
    pub(super) async fn replace(&mut self, change: &Change) -> Result<PlanReport, DaemonError> {
        let (overlay, document) = self.with(change);
        let assembly = self.assemble_counted(&overlay, document.as_ref())?;
        self.build(&assembly)?;
        match self.adopt(assembly, overlay, document).await {
            Ok(plan) => {
                self.is_back();
                Ok(self.applied(plan))
            }
            Err(error) => {
                self.put_back().await;
                Err(error)
            }
        }
    }

    /// What holds with this change, and the text of the file with it.
    pub(super) fn with(&self, change: &Change) -> (Overlay, Option<Document>) {
        match change {
            Change::File(document) => (self.overlay.by_file(document.root().clone()), Some(document.clone())),
            Change::Message(entries) => (self.overlay.by_message(entries.clone()), self.document.clone()),
            Change::Again => (self.overlay.clone(), self.document.clone()),
        }
    }

    /// Has everything run again by the config that holds: where nothing of the other one was written, the disk is not
    /// needed for that.
    ///
    /// What cannot be put back now is owed: it does not depend on what comes of the other config.
    async fn put_back(&mut self) {
        self.shown.send_replace(Some(Arc::new(self.glance())));
        let outcome = match self.assemble(&self.overlay, self.document.as_ref()) {
            Ok(assembly) => self.put_back_by(&assembly).await,
            Err(error) => Err(error),
        };
        self.shown.send_replace(None);
        match outcome {
            Ok(()) => self.is_back(),
            Err(error) if !std::mem::replace(&mut self.owed.back, true) => {
                tracing::error!("what ran before cannot be put back yet; it is tried again each second: {error}");
            }
            Err(error) => tracing::debug!("what ran before is still not put back: {error}"),
        }
    }

    async fn put_back_by(&mut self, assembly: &Assembly) -> Result<(), DaemonError> {
        let effective = self.overlay.effective();
        self.bound_queues(assembly);
        self.hold_taken_out(assembly);
        let outcome = self.spread(assembly, &effective, self.stopped.clone(), Spread::Home).await;
        self.want(assembly, &effective).await;
        outcome
    }

    /// Everything is where the config that holds has it.
    fn is_back(&mut self) {
        if std::mem::take(&mut self.owed.back) {
            tracing::info!("everything runs by the config that holds");
        }
    }

    fn applied(&mut self, (plan, report): (Plan, PlanReport)) -> PlanReport {
        if !plan.is_empty() {
            tracing::info!("the changed config is applied: {report}");
            self.note(None, What::Applied, &report.to_string());
        }
        report
    }

    /// A file that holds no config: what it said before is its word no more.
    pub(super) fn file_refused(&mut self, error: &DaemonError) {
        self.owed.file = None;
        self.refused(error);
    }

    /// A config that is not applied: what runs goes on.
    pub(super) fn refused(&self, error: &DaemonError) {
        if error.may_pass() {
            tracing::error!(
                "the changed config is rolled back, what runs goes on; it is tried again each second:\n{error}"
            );
            self.note(None, What::RolledBack, &error.to_string());
        } else {
            tracing::error!("the changed config is refused, what runs goes on:\n{error}");
            self.note(None, What::Refused, &error.to_string());
        }
    }

    /// Tries again what the machine did not take; that was said. What has become wrong meanwhile is not owed any more, and
    /// that is said; what holds is no change, and was never refused.
    pub(super) async fn try_again(&mut self) {
        for change in self.owed.changes() {
            let is_change = !matches!(change, Change::Again);
            match self.take(change).await {
                Err(error) if error.may_pass() || !is_change => {
                    tracing::debug!("the changed config is still not taken: {error}");
                }
                Err(error) => self.refused(&error),
                Ok(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    fn file(text: &str) -> Change {
        Change::File(Document::parse("test.conf", text).unwrap())
    }

    /// What is owed after these changes, each of which the machine did not take.
    fn owed(changes: Vec<Change>) -> Owed {
        let mut owed = Owed::default();
        for change in changes {
            owed.is_outdated_by(&change);
            owed.owe(change);
        }
        owed
    }

    #[test]
    fn of_each_source_the_newest_is_owed_and_what_came_to_hold_is_owed_no_more() {
        let one = |a: i64| Change::Message(fields! { A: fields! { a: a } });
        let mut owed = owed(vec![file("{ B => 1 }"), one(1), file("{ B => 2 }"), Change::Again, one(2)]);
        let [Change::File(document), Change::Message(entries), Change::Again] = &owed.changes()[..] else {
            panic!("{owed:?}")
        };
        assert_eq!((document.root(), entries), (&fields! { B: 2 }, &fields! { A: fields! { a: 2 } }));
        owed.is_outdated_by(&Change::Message(fields! { C: 1 }));
        assert_eq!(owed.changes().len(), 3, "of another entry");
        owed.is_outdated_by(&one(3));
        owed.is_outdated_by(&file("{}"));
        assert!(matches!(owed.changes()[..], [Change::Again]));
    }

    #[test]
    fn what_is_to_be_put_back_is_owed_whatever_the_file_says_meanwhile() {
        let mut owed = owed(vec![file("{ B => 1 }")]);
        owed.back = true;
        owed.is_outdated_by(&file("{}"));
        owed.is_outdated_by(&Change::Again);
        assert!(matches!(owed.changes()[..], [Change::Again]));
    }
}
