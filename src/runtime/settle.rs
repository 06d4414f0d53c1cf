//! What becomes of an activation when it has returned.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::actor::Outcome;
use super::dead;
use super::delivery::{Course, Origin};
use super::shell::{Input, Shell, Source};
use crate::sdk::Core;

impl Shell {
    /// Settles an activation: what it asked for takes effect, or its failure is reported and its message goes to
    /// `dead`. Returns whether it panicked.
    pub(super) async fn settle(&mut self, outcome: Outcome, input: Option<Input>, core: &mut Core) -> bool {
        self.counters.handled.fetch_add(1, Ordering::Relaxed);
        let panicked = outcome.is_err();
        match outcome {
            Ok(Ok(())) => {
                if !core.emitted.is_empty() || !core.timers.is_empty() {
                    return self.send(input, core).await;
                }
            }
            Ok(Err(error)) => self.failed_activation(&error.to_string(), input.as_ref(), core),
            Err(panic) => {
                self.failed_activation(&format!("panicked: {panic}"), input.as_ref(), core);
                if let (Some(place), Some(durable)) = (input.as_ref().and_then(|input| input.place), self.durable()) {
                    durable.leave_out(place);
                }
            }
        }
        self.done(input);
        panicked
    }

    fn failed_activation(&mut self, reason: &str, input: Option<&Input>, core: &mut Core) {
        let failures = self.counters.failed.fetch_add(1, Ordering::Relaxed) + 1;
        core.emitted.clear();
        core.timers.clear();
        self.error(&format!("{reason} (failure {failures} of this run)"));
        if let Some(input) = input {
            dead::bury(&self.setup.office, &input.message, self.setup.name.as_str(), reason);
        }
    }

    /// Sends what an activation emitted and finishes its input; never a panic, so always false.
    async fn send(&mut self, input: Option<Input>, core: &mut Core) -> bool {
        let now = Instant::now();
        let no_timers = self.quiet || self.is_copy();
        for request in core.timers.drain(..).filter(|_| !no_timers) {
            self.timers.apply(request, now);
        }
        let course = self.course(input.as_ref());
        self.counters.emitted.fetch_add(core.emitted.len() as u64, Ordering::Relaxed);
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
