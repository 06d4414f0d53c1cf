//! What a host says on its link, and what follows for its watcher.

use super::super::contact::ContactEvent;
use super::Watcher;
use crate::link::{HostHello, LinkError, ToDaemon, ToHost};

impl Watcher {
    pub(super) fn heed(&mut self, event: ContactEvent) {
        match event {
            ContactEvent::Answered(hello) => self.answered(&hello),
            ContactEvent::NoAnswer(error) => {
                tracing::debug!(task = self.name.as_str(), "{}: no link: {error}", self.name);
                self.no_answer(&error);
            }
            ContactEvent::Told(told) => {
                if let Some(hello) = self.age.end_trial() {
                    self.adopt(&hello);
                }
                self.told(told);
            }
            ContactEvent::Lost => {
                tracing::debug!(task = self.name.as_str(), "{}: the link is lost", self.name);
                if let Some(hello) = self.age.end_trial() {
                    let process = self.name.to_string();
                    self.no_answer(&LinkError::LetGo { process, theirs: hello.version });
                }
                // Whether its host comes back is seen at the next look.
            }
        }
    }

    fn told(&mut self, told: ToDaemon) {
        match told {
            ToDaemon::Configured { generation, faults } => {
                let refused = !faults.is_empty();
                self.unmade += u64::from(refused);
                self.counted.configured();
                for fault in faults {
                    self.error(&format!("its process refuses the config: {fault}"));
                }
                failpoint!("migration.host_answered");
                tracing::debug!(task = self.name.as_str(), "{} runs by config {generation}", self.name);
                if refused || generation == self.generation {
                    self.configured.clear();
                }
            }
            ToDaemon::ReopenedLog => self.log.reopened(),
            ToDaemon::Counted { written_bytes, tasks } => {
                self.shared.count(self.counted.told(tasks, written_bytes));
            }
        }
    }

    fn no_answer(&mut self, error: &LinkError) {
        if let Some(outcome) = self.adoption.no_answer(self.sight.record(), error) {
            self.adoption_is_over(Some(outcome));
            self.configured.clear();
            self.look_at_program();
        }
        if matches!(error, LinkError::Version { .. } | LinkError::LetGo { .. }) {
            // It never will.
            self.configured.clear();
        }
    }

    pub(super) fn answered(&mut self, hello: &HostHello) {
        if !self.is_proven(hello) {
            return self.contact.hang_up();
        }
        failpoint!("adoption.proven");
        self.shared.tell_news(&self.name);
        let made = self.made.is_some() && self.made == self.sight.record().map(|record| record.keeper);
        self.counted.heard(&hello.nonce, made);
        self.age.heard(hello);
        self.renewed_by_answer();
        if self.age.on_trial {
            // Whether it takes us for a daemon shows when it answers this.
            self.contact.tell(ToHost::Configure { generation: self.generation });
            return;
        }
        self.adopt(hello);
        if self.is_current(hello) {
            self.configured.clear();
        } else {
            self.contact.tell(ToHost::Configure { generation: self.generation });
        }
    }

    /// Whether it knows the nonce on record. A host may have been replaced since the record was read: then the one that
    /// answers is the new one, or the old one has answered last.
    pub(super) fn is_proven(&mut self, hello: &HostHello) -> bool {
        if self.knows_nonce(hello) {
            return true;
        }
        let (_seen, another) = self.sight.look();
        let proven = self.knows_nonce(hello);
        if !proven && !another {
            self.error("what answers on its link does not know its nonce");
        }
        proven
    }

    fn knows_nonce(&self, hello: &HostHello) -> bool {
        self.sight.record().is_some_and(|record| record.nonce.to_string() == hello.nonce)
    }

    fn adopt(&mut self, hello: &HostHello) {
        let current = self.is_current(hello);
        if let Some(outcome) = self.adoption.answered(self.sight.record(), hello, current) {
            self.adoption_is_over(Some(outcome));
        }
        self.look_at_program();
    }

    fn is_current(&self, hello: &HostHello) -> bool {
        hello.generation == self.generation || self.generation == 0
    }
}
