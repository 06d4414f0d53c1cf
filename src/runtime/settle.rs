//! What becomes of an activation when it has returned.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::actor::Outcome;
use super::dead;
use super::delivery::{Course, Origin};
use super::durable::Place;
use super::handle::Counters;
use super::shell::{Shell, Source};
use super::work::Input;
use crate::message::Message;
use crate::sdk::Core;
use crate::secret::redacted;

impl Shell {
    /// A handler is called with `input`.
    pub(super) fn begin(&mut self, input: &Input) {
        if let (Some(place), Some(durable)) = (input.place, self.durable()) {
            durable.begin(place);
        }
    }

    /// The handler has returned.
    pub(super) fn returned(&mut self) {
        if let Some(durable) = self.durable() {
            durable.returned();
        }
    }

    /// An input of the task's own queue goes to `dead` instead of being handled.
    pub(super) fn give_up(&mut self, message: &Message, place: Place, reason: &str) {
        let Source::Durable(Some(durable)) = &mut self.source else { return };
        let entered = durable.give_up(place, message, &self.setup.name, reason);
        self.post.not_even_dead(entered);
    }

    /// Settles an activation: what it asked for takes effect, or its failure is reported and its message goes to
    /// `dead`. Returns whether it panicked.
    pub(super) async fn settle(&mut self, outcome: Outcome, input: Option<Input>, core: &mut Core) -> bool {
        let counter = if input.is_some() { &self.counters.handled } else { &self.counters.ticks };
        Counters::add(counter, 1);
        let panicked = outcome.is_err();
        match outcome {
            Ok(Ok(())) => {
                if !core.emitted.is_empty() || !core.timers.is_empty() {
                    return self.send(input, core).await;
                }
            }
            Ok(Err(error)) => {
                let reason = redacted(&error.to_string()).into_owned();
                self.failed_activation(&reason, core);
                self.bury(input, &reason);
                return false;
            }
            Err(panic) => {
                let reason = format!("panicked: {}", redacted(&panic));
                self.failed_activation(&reason, core);
                match (input.as_ref().and_then(|input| input.place), self.durable()) {
                    // It is taken again, with all since the last record, and then goes to `dead`.
                    (Some(place), Some(durable)) => durable.leave_out(place, reason),
                    _ => self.bury(input, &reason),
                }
                return true;
            }
        }
        self.done(input);
        panicked
    }

    /// An input that failed goes to `dead`. In the course of a stateful task that is one step with its end.
    fn bury(&mut self, input: Option<Input>, reason: &str) {
        let Some(input) = input.filter(|_| !self.spoiled) else { return self.done(None) };
        match (input.place, &input.origin) {
            (Some(place), _) => self.give_up(&input.message, place, reason),
            (None, Some(Origin::Task(listing))) => {
                let letter = dead::letter(&input.message, self.setup.name.as_str(), reason);
                let entered = listing.ledger().bury(Some(listing), letter);
                self.post.not_even_dead(entered);
            }
            (None, _) => {
                dead::bury(&self.setup.office, &input.message, self.setup.name.as_str(), reason);
                self.done(Some(input));
            }
        }
    }

    fn failed_activation(&mut self, reason: &str, core: &mut Core) {
        let failures = self.counters.failed.fetch_add(1, Ordering::Relaxed) + 1;
        core.emitted.clear();
        core.timers.clear();
        self.error(&format!("{reason} (failure {failures} of this run)"));
    }

    /// Sends what an activation emitted and finishes its input; never a panic, so always false.
    async fn send(&mut self, input: Option<Input>, core: &mut Core) -> bool {
        let now = Instant::now();
        let no_timers = self.quiet || self.is_copy();
        for request in core.timers.drain(..).filter(|_| !no_timers) {
            self.timers.apply(request, now);
        }
        if input.is_none()
            && let Some(durable) = self.durable()
        {
            durable.ledger.set_course(None);
        }
        let course = self.course(input.as_ref());
        Counters::add(&self.counters.emitted, core.emitted.len() as u64);
        let listing = match input.as_ref().and_then(|input| input.origin.as_ref()) {
            Some(Origin::Task(listing)) => Some(listing),
            _ => None,
        };
        match self.post.send(&mut core.emitted, &course, listing).await {
            // Entered in the ledger, in one step with the end of its input.
            Ok(()) if listing.is_some() => {}
            Ok(()) => self.done(input),
            Err(error) => {
                // What could not be sent must not count as handled: its input is handed out again at the next start.
                self.spoiled = true;
                self.error(&error.to_string());
            }
        }
        false
    }

    fn course(&self, input: Option<&Input>) -> Course {
        match (&self.source, input.and_then(|input| input.origin.as_ref())) {
            (Source::Durable(Some(durable)), _) => Course::Task(durable.ledger.clone()),
            (_, Some(origin)) => origin.course(),
            _ => Course::Process,
        }
    }

    fn done(&mut self, input: Option<Input>) {
        if self.spoiled {
            return;
        }
        let (place, origin) = input.map_or((None, None), |input| (input.place, input.origin));
        if let Some(origin) = origin {
            origin.done();
        }
        match (place, self.durable()) {
            (Some(place), Some(durable)) => durable.advance(place),
            (None, Some(durable)) => durable.committer.count(),
            (_, None) => {}
        }
    }
}
